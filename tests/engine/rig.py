"""Services as values and a made-up world → the engine's passes and jobs, on simulated time.

    def test_something():
        async def story(rig):
            rig.put(service(res("fs#a")))
            await rig.settled()
            assert rig.world.state("fs#a") is State.UP
        simulate(story)

What a resource stands for is the thing its spec names (by default its rid). A thing is an Observed that
operations change; `fails`, `lies` and `hangs` name operations as they print ("start fs#a").
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reconciler.adapters.store_memory import MemoryStore
from reconciler.asks import Ask, Failed
from reconciler.contracts import Asking, Event, Store
from reconciler.decide.inputs import Inputs, decided
from reconciler.engine.desk import Desk
from reconciler.engine.jobs import Ended, Jobs
from reconciler.engine.observe import Observer
from reconciler.engine.queue import KeyQueue, worker
from reconciler.engine.reconcile import Reconciler
from reconciler.engine.record import Record
from reconciler.engine.wishes import Wishes
from reconciler.model import Common, Observed, Outcome, Owner, Resource, Service, State
from reconciler.settings import Settings
from reconciler.testing.simloop import SimLoop
from reconciler.testing.things import DOWN, Do, ThingDrivers

KEY = "root/svc"
MADE, UNMADE = replace(DOWN, provisioned=True), replace(DOWN, provisioned=False)


def res(rid: str, *refs: str, thing: str = "", **common: Any) -> Resource:
    """`fs#a`, referring to the rids, standing for the thing of that name (default: its rid)."""
    late = "{" in thing
    spec = {"thing": thing or rid}
    return Resource(
        rid, f"{rid.partition('#')[0]}.fake", spec, Common(**common), frozenset(refs), late=late
    )


def service(*resources: Resource, **more: Any) -> Service:
    """Named svc; another generation for other resources."""
    given = {"nodes": ("n1",), "generation": f"{resources}{more}", **more}
    return Service("svc", resources=resources, **given)


@dataclass
class World:
    """Things by name; those nobody made up are down, and there is nothing to create of them."""

    things: dict[str, Observed] = field(default_factory=dict)
    fails: set[str] = field(default_factory=set)
    lies: set[str] = field(default_factory=set)  # operations that end well and change nothing
    hangs: dict[str, asyncio.Event] = field(default_factory=dict)
    blind: set[str] = field(default_factory=set)  # things that cannot be looked at
    done: list[str] = field(default_factory=list)  # operations that were begun

    def state(self, name: str) -> State:
        return self.things.get(name, DOWN).state

    def change(self, operation: Do) -> None:
        new = operation.done_to(self.things.get(operation.thing, DOWN))
        if operation.verb == "start":
            new = replace(new, identity=operation.thing)
        self.things[operation.thing] = new


class Hub:
    """contracts.FactHub that looks at the world anew each time."""

    def __init__(self, world: World) -> None:
        self._world = world

    def known(self, owner: Owner, ask: Any) -> Any:
        if ask.thing in self._world.blind:
            return Failed(f"{ask.thing} does not answer")
        return self._world.things.get(ask.thing, DOWN)

    async def answer(self, owner: Owner, asks: Iterable[Ask[Any]], acts: bool = True) -> None:
        await asyncio.sleep(0.001)

    def follow(self, owner: Owner, asks: Sequence[Ask[Any]]) -> None:
        """Who changes the world says so."""

    def touched(self, owner: Owner, touches: Iterable[str]) -> None:
        """Nothing is kept from one look to the next."""

    def begin(self, service: str, asks: Asking) -> Callable[[Owner], None]:
        return lambda owner: None


class Host:
    """contracts.Host: an operation takes 10 ms."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def perform(self, operation: Any, owner: Owner) -> Outcome:
        line = str(operation)
        self._world.done.append(line)
        if line in self._world.hangs:
            await self._world.hangs[line].wait()
        await asyncio.sleep(0.01)
        if line in self._world.fails:
            return Outcome(False, error=f"{line}: no")
        if line not in self._world.lies:
            self._world.change(operation)
        return Outcome(True)


class Clock:
    """The loop's time after `began`; `step` is what somebody did to the wall clock."""

    step = 0.0

    def wall(self) -> float:
        return 1e9 + asyncio.get_running_loop().time() + self.step

    def boottime(self) -> float:
        return asyncio.get_running_loop().time()


