"""Nodes as members of one store on simulated time, with an oracle on every commit.

    def test_something():
        async def story(bed):
            n1, n2 = bed.node("n1"), bed.node("n2")
            await bed.held(n1, n2)
            n1.way.silent = True
            await bed.until(lambda: not bed.session("n1").open)
        play(story)

A node's agent dies with its session, as the guard kills it, and a new one begins. The guard takes as long
to stop what is up as the timing lets it: past D + κW + δ nothing of that epoch is up, and not before.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from reconciler.adapters.store_memory import MemoryStore
from reconciler.contracts import Entry, Mark
from reconciler.decide import keys
from reconciler.decide.sessions import Level, Session, read
from reconciler.decide.standing import Standing, Terms
from reconciler.decide.timing import PROFILES, Timing
from reconciler.engine.cluster import Cluster
from reconciler.engine.membership import Membership
from reconciler.engine.opening import Me
from reconciler.errors import MayHeal, StoreLost
from reconciler.testing.faulty import Way
from reconciler.testing.simloop import simulated

FAST = PROFILES["fast"]
WRONG = 0.005  # ρ: how far a clock may run wrong


class Clock:
    """One host's: off by an offset, and running wrong."""

    def __init__(self, offset: float = 0.0, rate: float = 1.0) -> None:
        self.offset, self.rate = offset, rate

    def wall(self) -> float:
        return 1e9 + self.boottime()

    def boottime(self) -> float:
        return self.offset + self.rate * asyncio.get_running_loop().time()


@dataclass(frozen=True)
class Seen:
    phase: str
    last: int


class Guard:
    """Ends a session at its deadline or when told, and needs all the time it may to stop everything."""

    def __init__(
        self, clock: Clock, timing: Timing, killed: Callable[[], None], stopped: Callable[[], None]
    ) -> None:
        self._clock, self._timing, self._killed, self._stopped = clock, timing, killed, stopped
        self.lost = asyncio.Event()
        self.phase, self.epoch, self.last, self.deadline = "idle", 0, 0, 0.0
        self.listed = False
        self.given: list[float] = []
        self._timer: asyncio.TimerHandle | None = None

    async def state(self) -> Seen:
        return Seen(self.phase, self.last)

    async def open(self, epoch: int, deadline: float) -> None:
        if epoch <= self.last or self.phase in ("killing", "stopping"):
            raise MayHeal(f"epoch {epoch} is over")
        self.phase, self.epoch = "held", epoch
        self._until(deadline)

    async def extend(self, deadline: float) -> None:
        if self.phase != "held" or self._clock.boottime() >= self.deadline:
            raise MayHeal("the deadline has passed")
        self._until(deadline)

    async def trip(self, why: str) -> None:
        if self.phase not in ("held", "found"):
            raise MayHeal("no session is open")
        self._trip()

    async def close(self) -> None:
        if self.listed:
            raise MayHeal("something is listed")
        self._over()

    def die(self) -> None:
        """The next one, after `again`, keeps to the deadline that was noted."""
        self.lost.set()
        self.phase = "found"

    def again(self) -> None:
        self.lost.clear()

    def _until(self, deadline: float) -> None:
        self.deadline = deadline
        self.given.append(deadline)
        self._arm(deadline, self._trip)

    def _trip(self) -> None:
        self.phase, self.last = "stopping", max(self.last, self.epoch)
        end = self._clock.boottime() + self._timing.ended - self._timing.deadline
        self._arm(end, self._over)
        self._killed()

    def _over(self) -> None:
        self.phase, self.last, self.listed = "idle", max(self.last, self.epoch), False
        if self._timer:
            self._timer.cancel()
        self._stopped()

    def _arm(self, instant: float, act: Callable[[], None]) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None
        if instant != float("inf"):
            seconds = (instant - self._clock.boottime()) / self._clock.rate
            self._timer = asyncio.get_running_loop().call_later(max(seconds, 0.0), act)


