"""Users' checks → their results, each run at its own interval, few at once and fairly.

Between two runs the last result stands. A service that is touched asks again through `look`, and gets
the result of a run that began afterwards.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from reconciler.adapters.facts.source import Base, Subject, reason
from reconciler.adapters.facts.turns import Turns
from reconciler.asks import Check, CheckResult, Failed
from reconciler.model import Owner

RunCheck = Callable[[Owner, Check], Awaitable[CheckResult]]


class CheckSource(Base):
    """Runs what is followed and read; a run that hangs says so in its result, again and again."""

    def __init__(self, most: int, run_check: RunCheck) -> None:
        super().__init__(None)
        self._run_check = run_check
        self._turns = Turns(most)
        self._failures: dict[Subject, int] = {}
        self._awaited: set[Subject] = set()  # a look waits until an older run has ended
        self._running: dict[Subject, asyncio.Task[Any]] = {}
        self._timers: dict[Subject, asyncio.TimerHandle] = {}

    async def look(self, subjects: Sequence[Subject]) -> None:
        await asyncio.gather(*(self._look(subject) for subject in subjects))

    def forget(self, subjects: Iterable[Subject]) -> None:
        for subject in subjects:
            self._failures.pop(subject, None)
            if timer := self._timers.pop(subject, None):
                timer.cancel()

    def same(self, old: Any, new: Any) -> bool:
        """Output alone wakes nobody: many a check prints the time."""
        return bool((old.code, old.failures) == (new.code, new.failures))

    async def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _look(self, subject: Subject) -> None:
        """A run that began now: one of its interval that is under way is older, and waited for."""
        self._awaited.add(subject)
        try:
            if subject in self._running:
                await asyncio.wait([self._running[subject]])
        finally:
            self._awaited.discard(subject)
        if timer := self._timers.pop(subject, None):
            timer.cancel()
        self._running[subject] = asyncio.create_task(self._run(subject))
        try:
            await asyncio.wait([self._running[subject]])
        except asyncio.CancelledError:
            self._running[subject].cancel()
            raise

    async def _run(self, subject: Subject) -> None:
        check, owner = subject.ask, subject.owner
        assert isinstance(check, Check)
        assert owner is not None
        try:
            async with self._turns.turn(owner.service):
                answer: CheckResult | Failed = self._counted(subject, await self._run_check(owner, check))
        except Exception as fault:  # whatever is wrong with it, this one check is unknown
            answer = Failed(reason(fault))
        finally:
            self._running.pop(subject, None)
        if subject not in self._awaited:
            self._again_later(subject, check.every)
            self.desk.report({subject: answer})

    def _counted(self, subject: Subject, result: CheckResult) -> CheckResult:
        failures = self._failures.get(subject, 0) + 1 if result.code is None else 0
        self._failures[subject] = failures
        return replace(result, failures=failures)

    def _again_later(self, subject: Subject, every: float) -> None:
        loop = asyncio.get_running_loop()
        self._timers[subject] = loop.call_later(every * random.uniform(0.9, 1.1), self._due, subject)

    def _due(self, subject: Subject) -> None:
        self._timers.pop(subject, None)
        if subject in self._running:
            return
        if self.desk.wanted(subject):
            self._running[subject] = asyncio.create_task(self._run(subject))
        else:
            self.desk.changed([subject])  # nobody reads it: who does next asks for a new run
