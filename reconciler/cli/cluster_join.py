"""`standfast cluster join`, `witness`: a token → this host in the cluster, or as it was before."""

import shutil
import time
from typing import Any

from reconciler.adapters import enrol, etcd_members, etcd_unit, pki, tokens
from reconciler.adapters.enrol import Asked, LetIn
from reconciler.adapters.etcd_beside import write_endpoints
from reconciler.adapters.etcd_unit import Unit
from reconciler.adapters.tokens import Token
from reconciler.cli import client, output
from reconciler.cli.cluster_init import begin, etcd_of
from reconciler.cli.cluster_place import (
    Host,
    Steps,
    alone,
    new_member,
    reached,
    remembered,
    served,
    why_not,
)
from reconciler.decide.voters import Kind, name_of, warnings
from reconciler.errors import MayHeal, NeedsPerson

KNOWS = 30.0  # seconds that a new member has to know what the others know


async def join(host: Host, args: Any, kind: Kind) -> int:
    token = tokens.read(args.token, time.time())
    if kind is Kind.CLIENT:
        alone(host)
    elif not args.listen:
        raise NeedsPerson("name the address of this host that the others reach it by: --listen 10.0.0.2")
    else:
        new_member(host, args)
    client_key, client_request = pki.request()
    member_key, member_request = pki.request()
    asked = Asked(kind, host.settings.node, token.secret, client_request)
    if kind is not Kind.CLIENT:
        asked = Asked(
            kind,
            host.settings.node,
            token.secret,
            client_request,
            args.listen,
            args.client_port,
            args.peer_port,
            member_request,
            args.accept_two_voters,
        )
    let_in = await enrol.ask(token, asked)
    pems = {"ca.pem": let_in.authority, "client.key": client_key, "client.pem": let_in.client}
    if kind is not Kind.CLIENT:
        pems |= {"member.key": member_key, "member.pem": let_in.member, "peer.pem": let_in.peer}
    if let_in.authority_key:
        pems["ca.key"] = let_in.authority_key
    async with Steps() as steps:
        await _enter(host, args, asked, token, let_in, pems, steps)
    async with reached(host, host.files.reached(let_in.endpoints)) as (_, gateway):
        found = await etcd_members.members(gateway)
    output.say(_told(host, kind))
    for text in warnings(found):
        output.complain(text)
    return client.OK


async def _enter(
    host: Host, args: Any, asked: Asked, token: Token, let_in: LetIn, pems: dict[str, str], steps: Steps
) -> None:
    steps.done(
        f"certificates in {host.files.pki}", lambda: shutil.rmtree(host.files.pki, ignore_errors=True)
    )
    if asked.kind is not Kind.CLIENT:
        etcd_of(host, steps)
    # Taken back before etcd is stopped: as one of two voters it is needed for that.
    steps.done("what the cluster knows of this host", lambda: _out_again(host, token, let_in))
    for name, text in pems.items():
        etcd_unit.put_pem(host.files, name, text)
    others = host.files.reached(let_in.endpoints)
    own: tuple[str, ...] = ()
    if asked.kind is not Kind.CLIENT:
        unit = _unit(asked, args, let_in)
        own = (unit.client_url,)
        begin(host, unit)
        async with reached(host, others) as (_, gateway):
            try:
                await etcd_members.promote(gateway, let_in.member_id, KNOWS)
            except MayHeal as fault:
                raise MayHeal(why_not(host, fault)) from fault
    endpoints = (*own, *(url for url in let_in.endpoints if url not in own))
    etcd = host.files.reached(endpoints)
    async with reached(host, host.files.reached(own or endpoints)) as (store, _):
        found = await served(store)
    write_endpoints(host.files, list(endpoints))
    await host.keepsake.keep(remembered(host, found))  # a witness may have been a node of another
    if asked.kind is Kind.WITNESS:
        return
    steps.done(f"the store in {host.node_file.path}", lambda: _ignored(host.node_file.undo()))
    host.node_file.name_store(etcd, str(let_in.failover_time))


def _unit(asked: Asked, args: Any, let_in: LetIn) -> Unit:
    return Unit(
        name_of(asked.kind, asked.machine),
        asked.address,
        asked.client_port,
        asked.peer_port,
        args.enrol_port if asked.kind is Kind.NODE else 0,
        let_in.token,
        let_in.cluster,
        False,
        let_in.election,
        let_in.failover_time,
    )


async def _out_again(host: Host, token: Token, let_in: LetIn) -> None:
    """The member goes, and the token is good for another try. Our certificate is still there for it."""
    async with reached(host, host.files.reached(let_in.endpoints)) as (store, gateway):
        if let_in.member_id:
            await etcd_members.remove(gateway, let_in.member_id)
        await tokens.give_back(
            store, token.secret, tokens.kept(token.until, f"back from {host.settings.node}")
        )


def _ignored(_: object) -> None:
    return None


def _told(host: Host, kind: Kind) -> str:
    if kind is Kind.WITNESS:
        return f"{host.settings.node} is a witness now: it votes, and runs nothing else"
    voice = "votes in" if kind is Kind.NODE else "is let into"
    return (
        f"{host.settings.node} {voice} the cluster now; {host.node_file.path} names the store: "
        "restart the agent to use it"
    )
