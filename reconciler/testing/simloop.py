"""A story that waits → the same story at once: an event loop whose clock jumps to its next timer."""

import asyncio
import heapq
from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class SimLoop(asyncio.SelectorEventLoop):
    """Jumps to its next timer instead of waiting for it. Nothing may wait for a thread or a file."""

    # The base's own: what is due now, in order, and a heap of timers.
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        """As the base does it, but without asking the kernel."""
        ready, timers = self._ready, self._scheduled
        while timers and (timers[0].cancelled() or timers[0].when() <= self._now or not ready):
            timer = heapq.heappop(timers)
            if not timer.cancelled():
                self._now = max(self._now, timer.when())
                ready.append(timer)
        if not ready and not self._stopping:
            raise RuntimeError("every task waits and no timer is set")
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()


def simulated(story: Coroutine[Any, Any, T]) -> T:
    """Run it to its end on simulated time."""
    loop = SimLoop()
    try:
        return loop.run_until_complete(story)
    finally:
        loop.close()