class Keepsake:
    def __init__(self, secret: str) -> None:
        self.text, self.kept, self._numbers = secret, Mark(), count()
        self.full = ""  # why nothing can be kept

    def secret(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def new_secret(self) -> None:
        self.text = f"{self.text} {id(self)} {next(self._numbers)}"

    def mark(self) -> Mark:
        return self.kept

    async def keep(self, mark: Mark) -> None:
        if self.full:
            raise MayHeal(self.full)
        self.kept = mark


class Node:
    """A host: its guard, its way to the store, and one agent after the other."""

    def __init__(
        self, bed: "Bed", name: str, clock: Clock, timing: Timing, boot: str = "boot", secret: str = ""
    ) -> None:
        self.bed, self.name, self.clock, self.timing = bed, name, clock, timing
        self.way = Way(bed.truth, timing.request)
        self.keepsake = Keepsake(secret or f"secret of {name} {len(bed.nodes)}")
        self.guard = Guard(clock, timing, self.kill, self.stopped)
        self.me = Me(name, boot)
        self.level = Level.WATCHDOG
        self.desk = Way(bed.truth, timing.request)  # the main loop's own way to the store
        self.queued: list[str] = []
        self.running: dict[str, int] = {}  # what is up here, by service: epoch of its claim
        self.standing = Standing()
        self.standings: list[Standing] = []
        self.lost_store = ""
        self.agents = 0
        self.tasks: list[asyncio.Task[None]] = []  # of all agents
        self.up = True
        self.begin()

    def begin(self) -> None:
        """A new agent."""
        terms = Terms.of(self.timing, self.level)
        self.agents += 1
        self.member = Membership(
            self.me, self.way, self.clock, self.guard, self.keepsake, self.timing, terms, self._told
        )
        self.task = asyncio.create_task(self._live(self.member))
        self.cluster = Cluster(
            self.desk,
            self.clock,
            self.timing,
            lambda: self.standing,
            lambda service: int(service in self.running),
            self.queued.append,
            lambda service: None,
        )
        self.following = asyncio.create_task(self.cluster.run())
        self.tasks += (self.task, self.following)

    def start(self, service: str) -> bool:
        """Bring it up, if its claim is beyond doubt."""
        claim = self.cluster.held(service)
        if claim is None:
            return False
        for node in self.bed.nodes:
            if node is not self and service in node.running:
                self.bed.truth.broken.append(f"{service} is up on {node.name}, and here")
        self.running[service] = claim.epoch
        self.guard.listed = True
        return True

    def stop(self, service: str) -> None:
        self.running.pop(service, None)
        self.guard.listed = bool(self.running)

    def stopped(self) -> None:
        """The guard has seen everything gone."""
        self.running.clear()

    def kill(self) -> None:
        """The agent, as kill -9: a new one begins a moment later."""
        self.standing = Standing(why="killed")
        self.task.cancel()
        self.following.cancel()
        if self.up:
            asyncio.get_running_loop().call_later(0.1, self._again, self.task)

    def crash(self) -> None:
        """The machine, until `boot`: whatever was up is gone."""
        self.up = False
        self.kill()
        self.guard._over()

    def boot(self, boot: str) -> None:
        self.up, self.me = True, Me(self.name, boot)
        self.guard = Guard(self.clock, self.timing, self.kill, self.stopped)
        self.keepsake.new_secret()
        self.begin()

    def current(self) -> Session | None:
        return self.standing.current(self.clock.boottime())

    def _again(self, killed: "asyncio.Task[None]") -> None:
        if self.up and self.task is killed:
            self.begin()

    async def _live(self, member: Membership) -> None:
        try:
            await member.run()
        except StoreLost as fault:
            self.lost_store = str(fault)

    def _told(self, standing: Standing) -> None:
        self.standing = standing
        self.standings.append(standing)


class Truth(MemoryStore):
    """The store itself. Each close is judged as it lands."""

    def __init__(self, bed: "Bed") -> None:
        super().__init__()
        self._bed = bed
        self.closes: list[tuple[float, str]] = []
        self.broken: list[str] = []
        self.landed: list[Callable[[Mapping[str, str], Collection[str]], None]] = []

    def entries(self, prefix: str) -> Mapping[str, Entry]:
        return self._history.read(prefix).entries

    def compacted(self) -> None:
        """Every watch ends here; new ones work."""
        self._history.close("compacted")
        self._history._closed = ""

    async def commit(
        self, compare: Mapping[str, int], puts: Mapping[str, str], deletes: Collection[str] = ()
    ) -> int | None:
        revision = await super().commit(compare, puts, deletes)
        if revision is not None:
            for key, value in puts.items():
                if key.startswith(keys.SESSIONS):
                    self._judge(key.removeprefix(keys.SESSIONS), value)
            for look in self.landed:
                look(puts, deletes)
        return revision

    def _judge(self, name: str, value: str) -> None:
        """No epoch before the one that is written has anything up, on any host of that name."""
        record = read(value)
        assert record
        if not record.open:
            self.closes.append((asyncio.get_running_loop().time(), name))
        for node in self._bed.nodes:
            over = node.guard.epoch < record.epoch
            if node.name == name and over and node.guard.phase != "idle":
                left = node.guard.deadline - node.clock.boottime()
                self.broken.append(
                    f"{name}: epoch {node.guard.epoch} is {node.guard.phase} with {left:.2f} s before its "
                    f"deadline when the record goes to epoch {record.epoch}"
                )


class Bed:
    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.truth = Truth(self)

    def node(
        self, name: str, timing: Timing = FAST, offset: float = 0.0, rate: float = 1.0, **more: Any
    ) -> Node:
        made = Node(self, name, Clock(offset, rate), timing, **more)
        self.nodes.append(made)
        return made

    async def put(self, key: str, value: str) -> None:
        """By nobody whom the oracle knows."""
        await MemoryStore.commit(self.truth, {}, {key: value})

    def session(self, name: str) -> Session:
        entry = self.truth.entries(keys.session(name))[keys.session(name)]
        record = read(entry.value)
        assert record
        return record

    async def until(self, what: Callable[[], bool], within: float = 60.0) -> float:
        """The seconds it took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not what():
            assert loop.time() < began + within, f"not within {within:g} s"
            await asyncio.sleep(0.01)
        return loop.time() - began

    async def held(self, *nodes: Node) -> None:
        await self.until(lambda: all(node.current() for node in nodes))

    async def end(self) -> None:
        for node in self.nodes:
            node.up = False
            if node.guard._timer:
                node.guard._timer.cancel()
            node.task.cancel()
            node.following.cancel()
            await node.way.close()
            await node.desk.close()
        tasks = [task for node in self.nodes for task in node.tasks]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, StoreLost):
                raise result
        assert not self.truth.broken, "; ".join(self.truth.broken)


def play(story: Callable[[Bed], Awaitable[None]]) -> None:
    async def whole() -> None:
        bed = Bed()
        try:
            await story(bed)
        finally:
            await bed.end()

    simulated(whole())
