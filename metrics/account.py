"""What happened → counters and histograms, kept in memory until the agent ends.

An Account is a contracts.Recorder: operations, jobs, losses and events are counted from what is
recorded anyway; passes, jobs' durations and the loop's lag are told by their own methods.
All of it runs in the event loop's thread.
"""

import asyncio
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import TypeVar

from metrics.catalogue import ACTS, BY_NAME, EVENTS
from reconciler.contracts import Event

K = TypeVar("K")


class Histogram:
    """Counts by upper bound in seconds; the last count is beyond all bounds."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds


class Tally(dict[K, int]):
    """How often, by key; 0 for what never was."""

    def __missing__(self, key: K) -> int:
        return 0


class Account:
    """Counters since the agent started. `service` is a key, `namespace/name`."""

    def __init__(self) -> None:
        self.events: Tally[str] = Tally()
        self.bad_events: Tally[str] = Tally()
        self.operations: Tally[str] = Tally()
        self.failed_operations: Tally[str] = Tally()
        self.operation_seconds = {act: _histogram("standfast_operation_duration_seconds") for act in ACTS}
        self.losses: Tally[tuple[str, str]] = Tally()  # by service and rid
        self.failed_jobs_of: Tally[tuple[str, str]] = Tally()
        self.jobs: Tally[tuple[str, str]] = Tally()  # by act and driver
        self.failed_jobs: Tally[tuple[str, str]] = Tally()
        self.job_seconds: defaultdict[tuple[str, str], Histogram] = defaultdict(
            lambda: _histogram("standfast_job_duration_seconds")
        )
        self.passes = self.failed_passes = 0
        self.pass_seconds = _histogram("standfast_reconcile_duration_seconds")
        self.last_pass = 0.0  # wall-clock time
        self.last_pass_of: dict[str, float] = {}
        self.lag = _histogram("standfast_loop_lag_seconds")

    def record(self, event: Event) -> None:
        """Count it. Kinds and acts that are not in the catalogue count as "other" or not at all."""
        kind = event.kind if event.kind in EVENTS else "other"
        self.events[kind] += 1
        self.bad_events[kind] += not event.ok
        if event.kind == "operation" and event.reason in self.operation_seconds:
            self.operations[event.reason] += 1
            self.failed_operations[event.reason] += not event.ok
            self.operation_seconds[event.reason].observe(event.seconds)
        elif event.kind == "job" and not event.ok:
            self.failed_jobs_of[event.service, event.rid] += 1
        elif event.kind == "state" and event.reason == "Lost":
            self.losses[event.service, event.rid] += 1

    def passed(self, seconds: float, ok: bool, service: str = "", at: float | None = None) -> None:
        """A pass ended. `at`: wall-clock time of its end, now by default."""
        self.passes += 1
        self.failed_passes += not ok
        self.pass_seconds.observe(seconds)
        if ok:
            self.last_pass = time.time() if at is None else at
            if service:
                self.last_pass_of[service] = self.last_pass

    def job(self, act: str, kind: str, seconds: float, ok: bool) -> None:
        """A job ended: `act` as in model.Act, `kind` the driver's. A turned job is no failure."""
        self.jobs[act, kind] += 1
        self.failed_jobs[act, kind] += not ok
        self.job_seconds[act, kind].observe(seconds)

    def loop_lag(self, seconds: float) -> None:
        self.lag.observe(seconds)

    def forget_all_but(self, resources: Mapping[str, Collection[str]]) -> None:
        """Drop what is counted by service and rid for all that is no more: `resources` by service."""
        for tally in (self.losses, self.failed_jobs_of):
            for service, rid in [key for key in tally if key[1] not in resources.get(key[0], ())]:
                del tally[service, rid]
        for service in self.last_pass_of.keys() - resources.keys():
            del self.last_pass_of[service]


async def measure_lag(account: Account, every: float = 1.0) -> None:
    """For ever: how much later than asked for does the loop wake up?"""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every
        await asyncio.sleep(every)
        account.loop_lag(max(loop.time() - due, 0.0))


def _histogram(name: str) -> Histogram:
    return Histogram(BY_NAME[name].buckets)
