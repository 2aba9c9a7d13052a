"""Questions that may hang in the kernel → answers within a time limit, from threads that may be lost.

One batch is walked by one thread. When that one is held up a second joins in, then more, so a hung
question costs its own answer and no other. Threads are daemons: a stuck one does not hold up the end.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from reconciler.adapters import threads
from reconciler.adapters.facts.source import called, reason
from reconciler.asks import Failed

HELD_UP = 0.1  # seconds after which another thread joins in
PORTION = 200  # answers handed over at a time
SPARE = 10.0  # seconds a thread without work stays

Report = Callable[[Mapping[Any, Any]], None]
Limit = Callable[[Any], float]


@dataclass
class _Batch:
    """One call of `run`. `at` has what each thread is at, since when; all times monotonic."""

    todo: deque[Any]
    look: Callable[[Any], Any]
    left: int
    done: dict[Any, Any] = field(default_factory=dict)
    at: dict[int, tuple[Any, float]] = field(default_factory=dict)
    woken: bool = False
    waiter: "asyncio.Future[bool] | None" = None

    async def news(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Wait for a thread to tell of answers; False when none has for a while."""
        if not self.woken:
            waiter = self.waiter = loop.create_future()
            timer = loop.call_later(HELD_UP, self._tell, False)
            try:
                await waiter
            finally:
                timer.cancel()
                self.waiter = None
        woken, self.woken = self.woken, False
        return woken

    def wake(self) -> None:
        """In the loop: there are answers."""
        self.woken = True
        self._tell(True)

    def _tell(self, what: bool) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(what)

    def held_up(self, now: float) -> bool:
        """None of its threads gets on. A long batch that does needs no second one: they share one core."""
        return all(now - since >= HELD_UP for _, since in list(self.at.values()))


class Workers:
    """At most `most` threads. `again` is called in the loop with questions that may be asked again,
    because the overdue one that was in their way has returned.

    domain  what a question shares its fate with (a mount): while one of that domain is overdue,
            others of it fail at once and cost no thread.
    """

    def __init__(
        self,
        most: int,
        again: Callable[[Collection[Any]], None],
        domain: Callable[[Any], Hashable] = lambda item: item,
    ) -> None:
        self._most, self._again, self._domain = most, again, domain
        self._overdue: dict[Any, Hashable] = {}
        self._refused: dict[Hashable, set[Any]] = {}
        self._jobs: SimpleQueue[tuple[_Batch, asyncio.AbstractEventLoop] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0

    async def run(
        self,
        items: Iterable[Any],
        look: Callable[[Any], Any],
        limit: Limit,
        report: Report,
    ) -> None:
        """Report `look(item)` of each, an exception as Failed; returns when all are reported.

        `limit` gives an item's seconds. Portions are reported as they come.
        """
        loop = asyncio.get_running_loop()
        hanging = set(self._overdue.values())
        batch = _Batch(deque(), look, 0)
        refused = {}
        for item in items:
            if hanging and self._domain(item) in hanging:
                refused[item] = _no_answer(item, limit(item))
                self._refused.setdefault(self._domain(item), set()).add(item)
            else:
                batch.todo.append(item)
        if refused:
            report(refused)
        batch.left = len(batch.todo)
        began = time.monotonic()
        self._recruit(batch, loop)
        try:
            while batch.left:
                if not await batch.news(loop) and batch.held_up(time.monotonic()):
                    self._recruit(batch, loop)
                self._hand_over(batch, report)
                self._give_up(batch, limit, began, report)
        finally:
            batch.todo.clear()

    # --- in the loop -----------------------------------------------------------------------

    def _hand_over(self, batch: _Batch, report: Report) -> None:
        while batch.done and batch.left:
            answers: dict[Any, Any] = {}
            while batch.done and len(answers) < PORTION:
                item, answer = batch.done.popitem()
                answers[item] = answer
            batch.left -= len(answers)
            report(answers)

    def _give_up(self, batch: _Batch, limit: Limit, began: float, report: Report) -> None:
        """Fail what is over its limit: hung, or never begun because all threads are."""
        now, failed = time.monotonic(), {}
        with self._lock:
            for thread, (item, since) in list(batch.at.items()):
                if now - since >= limit(item):
                    failed[item] = _no_answer(item, limit(item))
                    self._overdue[item] = self._domain(item)
                    del batch.at[thread]
            if batch.todo and now - began >= limit(batch.todo[0]) and not batch.at:
                for item in batch.todo:
                    failed[item] = Failed(f"{self._threads} other questions hang already")
                batch.todo.clear()
        if failed:
            batch.left -= len(failed)
            report(failed)

    def _recruit(self, batch: _Batch, loop: asyncio.AbstractEventLoop) -> None:
        """As many again as are at it; one to begin with."""
        wanted = min(max(1, len(batch.at)), len(batch.todo))
        for _ in range(wanted):
            with self._lock:
                if self._idle:
                    self._idle -= 1
                elif self._threads < self._most:
                    self._threads += 1
                    threads.begin(self._work)
                else:
                    return
            self._jobs.put((batch, loop))

    def _returned(self, item: Any) -> None:
        domain = self._overdue.pop(item)
        questions = {item}
        if domain not in self._overdue.values():
            questions |= self._refused.pop(domain, set())
        self._again(questions)

    # --- in a thread -----------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=SPARE)
            except Empty:
                with self._lock:
                    if self._idle:
                        self._idle -= 1
                        self._threads -= 1
                        return
                continue
            if job is None:
                return
            batch, loop = job
            self._walk(batch, loop)
            with self._lock:
                self._idle += 1
            # Not before: who is woken may have the next question already, and starts no thread for it.
            _tell(loop, batch.wake)

    def _walk(self, batch: _Batch, loop: asyncio.AbstractEventLoop) -> None:
        me = threading.get_ident()
        while True:
            with self._lock:
                if not batch.todo:
                    break
                item = batch.todo.popleft()
                batch.at[me] = item, time.monotonic()
            try:
                answer = batch.look(item)
            except Exception as fault:  # a look that fails is an answer; the thread goes on
                answer = Failed(reason(fault))
            with self._lock:
                given_up = batch.at.pop(me, None) is None
                if not given_up:
                    batch.done[item] = answer
            if given_up:
                _tell(loop, partial(self._returned, item))
            elif len(batch.done) % PORTION == 0:
                _tell(loop, batch.wake)


def _no_answer(item: Any, limit: float) -> Failed:
    return Failed(f"{called(item)} did not answer within {limit:g} s")


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    """The loop may be gone when a stuck thread comes back."""
    if not loop.is_closed():
        try:
            loop.call_soon_threadsafe(what)
        except RuntimeError:
            return
