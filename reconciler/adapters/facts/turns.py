"""Who may run now: few at once, the services in rotation, and what hangs keeps its own waiting."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

SLOW = 5.0  # seconds after which a turn no longer keeps others from theirs
_HANGING = 3  # times `most` turns may be out beyond that


class Turns:
    """At most `most` turns that are not slow, four times as many in all; of one service a fifth."""

    def __init__(self, most: int, slow: float = SLOW) -> None:
        self._most, self._slow_after = most, slow
        self._each = max(1, most // 5)
        self._out = 0
        self._slow = 0
        self._used: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, service: str) -> AsyncIterator[None]:
        """Wait for a turn; it is given back at the end."""
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(service, deque()).append(mine)
        self._serve()
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # granted in the same instant
                self._give_back(service)
            raise
        slow: list[bool] = []
        timer = loop.call_later(self._slow_after, self._is_slow, slow)
        try:
            yield
        finally:
            timer.cancel()
            self._slow -= len(slow)
            self._give_back(service)

    def _is_slow(self, slow: list[bool]) -> None:
        slow.append(True)
        self._slow += 1
        self._serve()

    def _give_back(self, service: str) -> None:
        self._out -= 1
        self._used[service] -= 1
        if not self._used[service]:
            del self._used[service]
        self._serve()

    def _serve(self) -> None:
        while self._out - min(self._slow, _HANGING * self._most) < self._most:
            service = next((s for s in self._waiting if self._used.get(s, 0) < self._each), None)
            if service is None:
                return
            queue = self._waiting.pop(service)
            future = queue.popleft()
            if queue:
                self._waiting[service] = queue  # behind the others
            if not future.done():
                self._out += 1
                self._used[service] = self._used.get(service, 0) + 1
                future.set_result(None)
