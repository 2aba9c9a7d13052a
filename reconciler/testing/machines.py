"""Operations → things that are up on one made-up host: slow, failing, hanging; reset by its watchdog.

A SimHost has a clock that runs wrong, a disk that stays, a `/run` that ends with each boot, processes that
can be killed and held up, and a hardware watchdog that goes on counting while the machine is suspended.
What an operation began goes on when the agent dies, until the guard ends it, as a child process would.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from reconciler.adapters.store_memory import MemoryStore
from reconciler.contracts import Mark
from reconciler.decide.timing import Timing
from reconciler.errors import MayHeal
from reconciler.guard.lines import Line
from reconciler.model import Observed, Outcome, Owner, State
from reconciler.operations import Operation
from reconciler.testing.clocks import SimClock
from reconciler.testing.disks import San
from reconciler.testing.kernel import SimKernel
from reconciler.testing.network import Wire
from reconciler.testing.oracle import Oracle
from reconciler.testing.parts import Parts
from reconciler.testing.processes import Process, later
from reconciler.testing.simloop import true_time
from reconciler.testing.things import DOWN, Do

NEVER_UP = {made: replace(DOWN, provisioned=made) for made in (None, True, False)}
LATELY = 1.0
"""Seconds in which an agent may not have seen yet that something is down."""


class SimKeepsake:
    """contracts.Keepsake: the secret goes with the boot, the mark stays."""

    def __init__(self, host: "SimHost", mark: Mark) -> None:
        self._host, self._secret, self._mark, self._number = host, f"secret of {host.boot_id}", mark, 0

    def secret(self) -> str:
        return hashlib.sha256(self._secret.encode()).hexdigest()

    def new_secret(self) -> None:
        if self._host.run.full:
            raise MayHeal("No space left on device")
        self._number += 1
        self._secret = f"{self._secret} {self._number}"

    def mark(self) -> Mark:
        return self._mark

    async def keep(self, mark: Mark) -> None:
        await asyncio.sleep(0.001)
        if self._host.unkept:
            raise MayHeal(self._host.unkept)
        self._mark = mark


@dataclass
class Outside:
    """What hosts share besides a store. `disks`: of the storage, that they see."""

    san: San
    wire: Wire = field(default_factory=Wire)
    disks: tuple[str, ...] = ()


@dataclass
class Watchdog:
    """A device. It counts whatever becomes of processes and of the machine's sleep."""

    seconds: float = 0.0
    petted: float = 0.0
    timer: asyncio.TimerHandle | None = None


@dataclass
class Run:
    """What `/run` has: of this boot alone."""

    ledger: list[Mapping[str, Any]] = field(default_factory=list)
    deadline: float | None = None
    full: bool = False


@dataclass(frozen=True)
class Work:
    """An operation on a thing. `verb`: start, stop, create, destroy or look."""

    operation: Operation
    thing: str
    verb: str
    owner: Owner

    def __str__(self) -> str:
        return str(self.operation)


@dataclass
class Busy:
    """An operation in flight."""

    operation: Work
    task: "asyncio.Task[Outcome]"
    hangs: bool = False


