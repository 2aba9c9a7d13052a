"""A dice → what befalls the hosts of a cluster, one thing after another, and how each of it ends again.

All of it is within the promise of `docs/safety.md`: a watchdog that resets in time, clocks that run wrong
by no more than ρ, guards that nothing can hold up between a look at the clock and a pet.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from reconciler.testing.clusters import Member, SimCluster
from reconciler.testing.faulty import Way
from reconciler.testing.people import Luck, People
from reconciler.testing.processes import Process, later
from reconciler.testing.things import DOWN, thing_of
from reconciler.testing.voters import VOTERS

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


class Faults(People):
    """Of one day. `count`: how many of each kind there were."""

    def __init__(self, cluster: SimCluster, dice: Random) -> None:
        super().__init__(cluster, dice)
        self.count: dict[str, int] = {}
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

    # --- those that are the store ----------------------------------------------------------

    async def voter_falls(self, member: Member, seconds: float) -> None:
        voters, voter = self._cluster.voters, self._dice.choice(VOTERS)
        voters.fall(voter)
        self._until(seconds, lambda: voters.rise(voter))

    async def voter_cut(self, member: Member, seconds: float) -> None:
        """From the others: both ways, or only what it says, or only what it hears."""
        voters, voter = self._cluster.voters, self._dice.choice(VOTERS)
        out = [(voter, other) for other in VOTERS if other != voter]
        back = [(other, voter) for other in VOTERS if other != voter]
        pairs = self._dice.choice((out + back, out, back, out[:1], back[:1]))
        voters.cut(pairs)
        self._until(seconds, lambda: voters.mend(pairs))

    async def election(self, member: Member, seconds: float) -> None:
        self._cluster.voters.depose()

    # --- processes -------------------------------------------------------------------------

    async def kill(self, member: Member, seconds: float) -> None:
        if member.agent:
            member.agent.die("killed")

    async def dies_at_work(self, member: Member, seconds: float) -> None:
        """The agent."""
        if agent := member.agent:
            await self._at_work(member, lambda: agent.die("killed"), seconds)

    async def guard_dies_at_work(self, member: Member, seconds: float) -> None:
        if guard := member.guards.guard:
            await self._at_work(member, guard.die, seconds)

    async def crashes_at_work(self, member: Member, seconds: float) -> None:
        await self._at_work(member, lambda: member.host.reset("it crashed"), seconds)

    async def _at_work(self, member: Member, dies: Callable[[], None], seconds: float) -> None:
        """Between any two steps of what agent, guard or operations do about what has just happened."""
        agent, guard, host = member.agent, member.guards.guard, member.host
        if not (member.running and agent and guard and guard.alive):
            return
        part = self._dice.choice((host.whole, host.whole, agent.main, agent.renewer, guard.process))
        number = self._dice.choice((3, 30, 150)) + self._dice.randrange(30)
        part.after(number % 15 + 1 if part is host.whole else number, dies)
        self._until(max(seconds, 2.0), lambda: part.after(0, dies))
        await self._dice.choice((self.lost, self.lost, self.asked, self.silent))(member, seconds)

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
        """The whole machine: its watchdog counts on, and so does the clock that deadlines are of."""
        machine = member.host.whole
        machine.suspend()
        self._until(seconds, machine.resume)

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

    async def disk_full(self, member: Member, seconds: float) -> None:
        """Nothing more is kept of what the agent knows."""
        self._unkept(member, seconds, "database or disk is full", False)

    async def read_only(self, member: Member, seconds: float) -> None:
        """As the kernel makes it after an error: no document can be removed either."""
        self._unkept(member, seconds, "attempt to write a readonly database", True)

    def _unkept(self, member: Member, seconds: float, why: str, read_only: bool) -> None:
        """Two at once: the one that began last ends it."""
        host = member.host
        host.unkept, host.read_only = why, read_only

        def undo() -> None:
            host.unkept, host.read_only = "", False

        self._until(seconds, undo)

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
    "guard dies at work": Faults.guard_dies_at_work,
    "crashes at work": Faults.crashes_at_work,
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
    "disk full": Faults.disk_full,
    "read-only": Faults.read_only,
    "removed": Faults.removed,
    "directory lost": Faults.directory,
    "purged": Faults.purged,
    "voter falls": Faults.voter_falls,
    "voter cut off": Faults.voter_cut,
    "election": Faults.election,
}
