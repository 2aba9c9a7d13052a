"""What people do to a cluster on a day: they ask, edit, remove and lose documents, and put all of it right.

What they asked for is told to the oracle: it knows what may be destroyed, and which document may go.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any, TypeVar

from reconciler.decide import keys
from reconciler.engine.travel import read
from reconciler.errors import MayHeal, NeedsPerson
from reconciler.testing.agents import SimAgent
from reconciler.testing.clusters import Member, SimCluster
from reconciler.testing.machines import SimHost
from reconciler.testing.processes import later

T = TypeVar("T")


class Luck:
    """What one fault draws: the same as `before`, as far as that goes; the dice go on all the same."""

    def __init__(self, dice: Random, before: Sequence[float] = ()) -> None:
        self._dice, self._before = dice, list(before)
        self.drawn: list[float] = []

    def choice(self, among: Sequence[T]) -> T:
        return among[int(self._draw(self._dice.randrange(len(among)))) % len(among)]

    def randrange(self, below: int) -> int:
        return int(self._draw(self._dice.randrange(below)))

    def random(self) -> float:
        return self._draw(self._dice.random())

    def uniform(self, least: float, most: float) -> float:
        return self._draw(self._dice.uniform(least, most))

    def _draw(self, fresh: float) -> float:
        self.drawn.append(self._before.pop(0) if self._before else fresh)
        return self.drawn[-1]


class People:
    """Of one day. What lasts is undone in its time, or when all is healed."""

    def __init__(self, cluster: SimCluster, dice: Random) -> None:
        self._cluster, self._all, self._dice = cluster, dice, Luck(dice)
        self._undo: dict[int, Callable[[], None]] = {}
        self._number, self._healed = 0, False

    def _until(self, seconds: float, undo: Callable[[], None]) -> None:
        self._number += 1
        number = self._number
        self._undo[number] = undo
        later(seconds, self._over, number)

    def _over(self, number: int) -> None:
        if undo := self._undo.pop(number, None):
            undo()

    async def asked(self, member: Member, seconds: float) -> None:
        service = self._dice.choice(self._cluster.services)
        verb = self._dice.choice(
            ("switch", "switch", "giveback", "stop", "start", "restart", "freeze", "thaw")
        )
        self.ask(member, service.key, {"verb": verb})

    async def edited(self, member: Member, seconds: float) -> None:
        """Somebody saves another version of a document on this host."""
        key = self._dice.choice(self._cluster.services).key
        agent, versions = member.agent, self._cluster.versions
        if _lost_unseen(member):
            return
        record = agent.records.get(key) if agent and member.running else None
        before = record.service if record else versions.last(key)
        made = versions.edited(before, self._dice.random() < 0.2)
        member.host.save(key, versions.content(made))

    async def removed(self, member: Member, seconds: float) -> None:
        """Somebody removes a document: where it came from, here, or everywhere; and puts it back."""
        key, all_ = self._dice.choice(self._cluster.services).key, self._cluster.members
        entry = (await self._cluster.truth.read(keys.document(key))).entries.get(keys.document(key))
        found = read(entry.value) if entry else None
        origin = [m for m in all_ if found and m.node == found.node]
        there = self._dice.choice((origin, origin, [member], all_))
        had = [(m, m.host.files[key]) for m in there if m.host.up and key in m.host.files]
        if had:
            self._cluster.oracle.removed(key)
        for of, _ in had:
            of.host.save(key, "")
        if self._dice.random() < 0.5:
            later(self._dice.uniform(0.4, 3.0), self._confirm, there)
        self._until(
            seconds, lambda: _put_back((of.host, key, text) for of, text in had if not _lost_unseen(of))
        )

    def _confirm(self, members: Sequence[Member]) -> None:
        """`standfast prune --confirm`, by who has seen what is held back."""
        for member in members:
            agent = member.agent
            if agent and member.running and not self._healed:
                for key in sorted(agent.library.held):
                    self._cluster.oracle.removed(key)
                agent.main.begin(agent.library.scan(confirmed=True), "prune --confirm")

    async def directory(self, member: Member, seconds: float) -> None:
        """All documents of a host at once: not mounted, or a checkout that went wrong; nobody meant it."""
        host, agent = member.host, member.agent
        had = [(host, key, text) for key, text in host.files.items()]
        if self._dice.random() < 0.5:
            host.mounted = False
        for _, key, _ in had if host.mounted else ():
            host.save(key, "")

        def back() -> None:
            host.mounted = True
            host.saved()
            # One by one only where it is known, and kept, that they went at once.
            slowly = agent and agent is member.agent and member.running and not host.unkept
            first = 1 if slowly and agent and agent.desk.prune_held() and not self._healed else len(had)
            _put_back(had[:first])
            later(1.5, _put_back, had[first:])

        self._until(seconds, back)

    async def purged(self, member: Member, seconds: float) -> None:
        if self._dice.random() < 0.5:
            self.ask(member, self._dice.choice(self._cluster.services).key, {"verb": "purge"})

    async def unprovisioned(self, member: Member, seconds: float) -> None:
        """Its data is to be destroyed: of one whose disk is real."""
        real = [s for s in self._cluster.services if any(r.kind == "disk.vg" for r in s.resources)]
        if real and self._dice.random() < 0.3:
            self.ask(member, self._dice.choice(real).key, {"verb": "unprovision"})

    async def asked_node(self, member: Member, seconds: float) -> None:
        verb = self._dice.choice(("freeze", "drain", "thaw", "thaw"))
        scope = self._dice.choice(("node", "node", "cluster"))
        self.ask(member, "", {"verb": verb, "scope": scope})

    def ask(self, member: Member, key: str, wish: Mapping[str, Any]) -> "asyncio.Task[bool] | None":
        agent = member.agent
        if agent is None or not member.running:
            return None

        oracle, verb = self._cluster.oracle, str(wish["verb"])
        if key:
            oracle.asked_for(key, verb)
        lasts = not key and wish["scope"] == "node" and verb != "drain"
        number = oracle.asks(member.name) if lasts else 0

        async def ask() -> bool:
            with suppress(MayHeal, NeedsPerson):
                await (agent.wishes.ask(key, wish, "alice") if key else agent.ask_node(wish, "alice"))
                if lasts:
                    oracle.answered(member.name, number, verb == "freeze")
                return True
            return False

        return agent.main.begin(ask(), f"{wish['verb']} {key}")

    async def thawed(self) -> None:
        """Whatever was asked of whom is taken back, and every document is there; as often as it takes."""
        members, services = self._cluster.members, self._cluster.services
        await asyncio.sleep(2 * members[0].host.timing.request)  # until all have heard all
        for member in [m for m in members if not m.gone]:
            await self._insist(member, "", {"verb": "thaw", "scope": "node"})
        await self._insist(members[0], "", {"verb": "thaw", "scope": "cluster"})
        for service in services:
            await self._insist(members[0], service.key, {"verb": "thaw"})
        for service in services:
            await self._restored(service.key)
        for service in services:
            data = ("provision",) if self._cluster.oracle.said(service.key) else ()
            for verb in ("thaw", "clear", *data):
                await self._insist(members[0], service.key, {"verb": verb})

    async def _insist(self, member: Member, key: str, wish: Mapping[str, Any]) -> None:
        """Nothing can be asked of what has no document."""
        for _ in range(60):
            if key and member.running and member.agent and key not in member.agent.records:
                return
            task = self.ask(member, key, wish)
            await asyncio.wait([task], timeout=10) if task else await asyncio.sleep(1)
            if task and task.done() and task.result():
                break
            await asyncio.sleep(1)

    async def _restored(self, key: str) -> None:
        """Once nobody is about to remove or purge it, a person saves it anew where it is not there."""
        versions, saved, stopped = self._cluster.versions, False, False
        for _ in range(90):
            agents = [m.agent for m in self._cluster.members if m.agent and m.running and not m.gone]
            entry = (await self._cluster.truth.read(keys.document(key))).entries.get(keys.document(key))
            found = read(entry.value) if entry else None
            there = found is not None and not found.deleted
            going = any(_is_going(agent, key, there) for agent in agents)
            if there and not going and all(key in agent.records for agent in agents):
                return
            if agents and not there and not going and not saved:
                saved = True
                made = versions.edited(versions.last(key), stops=False)
                for agent in agents:  # what was orphaned is known where it is up alone
                    agent.host.save(key, versions.content(made))
            waits = [agent.travel._waits.get(key, "").startswith("waits for stop") for agent in agents]
            if any(waits) and not there and not stopped:  # what was orphaned is stopped by word alone
                stopped = True
                known = [
                    m for m in self._cluster.members if m.agent and key in m.agent.records and not m.gone
                ]
                for member in known[:1]:
                    await self._insist(member, key, {"verb": "stop"})
            await asyncio.sleep(1)


def _lost_unseen(member: Member) -> bool:
    """Nobody has seen its directory empty: one file in it says that the others were taken away."""
    seen = member.agent and member.running and member.agent.desk.prune_held()
    return not (member.host.files or seen)


def _put_back(files: Iterable[tuple[SimHost, str, str]]) -> None:
    """What was not saved anew meanwhile."""
    for host, key, text in files:
        if key not in host.files:
            host.save(key, text)


def _is_going(agent: SimAgent, key: str, there: bool) -> bool:
    wish = agent.desk.asked(key).wish
    purged = there and wish is not None and wish.verb == "purge"
    return purged or agent.travel._offers.get(key, agent) is None
