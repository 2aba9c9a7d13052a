"""`standfast cluster leave`: this host out of its cluster, or a member that is lost."""

import shutil
from pathlib import Path
from typing import Any

from reconciler.adapters import etcd_keeper, etcd_members
from reconciler.adapters.store_etcd import EtcdStore
from reconciler.cli import client, output
from reconciler.cli.cluster_init import remove
from reconciler.cli.cluster_place import Host, reached, said_yes
from reconciler.decide import claims, keys, sessions
from reconciler.decide.voters import Member, voters, warnings
from reconciler.errors import MayHeal, NeedsPerson


async def leave(host: Host, args: Any) -> int:
    if args.member:
        return await _other(host, args)
    if not host.etcd and not host.files.pki.exists() and not host.files.data.exists():
        raise NeedsPerson("this host is in no cluster")
    _no_documents(host, args)
    left: tuple[Member, ...] = ()
    if args.local:
        said_yes(args, _question(host))
    else:
        left = await _asked(host)
    etcd_keeper.stop(host.files, forget=True)
    remove(host)
    shutil.rmtree(host.files.pki, ignore_errors=True)
    named = host.node_file.unname_store()
    text = f"{host.settings.node} has left the cluster"
    output.say(f"{text}; restart the agent, which knows only the old settings yet" if named else text)
    for warning in warnings(left):
        output.complain(warning)
    return client.OK


async def _asked(host: Host) -> tuple[Member, ...]:
    """The cluster lets it go; who is left. Raises NeedsPerson."""
    async with reached(host, known=host.keepsake.mark().identity) as (store, gateway):
        there = await etcd_members.members(gateway)
        mine = [one for one in there if host.unit and host.unit.peer_url in one.peers]
        if mine and len(voters(there)) == 1:
            raise NeedsPerson(
                f"{host.settings.node} is the last voter: with it the store ends, and what is in it. "
                "`standfast cluster leave --local` ends it"
            )
        if held := await _held(store, host.settings.node):
            raise NeedsPerson(
                f"{host.settings.node} holds {', '.join(held)}: `standfast drain` moves them first"
            )
        rest = [one for one in voters(there) if one not in mine]
        if mine and all(one.witness for one in rest):
            left = ", ".join(one.machine for one in rest)
            raise NeedsPerson(
                f"only {left} would be left, and a witness lets nobody in: "
                "let it leave first, or end the cluster by `standfast cluster leave --local` on each"
            )
        await _unnamed(store, host.settings.node)  # before: with one voter less the store may elect anew
        for one in mine:
            others = [url for member in there if member.id != one.id for url in member.clients]
            async with reached(host, host.files.reached(others)) as (_, by):
                await etcd_members.remove(by, one.id)
        return tuple(one for one in there if one not in mine) if mine else ()


async def _unnamed(store: EtcdStore, node: str) -> None:
    """A host that left is selected by no document any more."""
    await store.commit({}, {}, (keys.host(node),))


async def _held(store: EtcdStore, node: str) -> list[str]:
    """Services whose claims this node holds: its session is open, and they name its epoch."""
    session = keys.session(node)
    entry = (await store.read(session)).entries.get(session)
    mine = sessions.read(entry.value) if entry else None
    if entry and mine is None:
        raise NeedsPerson(f"the session of {node} is of a later version: leave with that")
    if mine is None or not mine.open:
        return []
    found: list[str] = []
    for key, claimed in (await store.read(keys.CLAIMS)).entries.items():
        claim, slot = claims.read(claimed.value), keys.slot_of(key)
        if claim and slot and (claim.node, claim.epoch) == (node, mine.epoch):
            found.append(slot[0].removeprefix("root/"))
    return sorted(set(found))


async def _other(host: Host, args: Any) -> int:
    """A member whose machine does not come back as it was."""
    async with reached(host, known=host.keepsake.mark().identity) as (store, gateway):
        there = await etcd_members.members(gateway)
        found = [one for one in there if args.member in (one.machine, one.id, one.name)]
        if not found and await _is_gone(store, args.member):
            return await _forgotten(store, args)
        if not found:
            names = ", ".join(one.machine for one in there)
            raise NeedsPerson(f"{args.member} is no member: there are {names}")
        if host.unit and host.unit.peer_url in found[0].peers:
            raise NeedsPerson("that is this host: `standfast cluster leave`, without --member")
        question = (
            f"Take {found[0].machine} out of the store's members? It comes back by joining only. [yes] "
        )
        said_yes(args, question)
        await _unnamed(store, found[0].machine)
        await etcd_members.remove(gateway, found[0].id)
    output.say(f"{found[0].machine} is no member any more")
    for warning in warnings([one for one in there if one is not found[0]]):
        output.complain(warning)
    return client.OK


async def _is_gone(store: EtcdStore, node: str) -> bool:
    """It told of itself once, and has no session: of a host that is no member, that is all there is."""
    host, session = keys.host(node), keys.session(node)
    if host not in (await store.read(host)).entries:
        return False
    entry = (await store.read(session)).entries.get(session)
    record = sessions.read(entry.value) if entry else None
    if entry and (record is None or record.open):
        raise NeedsPerson(f"{node} has a session: it leaves by itself, `standfast cluster leave` there")
    return True


async def _forgotten(store: EtcdStore, args: Any) -> int:
    question = f"No document selects {args.member} any more until its agent is started again. Go on? [yes] "
    said_yes(args, question)
    await _unnamed(store, args.member)
    output.say(f"{args.member} is no host of the cluster any more")
    return client.OK


def _no_documents(host: Host, args: Any) -> None:
    """Alone, this host would run what lies there itself, also beside the others."""
    place = host.settings.services
    if args.keep_documents or (host.unit and host.unit.witness):
        return
    try:
        there = [one for one in Path(place).rglob("*") if one.suffix in (".yaml", ".yml", ".conf")]
    except OSError as fault:
        raise MayHeal(f"{place} cannot be read: {fault.strerror}") from fault
    if there:
        raise NeedsPerson(
            f"{len(there)} documents are in {place}: alone, this host would run them itself, even while "
            "another one does: move them away, or say --keep-documents"
        )


def _question(host: Host) -> str:
    return (
        f"The cluster is not asked, and what of its store is in {host.files.data} is removed.\n"
        "This is for a host that was taken out already, or for the last one. Go on? [yes] "
    )
