"""A dice → what befalls the hosts of a cluster, one thing after another, and how each of it ends again.

All of it is within the promise of `docs/safety.md`: a watchdog that resets in time, clocks that run wrong
by no more than ρ, guards that nothing can hold up between a look at the clock and a pet.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random
from typing import Any, TypeVar

from reconciler.errors import MayHeal, NeedsPerson
from reconciler.testing.clusters import Member, SimCluster
from reconciler.testing.faulty import Way
from reconciler.testing.processes import Process, later
from reconciler.testing.sharing import offer
from reconciler.testing.things import DOWN, thing_of

T = TypeVar("T")
LONGEST = 16.0
"""Seconds that a fault lasts at most."""


@dataclass(frozen=True)
class Fault:
    """`luck`: what it drew when it was there first."""

    kind: str
    member: str
    seconds: float
    luck: tuple[float, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} of {self.member} ({self.seconds:.1f} s)"


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


class Faults:
    """Of one day. `count`: how many of each kind there were."""

    def __init__(self, cluster: SimCluster, dice: Random) -> None:
        self._cluster, self._all, self._dice = cluster, dice, Luck(dice)
        self.count: dict[str, int] = {}
        self._undo: dict[int, Callable[[], None]] = {}
        self._number, self._healed = 0, False
        self._unlucky = dice.choice((0.3, 0.9))  # how often it befalls one that has something up

    def drawn(self, kind: str) -> "Fault":
        """Of this kind, now."""
        there, dice = [m for m in self._cluster.members if not m.gone], self._all
        busy = [m for m in there if m.host.up and m.host.ups()]
        member = dice.choice(busy if busy and dice.random() < self._unlucky else there)
        seconds = dice.choice((0.3, 2.0, 8.0, LONGEST)) * dice.uniform(0.3, 1.0)
        return Fault(kind, member.name, seconds)

    async def befall(self, fault: "Fault") -> "Fault":
        """The same with what it drew; nothing, if whom it befell is not there."""
        member = next((m for m in self._cluster.members if m.name == fault.member and not m.gone), None)
        if member is None:
            return fault
        self.count[fault.kind] = self.count.get(fault.kind, 0) + 1
        self._dice = Luck(self._all, fault.luck)
        self._cluster.oracle.say(member.name, f"FAULT: {fault.kind} ({fault.seconds:.1f} s)")
        await KINDS[fault.kind](self, member, fault.seconds)
        return replace(fault, luck=tuple(self._dice.drawn))

    def heal(self) -> None:
        """All that still lasts, and nothing more comes."""
        self._healed = True
        for number in list(self._undo):
            self._undo.pop(number)()
        for member in self._cluster.members:
            if member.name != member.node and not member.gone:
                member.gone = member.host.removed = True
                member.host.off("the clone is removed")

    def _until(self, seconds: float, undo: Callable[[], None]) -> None:
        self._number += 1
        number = self._number
        self._undo[number] = undo
        later(seconds, self._over, number)

    def _over(self, number: int) -> None:
        if undo := self._undo.pop(number, None):
            undo()

    # --- the network and the store ---------------------------------------------------------

    def _some(self, member: Member) -> tuple[Way, ...]:
        return self._dice.choice((member.ways, member.ways, member.ways[:1], member.ways[1:]))

    def _set(self, ways: tuple[Way, ...], seconds: float, **words: Any) -> None:
        """Twice at once, the one that began last ends it."""
        for way in ways:
            for name, value in words.items():
                setattr(way, name, value)

        def undo() -> None:
            for way in ways:
                for name in words:
                    setattr(way, name, HEALTHY[name])

        self._until(seconds, undo)

    async def silent(self, member: Member, seconds: float) -> None:
        self._set(self._some(member), seconds, silent=True)

    async def mute(self, member: Member, seconds: float) -> None:
        self._set(self._some(member), seconds, mute=True)

    async def deaf(self, member: Member, seconds: float) -> None:
        self._set(self._some(member), seconds, deaf=True)

    async def late(self, member: Member, seconds: float) -> None:
        self._set(self._some(member), seconds, late=self._dice.uniform(0.0, 6.0))

    async def lossy(self, member: Member, seconds: float) -> None:
        part = self._dice.choice((0.4, 1.0))
        self._set(self._some(member), seconds, drop=lambda compare, puts: self._all.random() < part)

    async def refused(self, member: Member, seconds: float) -> None:
        self._set(self._some(member), seconds, refused="refused")

    async def fading(self, member: Member, seconds: float) -> None:
        """First no answer comes, then nothing gets there either."""
        begins = self._dice.uniform(0.1, 2.0)
        self._set(member.ways, begins, mute=True)
        later(begins, self._fades, member, seconds)

    def _fades(self, member: Member, seconds: float) -> None:
        if not self._healed:
            self._set(member.ways, seconds, silent=True)

    async def slow(self, member: Member, seconds: float) -> None:
        self._set(self._some(member), seconds, slow=self._dice.choice((0.2, 0.95, 1.2)))

    async def leaderless(self, member: Member, seconds: float) -> None:
        """The store answers nobody; what was sent may have arrived."""
        ways = tuple(way for m in self._cluster.members for way in m.ways)
        self._set(ways, seconds, **self._dice.choice(ALIKE))

    # --- processes -------------------------------------------------------------------------

    async def kill(self, member: Member, seconds: float) -> None:
        if member.agent:
            member.agent.die("killed")

    async def dies_at_work(self, member: Member, seconds: float) -> None:
        """In the middle of anything that it does about something that has just happened."""
        agent = member.agent
        if agent is None or not member.running:
            return
        part = self._dice.choice((agent.main, agent.main, agent.renewer))
        part.after(self._dice.choice((3, 30, 150)) + self._dice.randrange(30), lambda: agent.die("killed"))
        await self._dice.choice((self.lost, self.asked))(member, seconds)

    async def guard(self, member: Member, seconds: float) -> None:
        if member.guards.guard:
            member.guards.guard.die()

    async def both(self, member: Member, seconds: float) -> None:
        await self.guard(member, seconds)
        await self.kill(member, seconds)

    async def hold(self, member: Member, seconds: float) -> None:
        """SIGSTOP of the agent, or of a part of it: a calculation that holds up its loop."""
        if member.agent:
            agent = member.agent
            self._held(self._dice.choice((agent.process, agent.main, agent.renewer)), seconds)

    async def hold_guard(self, member: Member, seconds: float) -> None:
        if member.guards.guard:
            self._held(member.guards.guard.process, seconds)

    def _held(self, process: Process, seconds: float) -> None:
        process.hold_up()
        self._until(seconds, process.go_on)

    # --- the machine -----------------------------------------------------------------------

    async def crash(self, member: Member, seconds: float) -> None:
        member.host.reset("it crashed")

    async def suspend(self, member: Member, seconds: float) -> None:
        """The whole machine; its watchdog counts on."""
        self._held(member.host.whole, seconds)

    async def clock(self, member: Member, seconds: float) -> None:
        """Somebody sets the wall clock, for good."""
        member.host.clock.step += self._dice.choice((-3600.0, -5.0, 5.0, 3600.0))

    async def clone(self, member: Member, seconds: float) -> None:
        if len(self._cluster.members) < 5 and member.name == member.node:
            self._cluster.clone(member)

    async def full(self, member: Member, seconds: float) -> None:
        run = member.host.run
        run.full = True
        self._until(seconds, lambda: setattr(run, "full", False))

    # --- things ----------------------------------------------------------------------------

    def _in(self, member: Member, things: set[str], seconds: float) -> None:
        """One that is up there, or one of all that could be."""
        named = [thing_of(service, r) for service in self._cluster.services for r in service.resources]
        ups = member.host.ups()
        thing = self._dice.choice(ups if ups and self._dice.random() < 0.7 else named)
        things.add(thing)
        self._until(seconds, lambda: things.discard(thing))

    async def stuck(self, member: Member, seconds: float) -> None:
        """One thing, or whatever is up there."""
        for _ in range(self._dice.choice((1, 4))):
            self._in(member, member.host.stuck, seconds)

    async def fails(self, member: Member, seconds: float) -> None:
        self._in(member, member.host.fails, seconds)

    async def blind(self, member: Member, seconds: float) -> None:
        self._in(member, member.host.blind, seconds)

    async def lost(self, member: Member, seconds: float) -> None:
        """It is down, and nobody of us did it."""
        if ups := member.host.ups():
            member.host.put(self._dice.choice(ups), DOWN)

    async def sluggish(self, member: Member, seconds: float) -> None:
        host = member.host
        host.slow = self._dice.choice((0.3, 1.0, 4.0)) * self._dice.random()
        self._until(seconds, lambda: setattr(host, "slow", 0.0))

    # --- people ----------------------------------------------------------------------------

    async def asked(self, member: Member, seconds: float) -> None:
        service = self._dice.choice(self._cluster.services)
        verb = self._dice.choice(
            ("switch", "switch", "giveback", "stop", "start", "restart", "freeze", "thaw")
        )
        self.ask(member, service.key, {"verb": verb})

    async def edited(self, member: Member, seconds: float) -> None:
        """Somebody saves another version of a document on this host."""
        agent = member.agent
        if agent is None or not member.running:
            return
        service = self._dice.choice(self._cluster.services)
        made = self._cluster.versions.edited(agent.records[service.key].service, self._dice.random() < 0.2)
        agent.main.call(0.0, offer, agent, made)

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

        if key:
            self._cluster.oracle.asked_for(key, str(wish["verb"]))

        async def ask() -> bool:
            with suppress(MayHeal, NeedsPerson):
                await (
                    agent.wishes.ask(key, wish, "alice") if key else agent.wishes.ask_node(wish, "alice")
                )
                return True
            return False

        return agent.main.begin(ask(), f"{wish['verb']} {key}")

    async def thawed(self) -> None:
        """Whatever was asked of whom is taken back; as often as it takes."""
        wants = [(m, "", {"verb": "thaw", "scope": "node"}) for m in self._cluster.members if not m.gone]
        await asyncio.sleep(2 * self._cluster.members[0].host.timing.request)  # until all have heard all
        any_ = self._cluster.members[0]
        wants.append((any_, "", {"verb": "thaw", "scope": "cluster"}))
        for service in self._cluster.services:
            data = ("provision",) if self._cluster.oracle.words(service.name) else ()
            wants += [(any_, service.key, {"verb": verb}) for verb in ("thaw", "clear", *data)]
        for member, key, wish in wants:
            for _ in range(60):
                task = self.ask(member, key, wish)
                await asyncio.wait([task], timeout=10) if task else await asyncio.sleep(1)
                if task and task.done() and task.result():
                    break
                await asyncio.sleep(1)


ALIKE: Sequence[Mapping[str, Any]] = ({"mute": True}, {"silent": True}, {"late": 1.0})
HEALTHY: Mapping[str, Any] = {
    "silent": False,
    "mute": False,
    "deaf": False,
    "late": None,
    "refused": "",
    "slow": 0.001,
    "drop": lambda compare, puts: False,
}

Kind = Callable[[Faults, Member, float], Awaitable[None]]
KINDS: Mapping[str, Kind] = {
    "silent": Faults.silent,
    "mute": Faults.mute,
    "deaf": Faults.deaf,
    "late": Faults.late,
    "lossy": Faults.lossy,
    "refused": Faults.refused,
    "fading": Faults.fading,
    "slow": Faults.slow,
    "leaderless": Faults.leaderless,
    "kill": Faults.kill,
    "dies at work": Faults.dies_at_work,
    "guard dies": Faults.guard,
    "both die": Faults.both,
    "hold": Faults.hold,
    "hold the guard": Faults.hold_guard,
    "crash": Faults.crash,
    "suspend": Faults.suspend,
    "clock": Faults.clock,
    "clone": Faults.clone,
    "full": Faults.full,
    "stuck": Faults.stuck,
    "fails": Faults.fails,
    "blind": Faults.blind,
    "lost": Faults.lost,
    "sluggish": Faults.sluggish,
    "asked": Faults.asked,
    "asked of a node": Faults.asked_node,
    "edited": Faults.edited,
    "unprovisioned": Faults.unprovisioned,
}