class Rig:
    """An engine over a world. `crash` ends it; `Rig(world, store)` is the next one."""

    def __init__(self, world: World, store: Store, boot: str = "boot") -> None:
        self.world, self.store, self.clock = world, store, Clock()
        self.events: list[Event] = []
        self.records: dict[str, Record] = {}
        self.discarded: list[str] = []
        self.queue = KeyQueue()
        self.settings = Settings("n1", Path("/s"), Path("/st"), Path("/r"))
        self.desk = Desk(store, "n1", boot, self.clock, self.queue.add)
        observer = Observer(Hub(world), ThingDrivers(), self._bug)  # type: ignore[arg-type]  # made up
        self.reconciler = Reconciler(
            self.settings, ThingDrivers(), observer, self.desk, self, self.clock, self.records
        )  # type: ignore[arg-type]  # its drivers are made up
        self.jobs = Jobs(Host(world), Hub(world), self.desk, self, self.clock, 32, self._ended)
        self.reconciler.jobs = self.jobs
        self.reconciler.passed = self.reconciler.gone = lambda key: None
        self.reconciler.discard = self.discarded.append
        self.kept: list[Inputs] = []
        self.reconciler.kept = self._keep
        self.wishes = Wishes(self.desk, self.records, self, self.clock)
        self._tasks: list[asyncio.Task[None]] = []

    def record(self, event: Event) -> None:
        self.events.append(event)

    def _keep(self, given: Inputs) -> None:
        """What is kept of a pass leads to the same decision again."""
        self.kept.append(given)
        record, again = (
            self.records[given.service.key],
            decided(
                given,
                ThingDrivers(),  # type: ignore[arg-type]  # made up
            ),
        )
        assert again.decision == record.decision
        assert {rid: s.goal for rid, s in again.parts.items()} == record.goals
        assert again.plan == record.plan

    def _bug(self, owner: Owner, text: str) -> None:
        raise AssertionError(text)

    def _report(self, key: str, fault: Exception) -> None:
        raise AssertionError(key) from fault

    def _ended(self, ended: Ended) -> None:
        self.reconciler.ended(ended)
        self.queue.add(ended.job.owner.service)

    async def start(self) -> "Rig":
        await self.desk.start()
        self._tasks = [
            asyncio.create_task(worker(self.queue, self.reconciler.reconcile, self._report, 30.0, 300.0))
            for _ in range(2)
        ]
        return self

    async def crash(self) -> None:
        """Whatever is under way ends here, and nobody hears of it."""
        tasks = [*self._tasks, *(job.task for job in self.jobs.running.values() if job.task)]
        if self.desk._writer:
            tasks.append(self.desk._writer)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.queue.close()

    # --- what tests say --------------------------------------------------------------------

    def put(self, made: Service) -> None:
        """A document in force, as the library puts it there."""
        record = self.records.get(made.key)
        if record is None:
            self.records[made.key] = Record(made.key, made)
        else:
            record.service, record.deleted = made, False
            record.budgets.clear()
        self.queue.add(made.key)

    def delete(self) -> None:
        self.records[KEY].deleted = True
        self.queue.add(KEY)

    def change(self, name: str, seen: Observed) -> None:
        """The world does something by itself."""
        self.world.things[name] = seen
        self.wake()

    def wake(self) -> None:
        for key in self.records:
            self.queue.add(key)

    async def ask(self, verb: str, **more: Any) -> None:
        await self.wishes.ask(KEY, {"verb": verb, **more}, "alice")

    async def settled(self, within: float = 60.0) -> None:
        """Until nothing is under way."""
        loop = asyncio.get_running_loop()
        end = loop.time() + within
        await asyncio.sleep(0.002)
        while not self.queue.idle() or self.jobs.running:
            assert loop.time() < end, f"busy for {within:g} s: {self.world.done[-5:]}"
            await asyncio.sleep(0.002)

    async def passes(self, seconds: float) -> int:
        """How many are made in so much time."""
        before = self.records[KEY].passes
        await asyncio.sleep(seconds)
        return self.records[KEY].passes - before

    def waiting(self) -> dict[str, str]:
        return {w.rid: w.why for w in self.records[KEY].plan.waiting}


Story = Callable[[Rig], Awaitable[None]]


def simulate(story: Story, **things: Observed) -> None:
    """Run a story with an engine over a world of these things."""

    async def whole() -> None:
        rig = await Rig(World(dict(things)), MemoryStore()).start()
        try:
            await story(rig)
        finally:
            await rig.crash()

    loop = SimLoop()
    try:
        loop.run_until_complete(whole())
    finally:
        loop.close()
