"""`standfast cluster recover`, `accept-store`: a store without its quorum, and one that is another."""

import contextlib
import shutil
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler.adapters import etcd_keeper, etcd_members
from reconciler.adapters.etcd_beside import write_endpoints
from reconciler.adapters.store_etcd import EtcdStore
from reconciler.cli import client, output
from reconciler.cli.cluster_place import Host, Steps, reached, said_yes, served, why_not
from reconciler.contracts import Identity, Mark
from reconciler.decide import keys, sessions
from reconciler.decide.voters import Member
from reconciler.engine.membership import accepted, another
from reconciler.errors import MayHeal, NeedsPerson


async def recover(host: Host, args: Any) -> int:
    if host.unit is None or host.unit.witness:
        raise NeedsPerson(
            "recover on a node that has the store's data: an etcd that `standfast cluster` made"
        )
    off = tuple(filter(None, args.confirmed_off.split(",")))
    if host.settings.node in off:
        raise NeedsPerson(f"{host.settings.node} is this host, and it is not off")
    await _may(host, off)
    copy = host.files.data.with_name(f"etcd.before-{time.strftime('%Y%m%d-%H%M%S')}")
    said_yes(args, _question(host, off, copy))
    etcd_keeper.stop(host.files)
    async with Steps() as steps:
        steps.done("etcd stopped", lambda: etcd_keeper.start(host.files, host.detached))
        _copy(host.files.data, copy)
        steps.done("the new store; the one before is in force", lambda: _back(host, copy))
        own = host.files.reached((host.unit.client_url,))
        host.files.endpoints.unlink(missing_ok=True)
        with etcd_keeper.alone(host.files):
            async with reached(host, own) as (store, _):
                found = await _anew(host, store, off)
        write_endpoints(host.files, [host.unit.client_url])
        etcd_keeper.start(host.files, host.detached)
        async with reached(host, own, found) as (store, _):
            found = await served(store)
    await host.keepsake.keep(Mark(found, await _epoch(host)))
    host.node_file.name_store(own)
    output.say(
        f"{host.settings.node} is the only voter of a new store, {found.store}; the old data is in {copy}\n"
        "Restart the agent here. Each of the others, when it comes back: `standfast cluster leave "
        "--local`, then join again.\nBefore a host or a witness that is off is let on the network again, "
        "remove its etcd so: two of them would be the old store once more"
    )
    return client.OK


async def _may(host: Host, off: tuple[str, ...]) -> None:
    """That the quorum is gone, and that every node of which nothing is heard was named."""
    assert host.unit is not None
    async with reached(host) as (store, gateway):
        with contextlib.suppress(MayHeal):
            await store.identity()
            raise NeedsPerson(
                "the store answers: there is nothing to recover. A member that is lost is taken out by "
                "`standfast cluster leave --member NAME`"
            )
        there: tuple[Member, ...] = ()
        with contextlib.suppress(MayHeal):
            there = await etcd_members.members(gateway)
    others = [one for one in there if host.unit.peer_url not in one.peers and not one.witness]
    silent = [one.machine for one in others if one.machine not in off and not await _answers(host, one)]
    if silent:
        raise NeedsPerson(
            f"{', '.join(silent)} does not answer, and was not named: if it is off for sure, name it, too "
            "(--confirmed-off A,B). If it is on, what it runs would run twice"
        )


async def _answers(host: Host, member: Member) -> bool:
    if not member.clients:
        return False
    etcd = replace(host.files.reached(member.clients), endpoints_file="")
    async with reached(host, etcd) as (_, gateway):
        with contextlib.suppress(MayHeal):
            await etcd_members.members(gateway)
            return True
    return False


