"""`standfast cluster init`, `token`: the first host of a cluster, and the line that others join by."""

import shutil
from typing import Any

from reconciler.adapters import etcd_keeper, etcd_members, etcd_unit, pki, tokens
from reconciler.adapters.etcd_beside import write_endpoints
from reconciler.adapters.etcd_unit import Unit
from reconciler.adapters.store_etcd import EtcdStore
from reconciler.cli import client, output
from reconciler.cli.cluster_place import Host, Steps, new_member, reached, remembered, served, user, why_not
from reconciler.decide.timing import derive, written
from reconciler.errors import MayHeal, NeedsPerson


async def init(host: Host, args: Any) -> int:
    new_member(host, args)
    wanted = args.failover_time or "default"
    try:
        election = derive(written(wanted)).election
    except ValueError as fault:
        raise NeedsPerson(" ".join(str(fault).split("\n"))) from None
    unit = Unit(
        host.settings.node,
        args.listen,
        args.client_port,
        args.peer_port,
        args.enrol_port,
        tokens.made((), "", 0).secret,
        {host.settings.node: (etcd_unit.url(args.listen, args.peer_port),)},
        True,
        election,
        wanted,
    )
    async with Steps() as steps:
        _authority(host, unit, steps)
        etcd_of(host, steps)
        begin(host, unit)
        etcd = host.files.reached((unit.client_url,))
        async with reached(host, etcd) as (store, _):
            try:
                await served(store)
                found = await store.found()
            except MayHeal as fault:
                raise MayHeal(why_not(host, fault)) from fault
            await host.keepsake.keep(remembered(host, found))
            write_endpoints(host.files, [unit.client_url])
            steps.done(f"the store in {host.node_file.path}", lambda: _ignored(host.node_file.undo()))
            host.node_file.name_store(etcd, wanted)
            line = await _line(host, unit, store, args.valid)
    output.say(_told(host, unit, line))
    return client.OK


def _authority(host: Host, unit: Unit, steps: Steps) -> None:
    steps.done(
        f"certificates in {host.files.pki}", lambda: shutil.rmtree(host.files.pki, ignore_errors=True)
    )
    by = pki.authority()
    member_key, member = pki.request()
    client_key, agent = pki.request()
    addresses = (unit.address, "127.0.0.1", "::1")
    for name, text in (
        ("ca.key", by.key),
        ("ca.pem", by.certificate),
        ("member.key", member_key),
        ("member.pem", pki.sign_member(by, member, host.settings.node, addresses)),
        ("peer.pem", pki.sign_peer(by, member, host.settings.node, addresses)),
        ("client.key", client_key),
        ("client.pem", pki.sign_client(by, agent, host.settings.node)),
    ):
        etcd_unit.put_pem(host.files, name, text)


def etcd_of(host: Host, steps: Steps) -> None:
    """From now on it is taken back when something fails, however far it got."""

    def back() -> None:
        etcd_keeper.stop(host.files, forget=True)
        remove(host)

    steps.done(f"etcd, with its data in {host.files.data}", back)


def begin(host: Host, unit: Unit) -> None:
    """An etcd of ours runs from now on."""
    etcd_unit.keep(host.files, unit)
    etcd_keeper.start(host.files, host.detached)


def remove(host: Host) -> None:
    """What our etcd had here."""
    files = host.files
    for path in (files.unit, files.endpoints, files.endpoints_kept):
        path.unlink(missing_ok=True)
    shutil.rmtree(files.data, ignore_errors=True)


def _ignored(_: object) -> None:
    return None


async def token(host: Host, args: Any) -> int:
    if host.unit is None or not (host.files.pki / "ca.key").exists():
        raise NeedsPerson(
            "this host lets nobody in: make the token on a node that `standfast cluster init` or `join` "
            "made a voter. With an etcd of your own there is nothing to join: name it in node.yaml"
        )
    async with reached(host, known=host.keepsake.mark().identity) as (store, _):
        line = await _line(host, host.unit, store, args.valid)
    if args.output == "table":
        output.say(line)
    else:
        output.show(args, {"token": line.split()[-1], "join": line, "valid": args.valid}, lambda: line)
    return client.OK


async def _line(host: Host, unit: Unit, store: EtcdStore, valid: float) -> str:
    """By any node that votes, this one first."""
    async with reached(host, host.files.reached((unit.client_url,))) as (_, gateway):
        there = await etcd_members.members(gateway)
    hosts = [member.peers[0] for member in there if not member.witness and not member.learner]
    addresses = [url.split("//")[1].rpartition(":")[0] for url in hosts]
    own = etcd_unit.host_port(unit.address, unit.enrol_port)
    at = dict.fromkeys((own, *(f"{address}:{unit.enrol_port}" for address in addresses)))
    authority = (host.files.pki / "ca.pem").read_text(encoding="ascii")
    made = tokens.made(tuple(at), pki.fingerprint(authority), valid)
    await tokens.put(store, made, f"{user()}@{host.settings.node}")
    return f"standfast cluster join --listen ADDRESS --token {tokens.written(made)}"


def _told(host: Host, unit: Unit, line: str) -> str:
    return f"""\
The cluster is there, with {host.settings.node} as its only voter: without this host there is no store yet.
  etcd listens on {unit.client_url} (clients) and {unit.peer_url} (members)
  {host.node_file.path} names it; restart the agent to use it

On each further host, with an address of that host, once:
  {line}
On a third machine that runs no services, a witness, before the second node:
  {line.replace(" join ", " witness ")}
A token lets one host in; `standfast cluster token` makes more."""
