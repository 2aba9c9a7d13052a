"""A step → a job: its operations carried out one after another, ending at the first that fails.

A pass never waits for a job; it sees a running one as a fact. When a job ends, what its operations
touched is marked for a new look *before* its key is queued, so that no pass acts on older facts.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from reconciler.contracts import Clock, Event, FactHub, Host, Recorder
from reconciler.engine.desk import Desk
from reconciler.model import Act, Outcome, Owner, Step
from reconciler.operations import Operation, Remember

SLOW = 5.0
"""Seconds after which a job makes room for another: what hangs must not keep all others waiting."""
CLAIMED = (Act.START, Act.CREATE, Act.DESTROY)
HANGING = 3
"""So many times the limit may run beside it because they are slow."""


@dataclass
class Job:
    """One resource's operations under way."""

    owner: Owner
    step: Step
    started: float  # loop time
    turned: str = ""  # why its goal turned against it: ends at the next boundary
    current: Operation | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Ended:
    """How a job ended. `turned`: it was not carried to its end because the goal changed; `refused`:
    because what it needs to begin (the claim, a session, the guard) is not there now.
    """

    job: Job
    ok: bool
    why: str = ""
    conflict: bool = False
    turned: bool = False
    refused: bool = False


class Jobs:
    """All jobs of the node. `ended` is told of each before its key is queued."""

    def __init__(
        self,
        host: Host,
        hub: FactHub,
        desk: Desk,
        recorder: Recorder,
        clock: Clock,
        limit: int,
        ended: Callable[[Ended], None],
    ) -> None:
        self.gate: Callable[[Owner, Operation], Awaitable[str]] | None = None  # where a claim is needed
        self.under_way: Callable[[str], Collection[str]] = lambda service: ()  # begun by an agent before us
        self._host, self._hub, self._desk = host, hub, desk
        self._recorder, self._clock, self._ended = recorder, clock, ended
        self._slots = asyncio.Semaphore(limit)
        self._slow, self._most_slow = 0, HANGING * limit
        self.running: dict[Owner, Job] = {}
        self._by_service: dict[str, dict[str, Job]] = {}

    def of(self, service: str) -> dict[str, Job]:
        """Running jobs of one service by rid."""
        return dict(self._by_service.get(service, {}))

    def at_work(self, service: str) -> bool:
        return service in self._by_service

    def start(self, service: str, step: Step) -> None:
        owner = Owner(service, step.rid)
        if owner in self.running:
            raise AssertionError(f"a second job for {owner}")
        job = Job(owner, step, asyncio.get_running_loop().time())
        self.running[owner] = job
        self._by_service.setdefault(service, {})[step.rid] = job
        job.task = asyncio.create_task(self._run(job), name=f"job {owner}")

    def turn(self, owner: Owner, why: str) -> None:
        """The goal turned against it: end at the next operation, or now where that is allowed."""
        job = self.running.get(owner)
        if job is None or job.turned:
            return
        job.turned = why
        if job.current is not None and job.current.interruptible and job.task:
            job.task.cancel()

    async def drain(self) -> None:
        """Until every running job has ended."""
        while self.running:
            await asyncio.wait([job.task for job in self.running.values() if job.task])

    async def _run(self, job: Job) -> None:
        owner = job.owner
        ended = Ended(job, ok=False, why="cancelled", turned=bool(job.turned))
        try:
            async with self._turn():
                ended = await self._carry_out(job)
        except asyncio.CancelledError:
            ended = Ended(job, ok=False, why=job.turned or "cancelled", turned=True)
            if not job.turned:  # the daemon ends: nobody is left to be told
                raise
        finally:
            # The operation that ran last may have done all, half or nothing of its work.
            for operation in job.step.operations:
                self._hub.touched(owner, operation.touches)
            self._forget(owner)
            self._ended(ended)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Few at once; one that is slow no longer counts among them."""
        made_room = False

        def make_room() -> None:
            nonlocal made_room
            if self._slow < self._most_slow:
                made_room, self._slow = True, self._slow + 1
                self._slots.release()

        await self._slots.acquire()
        timer = asyncio.get_running_loop().call_later(SLOW, make_room)
        try:
            yield
        finally:
            timer.cancel()
            if made_room:
                self._slow -= 1
            else:
                self._slots.release()

    def _forget(self, owner: Owner) -> None:
        del self.running[owner]
        del self._by_service[owner.service][owner.rid]
        if not self._by_service[owner.service]:
            del self._by_service[owner.service]

    async def _carry_out(self, job: Job) -> Ended:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + job.step.timeout
        if job.step.act is Act.START:
            # Should we be killed half way and its document be edited before the next agent looks,
            # that one knows what there may be to be stopped.
            await self._desk.start_durable(job.owner.service)
        for operation in job.step.operations:
            if job.turned:
                return Ended(job, ok=False, why=job.turned, turned=True)
            left = deadline - loop.time()
            if left <= 0:
                return Ended(job, ok=False, why=f"not done within {job.step.timeout:g} s")
            if self.gate and job.step.act in CLAIMED and (why := await self.gate(job.owner, operation)):
                return Ended(job, ok=False, why=why, turned=True, refused=True)
            if job.turned:  # while the guard was asked
                return Ended(job, ok=False, why=job.turned, turned=True)
            job.current = operation
            outcome = await self._perform(job, operation, left)
            self._record(job, operation, outcome)
            if not outcome.ok:
                return Ended(job, ok=False, why=outcome.error or "failed", conflict=outcome.conflict)
        return Ended(job, ok=True)

    async def _perform(self, job: Job, operation: Operation, left: float) -> Outcome:
        if isinstance(operation, Remember):
            self._desk.remember(job.owner, operation.key, operation.value, operation.until)
            await self._desk.durable()
            return Outcome(ok=True)
        try:
            async with asyncio.timeout(left):
                return await self._host.perform(operation, job.owner)
        except TimeoutError:
            return Outcome(ok=False, seconds=left, error=f"not done within {job.step.timeout:g} s")

    def _record(self, job: Job, operation: Operation, outcome: Outcome) -> None:
        if isinstance(operation, Remember):
            return
        probe = job.step.act is Act.PREFLIGHT
        self._recorder.record(
            Event(
                at=self._clock.wall(),
                kind="operation",
                service=job.owner.service,
                rid=job.owner.rid,
                reason=job.step.act.value,
                text=str(operation) if outcome.ok or probe else f"{operation}: {outcome.error}",
                ok=outcome.ok,
                seconds=outcome.seconds,
                output=outcome.output,
            )
        )
