"""A made-up host → one agent on it: the engine as it is, wired as the real one is, on simulated everything.

What differs from `joining` and `daemon`: what files have in them is the name of a value, no API listens,
and the renewer is a process of its own instead of a thread: it can go on while the rest is
held up, and ends with it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler.adapters.guard import GuardClient
from reconciler.adapters.guard_kept import KeptGuard
from reconciler.decide import hosts, undo
from reconciler.decide.candidates import bound_to
from reconciler.decide.inputs import Inputs, decided
from reconciler.decide.sessions import Level
from reconciler.decide.standing import Standing, Terms
from reconciler.engine.cluster import Cluster
from reconciler.engine.decisions import Decisions
from reconciler.engine.desk import Desk
from reconciler.engine.gate import Gate
from reconciler.engine.jobs import Ended, Jobs
from reconciler.engine.membership import Membership
from reconciler.engine.observe import Observer
from reconciler.engine.opening import Me
from reconciler.engine.queue import KeyQueue, Pace, worker
from reconciler.engine.reconcile import Reconciler
from reconciler.engine.record import Record
from reconciler.engine.shared_wishes import SharedWishes
from reconciler.engine.statuses import Statuses
from reconciler.engine.together import Together
from reconciler.engine.wishes import Wishes
from reconciler.errors import MayHeal, NeedsPerson, StoreLost
from reconciler.guard.lines import Line
from reconciler.guard.words import Peer
from reconciler.model import Outcome, Owner, Resource, State, Step
from reconciler.operations import Operation
from reconciler.settings import Settings
from reconciler.testing.around import SimDisk, SimHub, SimRecorder, SimStore
from reconciler.testing.faulty import Way
from reconciler.testing.guards import SimGuard, SimGuardClient, line
from reconciler.testing.machines import SimHost, Work
from reconciler.testing.parts import towards
from reconciler.testing.processes import Process
from reconciler.testing.sharing import FenceNode, fencer
from reconciler.testing.shelves import SimLibrary, Versions, travel
from reconciler.testing.things import Do, ThingDrivers, thing_of

AGAIN = 2.0
OWN_DOING = 0.05
LOOK = 1.0
FIRST_LOOK = 5.0
PLACES = undo.Places("/groups", "/records")


class SimAgent:
    """One life of it. `ended` is told when it has to be started again."""

    def __init__(
        self,
        host: SimHost,
        ways: tuple[Way, Way],
        guards: "Guards",
        ended: Callable[[], None],
        versions: Versions,
        fences: Mapping[str, FenceNode],
    ) -> None:
        host.pids += 1
        self.host, self._guards = host, guards
        self._versions, self._fences = versions, fences
        self.member: Membership | None = None
        self.peer = Peer(host.pids, host.boots)
        self.name = f"agent {host.pids}"
        self.process = Process(f"{self.name} of {host.name}", host.whole)
        self.main = Process(f"{self.name} of {host.name}, main", self.process)
        self.renewer = Process(f"{self.name} of {host.name}, renewer", self.process)
        self.shared, self._renewing = SimStore(ways[0]), SimStore(ways[1])
        self.standing = Standing(why="not opened yet")
        self.planned: dict[int, Step] = {}
        self.records: dict[str, Record] = {}
        self.decisions = Decisions()
        self.ready = False
        self._ended, self._tasks = ended, list[asyncio.Task[None]]()
        self.main.begin(self._whole())

    @property
    def alive(self) -> bool:
        return self.process.alive

    def die(self, why: str) -> None:
        """kill -9."""
        if not self.alive:
            return
        self.say(f"{self.name} dies: {why}")
        self.process.kill()
        self._guards.left(self.peer)
        self._ended()

    def say(self, what: str) -> None:
        self.host.oracle.say(self.host.name, what)

    async def _whole(self) -> None:
        """The first thing is the session; the agent ends when it cannot have a guard."""
        self.say(f"{self.name} begins")
        try:
            await self._wire()
        except (MayHeal, NeedsPerson) as fault:
            self.die(str(fault))

    # --- the session -----------------------------------------------------------------------

    async def _renew(self, terms: tuple[float, float]) -> None:
        host = self.host
        while True:
            own = KeptGuard(lambda: self._guards.at_hand(self.renewer, self.peer), terms)
            try:
                await own.start()
            except (MayHeal, OSError):
                await asyncio.sleep(AGAIN)
                continue
            member = Membership(
                Me(host.node, host.boot_id),
                self._renewing,
                host.clock,
                own,
                host.keepsake,
                host.timing,
                Terms.of(host.timing, Level.WATCHDOG),
                self._told,
            )
            self.member = member
            try:
                await member.run()
            except StoreLost as fault:
                self.say(f"store lost: {fault}")
            finally:
                await own.stop()
            await asyncio.sleep(AGAIN)

    def _told(self, standing: Standing) -> None:
        before, self.standing = self.standing, standing
        if standing.session:
            self.host.epoch = standing.session.epoch
        if replace(before, deadline=0.0) != replace(standing, deadline=0.0):
            if standing.why != before.why:
                self.say(f"standing: {standing.why or 'held'}")
            self.main.call(0.0005, self._stood)

    def _stood(self) -> None:
        for key in list(self.records):
            self.queue.add(key)

    # --- the parts -------------------------------------------------------------------------

    async def _wire(self) -> None:
        host, timing = self.host, self.host.timing
        guard = KeptGuard(lambda: self._guards.at_hand(self.main, self.peer))
        await guard.start()
        if (await guard.state()).watchdog is None:
            await guard.arm(timing.watchdog, timing.margin)
        self.renewer.begin(self._renew((float(timing.watchdog), timing.margin)))
        self.queue = queue = KeyQueue()
        self.cluster = Cluster(
            self.shared,
            host.clock,
            timing,
            lambda: self.standing,
            lambda service: self.gate.count(service),
            queue.add,
            lambda service: None,
        )
        self.cluster.bound = lambda key: bound_to(key, (one.service for one in self.records.values()))
        self.gate = Gate(guard, self.cluster, self._undo)
        await self.gate.start()
        guard.back = self.gate.start
        self.statuses = Statuses(self.shared, host.node, lambda: self.standing)
        await self._engine()
        self.library = SimLibrary(self, self._versions)
        self.travel = travel(self, self.library)
        self.reconciler.discard = self.library.discard
        parts = (self.cluster.run, self.shared_wishes.run, self.statuses.run, self._told_of_us)
        for part in (*parts, self.travel.run):
            self.main.begin(self._endless(part))
        await self.library.load()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK):
                await self.library.settle()
        self.main.begin(self._endless(self.library.watch))
        if self._fences:
            self.main.begin(fencer(self, self._fences).run())
        for _ in range(2):
            self.main.begin(
                worker(queue, self._pass, self._report, 30.0, 5.0, self.reconciler.pace), "worker"
            )
        self.ready = True

    async def _engine(self) -> None:
        host, queue, tell = self.host, self.queue, SimRecorder(self.say)
        self.drivers = drivers = ThingDrivers()
        self.settings = settings = Settings(
            host.node, Path("/s"), Path("/v"), Path("/r"), max_jobs=8, retry_max=5.0, stable_after=20.0
        )
        self.desk = Desk(SimDisk(host), host.node, host.boot_id, host.clock, queue.add)
        await self.desk.start()
        host.oracle.begins(host.name, self.desk.node_frozen() is not None)
        host.kernel.memory = self.desk.memory
        self.hub = SimHub(host, self._news)
        host.changed = self._changed
        observer = Observer(self.hub, drivers, self._bug)
        self.reconciler = Reconciler(settings, drivers, observer, self.desk, tell, host.clock, self.records)
        self.jobs = Jobs(self, self.hub, self.desk, tell, host.clock, settings.max_jobs, self._job_ended)
        self.jobs.under_way = self._under_way
        self.wishes = Wishes(self.desk, self.records, tell, host.clock)
        self.together = Together(host.node, self.cluster, self.gate, drivers, _resolve)
        self.shared_wishes = SharedWishes(self.shared, self.cluster.follower, queue.add)
        self.together.jobs, self.reconciler.together = self.jobs, self.together
        self.together.drained = self._drained
        self.jobs.gate = lambda owner, op: self.together.enter(owner, op, self.records.get(owner.service))
        self.desk.shared, self.wishes.together = self.shared_wishes, self.together
        self.reconciler.jobs, self.reconciler.pace = self.jobs, _AtOnce()
        self.reconciler.passed, self.reconciler.kept = self._passed, self._kept
        self.reconciler.gone = lambda key: self.statuses.put(key, "")

    async def _endless(self, act: Callable[[], Any]) -> None:
        while True:
            with contextlib.suppress(MayHeal, NeedsPerson, StoreLost):
                await act()
            await asyncio.sleep(AGAIN)

    def _drained(self) -> str:
        drained = self.desk.node_drained()
        return f"drained by {drained.who}" if drained else ""

    async def _told_of_us(self) -> None:
        while True:
            frozen = self.desk.node_frozen()
            told = hosts.Host(
                labels={},
                frozen=str(frozen) if frozen else "",
                drained=self._drained(),
            )
            self.statuses.put_host(hosts.written(told))
            await asyncio.sleep(LOOK)

    # --- passes ----------------------------------------------------------------------------

    async def _pass(self, key: str) -> float:
        before, record = self._frozen(key), self.records.get(key)
        passes = record.passes if record else 0
        again_in = await self.reconciler.reconcile(key)
        record = self.records.get(key)
        if record is None:  # nothing is left of it
            return again_in
        for step in record.plan.now:
            self.planned[id(step)] = step  # kept, so that no other step has its id
        carried_out = record.passes > passes  # else its plan is that of a pass before
        if carried_out and before and before == self._frozen(key):
            self.host.oracle.frozen(self.host.name, key, before, record.plan.now)
        return again_in

    def _frozen(self, key: str) -> str:
        found = self.together.frozen() or self.desk.node_frozen() or self.desk.asked(key).frozen
        return str(found) if found else ""

    def _passed(self, key: str) -> None:
        record = self.records[key]
        states = {seen.state for seen in record.seen.values()}
        avail = str(
            State.UP if states == {State.UP} else State.DOWN if State.UP not in states else State.WARN
        )
        parts = {rid: {"state": seen.state.value} for rid, seen in record.seen.items()}
        told = self.together.told(record, {"avail": avail, "resources": parts})
        self.statuses.put(key, hosts.written(told))

    async def ask_node(self, wish: Mapping[str, Any], who: str) -> None:
        """As the API has it asked."""
        await self.wishes.ask_node(wish, who)
        for key in self.records:
            self.queue.add(key)

    def _kept(self, given: Inputs) -> None:
        """What is kept of a pass leads to the same decision again."""
        self.decisions.keep(given)
        record, again = self.records[given.service.key], decided(given, self.drivers)
        if again.decision != record.decision or again.plan != record.plan:
            self.host.oracle.wrong(self.host.name, "kept", f"{again} is not {record}")

    def _report(self, key: str, fault: Exception) -> None:
        if not isinstance(fault, MayHeal | NeedsPerson):
            self.host.oracle.wrong(self.host.name, "bug", f"the pass of {key} failed: {fault!r}")

    def _bug(self, owner: Owner, text: str) -> None:
        self.host.oracle.wrong(self.host.name, "bug", f"the driver of {owner} failed: {text}")

    def _job_ended(self, ended: Ended) -> None:
        self.reconciler.ended(ended)
        self.queue.add(ended.job.owner.service)

    def _news(self, key: str) -> None:
        if self.jobs.at_work(key):
            self.queue.add_soon(key, OWN_DOING)
        else:
            self.queue.add(key)

    def _under_way(self, service: str) -> list[str]:
        """As a host tells of the commands of an agent that died."""
        record, mine = self.records[service], self.jobs.of(service)
        named = {thing_of(record.service, resource): resource.rid for resource in record.service.resources}
        return [named[t] for t in self.host.busy if t in named and named[t] not in mine]

    def _changed(self, thing: str) -> None:
        if self.alive:
            self.main.call(0.002, self.hub.changed, thing)

    # --- as contracts.Host -----------------------------------------------------------------

    async def perform(self, operation: Operation, owner: Owner) -> Outcome:
        job = self.jobs.running.get(owner)
        step = job.step if job and operation in job.step.operations else None
        self.host.oracle.performs(self.host.name, str(operation), owner.service, step, self.planned)
        if isinstance(operation, Do):
            return await self.host.perform(Work(operation, operation.thing, operation.verb, owner), owner)
        verb = towards(operation, step.goal if step else None, step.act if step else "")
        return await self.host.perform(Work(operation, self.host.parts.thing(owner), verb, owner), owner)

    async def _undo(
        self, operation: Operation, owner: Owner, resource: Resource, standby: bool
    ) -> Line | None:
        if isinstance(operation, Do):
            return line(operation.thing, str(owner), standby) if operation.verb == "start" else None
        made = undo.line(operation, owner, resource.spec, PLACES, standby)
        return self.host.kernel.bound(made) if made else None


class Guards:
    """The guard of one boot of a host, begun by whoever needs it."""

    def __init__(
        self, host: SimHost, killed: Callable[[Peer], None], lives: Callable[[Peer], bool]
    ) -> None:
        self._host, self._killed, self._lives = host, killed, lives
        self.guard: SimGuard | None = None
        self._connections = 0

    async def at_hand(self, process: Process, peer: Peer) -> GuardClient:
        if self.guard is None or not self.guard.alive:
            self.guard = SimGuard(self._host)
            self.guard.kill_agent, self.guard.lives = self._killed, self._lives
        self._connections += 1
        client = SimGuardClient(self.guard, process, peer, self._connections)
        try:
            await client.connect()
        except OSError as fault:  # it died while we connected: the next try finds another
            raise MayHeal(str(fault)) from None
        return client

    def left(self, peer: Peer) -> None:
        """The kernel closes the sockets of a process that has ended."""
        if self.guard:
            for client in [c for c in self.guard.clients if c.peer == peer]:
                self.guard.forget(client)


class _AtOnce(Pace):
    """Nothing of a simulation takes any time."""

    async def turn(self) -> None:
        return


async def _resolve(service: str, names: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    return {name: (name,) for name in names}
