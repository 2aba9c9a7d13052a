"""A started agent: its parts, and whether all is as wanted."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from metrics.figures import ClusterFigures
from reconciler.adapters.facts.hub import Hub
from reconciler.adapters.linux import LinuxHost
from reconciler.adapters.programs import Programs
from reconciler.agent import LocalAgent
from reconciler.contracts import Driver
from reconciler.engine.desk import Desk
from reconciler.engine.jobs import Jobs
from reconciler.engine.library import Library
from reconciler.engine.queue import KeyQueue
from reconciler.engine.reconcile import Reconciler
from reconciler.engine.record import Record
from reconciler.engine.wishes import Wishes
from reconciler.model import ServiceGoal
from reconciler.settings import Settings
from reconciler.telling import Telling

GRACE = 5.0
"""Seconds without any step after which a start that has not succeeded will not do so soon."""


@dataclass
class Running:
    """All of them. The block of `daemon.running` starts and ends them."""

    settings: Settings
    drivers: Mapping[str, Driver]
    records: dict[str, Record]
    queue: KeyQueue
    jobs: Jobs
    desk: Desk
    library: Library
    agent: LocalAgent
    reconciler: Reconciler
    tell: Telling
    hub: Hub
    programs: Programs
    wishes: Wishes
    host: LinuxHost
    of_cluster: Callable[[], ClusterFigures] | None = None  # where it is one of several

    def settled(self) -> bool:
        """Nothing runs, and nothing more will be done until the world or a person changes something."""
        return (
            self.library.scans > 0
            and self.queue.idle()
            and not self.jobs.running
            and all(record.passes and not record.plan.now for record in self.records.values())
        )

    async def converged(self, until: asyncio.Event, patience: float) -> bool:
        """Wait until every service is as wanted, or none of them gets any further in `GRACE` seconds.

        False when `patience` (seconds) ran out or `until` was set before.
        """
        loop = asyncio.get_running_loop()
        end, quiet_since = loop.time() + patience, None
        while loop.time() < end and not until.is_set():
            if self.settled():
                if all(record.up_as_wanted() for record in self.records.values()):
                    return True
                quiet_since = quiet_since or loop.time()
                if loop.time() - quiet_since > GRACE:
                    return True
            else:
                quiet_since = None
            await self.stirred()
        return False

    async def stirred(self) -> None:
        """Something happened, or a moment passed."""
        news = self.agent.subscribe()
        try:
            async with asyncio.timeout(0.05):
                await anext(news)
        except TimeoutError:
            return
        finally:
            await news.aclose()  # type: ignore[attr-defined]  # a fan-out's reader has one

    async def stop_all(self, patience: float = 120.0) -> bool:
        """Take every service down, standby too, until that is seen; False when time ran out."""
        self.reconciler.leaving = "the agent ends and was told to stop what it runs"
        for key in list(self.records):
            self.queue.add(key)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while not all(_down(record) for record in self.records.values()) or self.jobs.running:
                    await self.stirred()
                return True
        return False


def _down(record: Record) -> bool:
    decision = record.decision
    gone = decision is not None and decision.goal in (ServiceGoal.ABSENT, ServiceGoal.UNTOUCHED)
    return gone and record.up_as_wanted()
