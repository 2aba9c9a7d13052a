"""A story that waits → the same story at once: an event loop whose clock jumps to its next timer."""

import asyncio
import heapq
from collections import deque
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


class SimLoop(asyncio.SelectorEventLoop):
    """Jumps to its next timer instead of waiting for it. Nothing may wait for a thread or a file."""

    # The base's own: what is due now, in order.
    _ready: deque[asyncio.Handle]
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self._now, self._number = 0.0, 0
        # A heap by time, and among equals by the order they were set in.
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []

    def time(self) -> float:
        return self._now

    def true(self) -> float:
        """The time that all share, whoever asks."""
        return self._now

    def call_later(  # type: ignore[override]  # as the base has it, but for its generics
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]  # likewise
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self._set(asyncio.TimerHandle(when, callback, args, self, context))

    def _set(self, timer: asyncio.TimerHandle) -> asyncio.TimerHandle:
        self._number += 1
        heapq.heappush(self._timers, (timer.when(), self._number, timer))
        return timer

    def _run_once(self) -> None:
        """As the base does it, but without asking the kernel."""
        ready, timers = self._ready, self._timers
        while timers and (not ready or timers[0][0] <= self._now):
            when, _, timer = heapq.heappop(timers)
            if not timer.cancelled():
                self._now = max(self._now, when)
                ready.append(timer)
        if not ready and not self._stopping:
            raise RuntimeError("every task waits and no timer is set")
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def close(self) -> None:
        self._timers.clear()
        super().close()


def true_time() -> float:
    """Seconds, in whatever loop this is."""
    loop = asyncio.get_running_loop()
    return loop.true() if isinstance(loop, SimLoop) else loop.time()


def simulated(story: Coroutine[Any, Any, T]) -> T:
    """Run it to its end on simulated time."""
    loop = SimLoop()
    try:
        return loop.run_until_complete(story)
    finally:
        loop.close()
