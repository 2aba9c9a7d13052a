"""A started agent and a member → services that are claimed, documents and wishes that are shared."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from reconciler.adapters import disks
from reconciler.adapters.clock import SystemClock
from reconciler.adapters.fence import fence
from reconciler.adapters.leftovers import end
from reconciler.adapters.load import room
from reconciler.asks import Block, BlockDevice, Failed, Name, NotYet
from reconciler.contracts import Event
from reconciler.decide import candidates, hosts
from reconciler.decide.hosts import Host
from reconciler.decide.standing import Standing
from reconciler.engine.fencing import Fencer
from reconciler.engine.neighbours import Neighbours
from reconciler.engine.together import Behind, Together
from reconciler.engine.travel import Travel
from reconciler.errors import MayHeal
from reconciler.guard import lines as guarded
from reconciler.member import Member, Say, Seams, endless
from reconciler.model import Owner
from reconciler.running import Running
from reconciler.settings import Fence

LOOK = 1.0
"""Seconds between two looks at what is told of this host."""


def join(made: Running, member: Member, seams: Seams) -> list[asyncio.Task[None]]:
    """Before any document is read; returns what goes on for as long as the agent lives."""

    def priority(key: str) -> int:
        record = made.records.get(key)
        return record.service.priority if record else 0

    def stood(standing: Standing) -> None:
        for key in sorted(made.records, key=priority):
            made.queue.add(key)

    def say(reason: str, text: str, ok: bool) -> None:
        made.tell.record(Event(SystemClock().wall(), "daemon", reason=reason, text=text, ok=ok))

    member.cluster.priority = priority
    together = _together(made, member)
    travel = _travel(made, member)
    together.behind, together.cannot = travel.behind, travel.cannot
    neighbours = _neighbours(made, member, together)
    made.agent.among(neighbours)
    made.of_cluster = lambda: {
        "seen": neighbours.seen(),
        "wall": SystemClock().wall(),
        "guard_up": not member.guard.lost.is_set(),
        "guard_lines": member.gate.listed,
        "store_size": member.tending.size,
        "store_quota": member.tending.quota,
        "store_voters": member.tending.voters,
    }
    seams.changed, seams.shown = made.queue.add, made.agent.shown
    seams.stood, seams.say = stood, say
    acts = [
        member.keeper.run(),
        endless(member.cluster.run, seams, "the view of the cluster"),
        endless(travel.run, seams, "documents"),
        endless(member.wishes.run, seams, "wishes"),
        endless(member.statuses.run, seams, "statuses"),
        endless(member.tending.run, seams, "the store's health"),
        endless(lambda: _told_of_us(made, member), seams, "this host"),
    ]
    if made.settings.fencing:
        acts.append(_fencer(made, member, say).run())
    return [asyncio.create_task(act) for act in acts]


def _together(made: Running, member: Member) -> Together:
    async def resolve(service: str, names: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
        owner, asks = Owner(service), [Name(name) for name in names]
        if not asks:
            return {}
        await made.hub.answer(owner, asks)
        found: dict[str, tuple[str, ...]] = {}
        for ask in asks:
            answer = made.hub.known(owner, ask)
            if isinstance(answer, tuple) and answer:
                found[ask.name] = answer
        return found

    records = made.records
    member.cluster.bound = lambda key: candidates.bound_to(key, (one.service for one in records.values()))
    together = Together(made.settings.node, member.cluster, member.gate, made.drivers, resolve)
    together.behind_devices, together.end_left = _behind(made), _end_left(made)
    together.confirm_off, together.maintain = member.keeper.confirm_off, member.maintain
    together.drained = lambda: _drained(made)
    together.jobs, made.reconciler.together = made.jobs, together
    made.jobs.gate = lambda owner, op: together.enter(owner, op, made.records.get(owner.service))
    made.desk.shared, made.wishes.together = member.wishes, together
    return together


def _behind(made: Running) -> Behind:
    async def behind(service: str, paths: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
        owner, asks = Owner(service), [BlockDevice(path) for path in paths]
        await made.hub.answer(owner, asks)
        seen: dict[str, Block] = {}
        for ask in asks:
            answer = made.hub.known(owner, ask)
            if isinstance(answer, Failed | NotYet):
                why = answer.why if isinstance(answer, Failed) else "not looked at yet"
                raise MayHeal(f"{ask.path}: {why}")
            if answer is not None:
                seen[ask.path] = answer
        return await asyncio.to_thread(lambda: {path: disks.names(block) for path, block in seen.items()})

    return behind


def _end_left(made: Running) -> Callable[[guarded.Program, str], Coroutine[Any, Any, None]]:
    async def end_left(line: guarded.Program, who: str) -> None:
        """Told as the operation that it is."""
        service, _, rid = line.owner.partition(":")
        began, clock = asyncio.get_running_loop().time(), SystemClock()
        why = await end(line)
        text = f"kill -{line.signal} {who}: left in the control group of {rid}, which is down"
        seconds = asyncio.get_running_loop().time() - began
        event = Event(clock.wall(), "operation", service, rid, "stop", text, not why, seconds, output=why)
        made.tell.record(event)
        made.queue.add(service)

    return end_left


def _travel(made: Running, member: Member) -> Travel:
    travel = Travel(made.settings.node, member.cluster, made.desk, made.drivers, made.records)
    travel.shelf, made.library.travel = made.library, travel
    travel.accepted = member.accepted
    member.cluster.document, member.cluster.host = travel.arrived, travel.host
    made.reconciler.ended_for_all = travel.ended
    return travel


def _neighbours(made: Running, member: Member, together: Together) -> Neighbours:
    def still() -> Mapping[str, float]:
        try:
            return member.keeper.renewer.still()
        except MayHeal:
            return {}

    return Neighbours(
        made.settings.node,
        together,
        member.statuses,
        lambda: member.standing,
        still,
        member.timing.failover,
        str(member.level),
        made.settings.fencing,
    )


def _fencer(made: Running, member: Member, say: Say) -> Fencer:
    async def fenced(node: str, how: Fence) -> str:
        return await fence(node, how, made.settings.run, made.host.run_check)

    timing = member.timing
    return Fencer(
        made.settings.fencing,
        timing.silent,
        lambda: member.keeper.renewer,
        fenced,
        lambda text, ok: say("Fencing", text, ok),
    )


def _drained(made: Running) -> str:
    drained = made.desk.node_drained()
    return f"drained by {drained.who}" if drained else ""


async def _told_of_us(made: Running, member: Member) -> None:
    """For ever: what the others go by when they choose a node."""
    settings = made.settings
    constant = Host(settings.env, version("standfast"), settings.labels)
    while True:
        free, frozen = await asyncio.to_thread(room), made.desk.node_frozen()
        host = replace(
            constant,
            load=free.load,
            score=round(candidates.score(free.load, free.memory, free.swap)),
            memory=free.memory,
            swap=free.swap,
            frozen=str(frozen) if frozen else "",
            drained=_drained(made),
        )
        member.statuses.put_host(hosts.written(host))
        await asyncio.sleep(LOOK)