class SimHost:
    """One machine. `life`: begins what runs on it at each boot."""

    def __init__(
        self,
        name: str,
        node: str,
        oracle: Oracle,
        timing: Timing,
        rate: float,
        dice: Random,
        life: "Callable[[SimHost], None]",
        outside: "Outside",
    ) -> None:
        self.name, self.node, self.oracle, self.timing = name, node, oracle, timing
        self.rate, self.dice, self._life = rate, dice, life
        self.disk, self.mark = MemoryStore(), Mark()
        self.kernel = SimKernel(node, outside.san, outside.wire, outside.disks, len(outside.wire.hosts) + 1)
        self.kernel.machine = self.kernel.storage.machine = name
        self.parts = Parts(self.kernel, oracle.services.values())
        self.files: dict[str, str] = {}  # of the watched directory: what is in them, by key
        self.mounted, self.read_only = True, False  # that directory; and the root filesystem
        self.unkept = ""  # why nothing can be written to the state directory
        self.saved: Callable[[], None] = lambda: None  # told of a file that is another now
        self.stuck: set[str] = set()  # things of which every operation hangs
        self.fails: set[str] = set()  # things of which every operation towards up fails
        self.blind: set[str] = set()  # things that nobody can look at
        self.slow = 0.0  # seconds that each operation takes longer
        self.data: dict[str, bool] = {}
        self._fell: dict[str, float] = {}  # when what it was last put down by others than operations
        self.epoch = 0  # under which the agent acts
        self.over: tuple[int, float] | None = None  # epoch that its guard ended, and when surely
        self.boots = self.pids = 0
        self.changed: Callable[[str], None] = lambda thing: None
        self.up = self.removed = False
        self.boot()

    # --- the machine -----------------------------------------------------------------------

    def boot(self) -> None:
        self.boots += 1
        self.boot_id = f"boot {self.boots} of {self.name}"
        self.whole = Process(f"{self.name} boot {self.boots}")
        self.dying = False  # a reset is on its way
        self.clock, self.run, self.watchdog = SimClock(self.rate), Run(), Watchdog()
        mark = self.keepsake.mark() if self.boots > 1 else self.mark
        self.keepsake: SimKeepsake = SimKeepsake(self, mark)
        self.things: dict[str, Observed] = {}
        self.busy: dict[str, Busy] = {}
        self.over, self.landed, self.up = None, self.clock.boottime(), True
        self.kernel.node, self.kernel.boot_id = self.node, self.boot_id
        self.kernel.memory = lambda owner: {}
        self.kernel.boot()
        self._life(self)

    def off(self, why: str) -> None:
        """Whatever it had up is gone."""
        if not self.up:
            return
        self.oracle.say(self.name, f"is off: {why}")
        self.up = False
        self.whole.kill()
        self.disarm()
        self.things.clear()
        self.kernel.off()
        self.busy.clear()
        self.stuck.clear()
        self.oracle.all_gone(self.name)

    def reset(self, why: str, within: float = 0.0) -> None:
        """By its watchdog or its own kernel; it comes up again. `within`: how long it still writes."""
        boots, self.dying = self.boots, bool(within)

        def now() -> None:
            self.dying = False
            if self.up and self.boots == boots:
                self.off(why)
                later(self.dice.uniform(2.0, 6.0), again)

        def again() -> None:
            if not self.up and self.boots == boots and not self.removed:
                self.oracle.say(self.name, "boots")
                self.boot()

        if within:
            later(within, now)
        else:
            now()

    def save(self, key: str, content: str) -> None:
        """A document; "": it is removed."""
        if content:
            self.files[key] = content
        else:
            self.files.pop(key, None)
        self.saved()

    # --- its watchdog ----------------------------------------------------------------------

    def arm(self, seconds: float) -> None:
        self.disarm()
        self.watchdog = Watchdog(seconds, self.clock.boottime())
        self._watch(self.watchdog)

    def disarm(self) -> None:
        if self.watchdog.timer:
            self.watchdog.timer.cancel()
        self.watchdog = Watchdog()

    def pet(self) -> None:
        self.watchdog.petted = self.clock.boottime()

    def _watch(self, watchdog: Watchdog) -> None:
        left = self.clock.until(watchdog.petted + watchdog.seconds)
        if left > 1e-6:
            watchdog.timer = later(left, self._watch, watchdog)
        elif self.watchdog is watchdog:
            self.watchdog = Watchdog()
            self.reset("its watchdog fired", self.dice.choice((0.0, self.timing.reset)) / self.rate)

    # --- things ----------------------------------------------------------------------------

    def look(self, thing: str) -> Observed:
        if thing in self.parts:
            return self.parts.look(thing)
        return self.things.get(thing) or NEVER_UP[self.data.get(thing)]

    def has(self, thing: str) -> bool:
        """It is up here, or half of it."""
        return self.parts.has(thing) if thing in self.parts else self.look(thing).state is not State.DOWN

    def put(self, thing: str, seen: Observed) -> None:
        """It looks so now, whoever did it."""
        if thing in self.parts:
            self.parts.lose(thing)
        else:
            self.things[thing] = seen
        if seen.state is State.DOWN:
            self._fell[thing] = true_time()
        self._settle(thing)
        self.changed(thing)

    def ups(self) -> list[str]:
        """Things of which anything is up."""
        made_up = [name for name, seen in self.things.items() if seen.state in (State.UP, State.WARN)]
        return made_up + [name for name in self.parts if self.look(name).state in (State.UP, State.WARN)]

    def _settle(self, thing: str) -> None:
        busy = self.busy.get(thing)
        if not self.has(thing) and not (busy and busy.operation.verb == "start"):
            self.oracle.gone(self.name, thing)

    # --- operations ------------------------------------------------------------------------

    async def perform(self, operation: Work, owner: Owner) -> Outcome:
        """contracts.Host, but for the agent that asks: a child process does it."""
        while operation.thing in self.busy:  # noqa: ASYNC110  # what an agent before began has to end
            await asyncio.sleep(0.02)
        task = self.whole.begin(self._operate(operation), name=str(operation))
        self.busy[operation.thing] = Busy(operation, task)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled() and not task.done():
                await self._end(operation.thing)
            raise

    async def _end(self, thing: str) -> None:
        """Kill it and wait until it is gone; one that hangs in the kernel is gone when it hangs no more."""
        while busy := self.busy.get(thing):
            if not busy.hangs:
                busy.task.cancel()
            await asyncio.sleep(0.005)

    async def _operate(self, operation: Work) -> Outcome:
        thing, verb = operation.thing, operation.verb
        self.oracle.say(self.name, f"begins {operation}")
        self._judge(operation)
        if verb == "start":
            if self.over and self.over[0] >= self.epoch and self.over[1] < true_time():
                self.oracle.wrong(
                    self.name, "over", f"{operation} under epoch {self.epoch}, which its guard ended"
                )
            self.oracle.occupied(self.name, self.node, thing, self.epoch)
        try:
            with self.oracle.under_way(str(operation)):
                await asyncio.sleep(self.slow + self.dice.uniform(0.005, 0.1))
                while thing in self.stuck:
                    self.busy[thing].hangs = True
                    await asyncio.sleep(0.05)
                failed = verb == "start" and thing in self.fails
                outcome = Outcome(True)
                if not failed or self.dice.random() < 0.3:
                    outcome = await self._done(operation, self.dice.random() < 0.3 if failed else False)
                return Outcome(False, error=f"{operation}: no") if failed else outcome
        except asyncio.CancelledError:
            if self.dice.random() < 0.5:
                await self._done(operation, self.dice.random() < 0.5)
            raise
        finally:
            self.busy.pop(thing, None)
            self._settle(thing)
            self.changed(thing)

    def _over(self, thing: str) -> list[str]:
        """What this host has that stands on it."""
        return [other for other in self.oracle.standing(thing, self.ups()) if self.has(other)]

    def _judge(self, operation: Work) -> None:
        thing, ups = operation.thing, self.ups()
        if operation.verb == "stop" and (over := self._over(thing)):
            self.oracle.wrong(self.name, "order", f"{operation} under {over}")
        if operation.verb == "start" and (under := self.oracle.missing(thing, ups)):
            lately = true_time() - LATELY
            if early := [t for t in under if self._fell.get(t, -LATELY) < lately]:
                self.oracle.wrong(self.name, "order", f"{operation} before {early}")
        if operation.verb == "destroy" and not self.oracle.word(thing):
            self.oracle.wrong(self.name, "data", f"{operation}: nobody asked for it")

    async def _done(self, work: Work, half: bool) -> Outcome:
        if not isinstance(work.operation, Do):
            return await self.kernel.perform(work.operation, work.owner)
        seen = work.operation.done_to(self.look(work.thing))
        if work.verb in ("create", "destroy"):
            self.data[work.thing] = work.verb == "create"
        if half:
            seen = replace(seen, state=State.WARN)
        self.things[work.thing] = seen
        return Outcome(True)

    # --- its guard -------------------------------------------------------------------------

    def judge_deadline(self, deadline: float) -> None:
        """Never later than D after a renewal of its node landed in the store."""
        late = deadline - self.landed - self.timing.deadline
        if late > 1e-6:
            self.oracle.wrong(self.name, "deadline", f"its guard goes on {late:.3f} s too long")

    async def end_operations(self, by: float) -> str:
        """All in flight, until that instant; who is left, "" for nobody."""
        while self.busy and self.clock.boottime() < by:
            for busy in list(self.busy.values()):
                if not busy.hangs:
                    busy.task.cancel()
            await asyncio.sleep(0.01)
        return ", ".join(str(busy.operation) for busy in self.busy.values())

    async def undo(self, thing: str, by: float, late: bool, line: Line | None = None) -> str:
        """Bring it down and see it gone; why it is not, "" when it is. `line`: of what is not made up."""
        # A next agent without a session begins nothing, but stops what a person wants stopped (seed 2168).
        flying = ", ".join(str(b.operation) for b in self.busy.values() if b.operation.verb != "stop")
        if not late and flying:
            self.oracle.wrong(self.name, "first", f"the guard stops {thing}, in flight is {flying}")
        if not late and self.has(thing):
            over = self._over(thing)
            over = [t for t in over if not self.parts.came_along(t)]
            if over:
                self.oracle.wrong(self.name, "order", f"the guard stops {thing} under {over}")
        await asyncio.sleep(self.slow / 8 + self.dice.uniform(0.002, 0.05))
        while thing in self.stuck:
            if self.clock.boottime() >= by:
                return "it hangs"
            await asyncio.sleep(0.05)
        if line is None:
            self.put(thing, replace(self.look(thing), state=State.DOWN))
            return ""
        left = self.kernel.undo(line)
        self._fell[thing] = true_time()
        self._settle(thing)
        self.changed(thing)
        return left

    def all_up(self, things: Iterable[str]) -> bool:
        return all(self.look(thing).state is State.UP for thing in things)