async def _anew(host: Host, store: EtcdStore, off: tuple[str, ...]) -> Identity:
    """Another id, so that nobody takes it for the old one; sessions of those that are off are closed."""
    try:
        await served(store)
    except MayHeal as fault:
        raise MayHeal(why_not(host, fault)) from fault
    there = (await store.read(keys.SESSIONS)).entries
    known = {key.removeprefix(keys.SESSIONS): sessions.read(entry.value) for key, entry in there.items()}
    if why := unnamed(known, off, host.settings.node):
        raise NeedsPerson(why)
    found = await store.found(anew=True)
    for node in off:
        entry, session = there[keys.session(node)], known[node]
        if session is None:
            raise NeedsPerson(f"the session of {node} is not understood: recover with the newer version")
        closed = replace(
            session, open=False, epoch=session.epoch + session.open, level=sessions.Level.FENCED
        )
        compare, puts = {keys.session(node): entry.revision}, {keys.session(node): sessions.written(closed)}
        if await store.commit(compare, puts) is None:
            raise MayHeal(f"the session of {node} changed meanwhile")
    return replace(found, revision=(await store.identity()).revision)


def unnamed(known: Mapping[str, sessions.Session | None], off: Collection[str], me: str) -> str:
    """Why not: a name that nobody has, or a node that may be on and was not named; "" when all is said."""
    if strange := sorted(set(off) - known.keys()):
        others = ", ".join(sorted(known.keys() - {me})) or "none"
        return f"{', '.join(strange)} never had a session in this store; other nodes are: {others}"
    left = sorted(
        node
        for node, session in known.items()
        if node != me and node not in off and (session is None or session.open)
    )
    if left:
        return (
            f"{', '.join(left)} had a session, and was not named: if it is off for sure, name it, too "
            "(--confirmed-off A,B). If it is on, what it runs would run twice"
        )
    return ""


def _copy(data: Path, copy: Path) -> None:
    """All of it or nothing. Raises NeedsPerson; the data is as it was then."""
    try:
        shutil.copytree(data, copy)
    except OSError as fault:  # shutil.Error, which names each file, is one
        shutil.rmtree(copy, ignore_errors=True)
        raise NeedsPerson(f"{data} cannot be copied to {copy}, so nothing is changed: {fault}") from fault


def _back(host: Host, copy: Path) -> None:
    """The whole copy is there, for this is a step only then."""
    etcd_keeper.stop(host.files)
    shutil.rmtree(host.files.data)
    copy.rename(host.files.data)


async def accept_store(host: Host, args: Any) -> int:
    try:
        mark: Mark | None = host.keepsake.mark()
    except NeedsPerson as fault:
        output.complain(str(fault))
        mark = None
    async with reached(host) as (store, _):
        found = await served(store, 0)
        highest = await _highest(store)
    why = another(mark.identity, found) if mark else "what was remembered cannot be read"
    if not why:
        output.say(
            f"the store is the one we know, {found.store or 'without an id'}: there is nothing to accept"
        )
        return client.OK
    epoch = max(mark.epoch if mark else 0, highest)
    question = (
        f"{why}.\nTake the store {found.store or 'without an id'} for ours, whatever is in it? [yes] "
    )
    said_yes(args, question)
    await host.keepsake.keep(accepted(Mark(None, epoch)))
    output.say(
        f"the store {found.store} is ours from now on, and epochs go on above {epoch}: restart the agent"
    )
    return client.OK


async def _epoch(host: Host) -> int:
    async with reached(host) as (store, _):
        return max(await _highest(store), host.keepsake.mark().epoch)


async def _highest(store: EtcdStore) -> int:
    entries = (await store.read(keys.SESSIONS)).entries.values()
    return max(
        (kept.epoch for kept in map(sessions.read, (one.value for one in entries)) if kept), default=0
    )


def _question(host: Host, off: tuple[str, ...], copy: Path) -> str:
    return (
        f"{host.settings.node} becomes the only voter of a NEW store, with what it knows of the old one.\n"
        f"The old data is copied to {copy}.\n"
        f"You say that {', '.join(off)} is off: what it ran may be started elsewhere at once. If that is\n"
        "not true, it runs twice, and data on shared disks is destroyed. Go on? [yes] "
    )
