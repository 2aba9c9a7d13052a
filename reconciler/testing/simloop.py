"""A story that waits → the same story at once: an event loop whose clock jumps to its next timer."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class SimLoop(asyncio.SelectorEventLoop):
    """Jumps to its next timer instead of waiting for it. Nothing may wait for a thread."""

    def __init__(self) -> None:
        selector = selectors.DefaultSelector()
        super().__init__(selector)
        self._now, real = 0.0, selector.select

        def jump(timeout: float | None = None) -> Any:
            events = real(0)
            if not events and timeout is None:
                raise RuntimeError("every task waits and no timer is set")
            self._now += 0.0 if events else timeout or 0.0
            return events

        selector.select = jump  # type: ignore[method-assign]  # that is what simulating it means

    def time(self) -> float:
        return self._now


def simulated(story: Coroutine[Any, Any, T]) -> T:
    """Run it to its end on simulated time."""
    loop = SimLoop()
    try:
        return loop.run_until_complete(story)
    finally:
        loop.close()
