"""Keys that ask for a pass → one worker at a time per key, merged, retried with backoff.

Equal keys merge; one key is never in two passes at once; a key added during its own pass gets one
more afterwards.
"""

import asyncio
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable

from reconciler.decide.backoff import delay
from reconciler.errors import NeedsPerson

Reconcile = Callable[[str], Awaitable[float]]
"""A pass over a key; returns the seconds after which to look again, infinity: never."""

Report = Callable[[str, Exception], None]

SLICE = 0.002
"""Seconds of passes in one turn of the loop: what else has happened is heard in between."""

FAR, TOGETHER = 10.0, 1.0
"""What is due in ten seconds or more is due on the second: a hundred passes in a row take half the time
of a hundred passes one by one, each of which finds the processor's caches cold."""


class KeyQueue:
    def __init__(self) -> None:
        self._order: asyncio.Queue[str] = asyncio.Queue()
        self._wanted: set[str] = set()  # has asked for a pass
        self._busy: set[str] = set()  # is in a pass now
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._soon: dict[str, asyncio.TimerHandle] = {}
        self.failures: dict[str, int] = {}  # passes in a row that failed, whoever made them

    def __len__(self) -> int:
        return len(self._wanted)

    def add(self, key: str) -> None:
        if key not in self._wanted:
            self._wanted.add(key)
            if key not in self._busy:
                self._order.put_nowait(key)

    def add_soon(self, key: str, seconds: float) -> None:
        """Within so many seconds, unless a pass begins before."""
        if key not in self._wanted and key not in self._soon:
            self._soon[key] = asyncio.get_running_loop().call_later(seconds, self._is_due, key)

    def _is_due(self, key: str) -> None:
        self._soon.pop(key, None)
        self.add(key)

    def add_later(self, key: str, seconds: float) -> None:
        """Called once, at the end of a pass; with infinite seconds the key is forgotten."""
        if seconds == math.inf:
            return
        if seconds <= 0:
            self.add(key)  # now: who asks whether all is idle is not told so in between
            return
        self._timers[key] = asyncio.get_running_loop().call_later(seconds, self.add, key)

    async def take(self) -> str:
        key = await self._order.get()
        for timers in (self._timers, self._soon):
            if timer := timers.pop(key, None):
                timer.cancel()  # the pass that starts now serves it, and sets its own
        self._wanted.discard(key)
        self._busy.add(key)
        return key

    def done(self, key: str) -> None:
        self._busy.discard(key)
        if key in self._wanted:  # it changed while we were at it
            self._order.put_nowait(key)

    def idle(self) -> bool:
        return not self._wanted and not self._busy and not self._soon

    def close(self) -> None:
        for timers in (self._timers, self._soon):
            for timer in timers.values():
                timer.cancel()
            timers.clear()


class Pace:
    """Shared by all workers. A pass over what is known already never waits, and a thousand would not.

    Once the passes of this turn of the loop have had their slice, each that comes waits in a row, and
    every turn lets one go on.
    """

    def __init__(self) -> None:
        self._began: float | None = None  # the first pass of this turn of the loop
        self._row: deque[asyncio.Future[None]] = deque()

    async def turn(self) -> None:
        """Wait until passes may go on."""
        loop = asyncio.get_running_loop()
        if self._began is None:
            self._begin(loop)
        elif self._row or loop.time() - self._began > SLICE:
            mine = loop.create_future()
            self._row.append(mine)
            await mine

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._began = loop.time()
        loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._began = None
        while self._row:
            first = self._row.popleft()
            if not first.done():  # not cancelled
                first.set_result(None)
                self._begin(asyncio.get_running_loop())
                return


async def worker(
    queue: KeyQueue,
    reconcile: Reconcile,
    report: Report,
    period: float,
    most: float,
    pace: Pace | None = None,
) -> None:
    """Passes for ever. `period`: seconds to the next look when only a person can help."""
    failures = queue.failures
    pace = pace or Pace()
    while True:
        key = await queue.take()
        await pace.turn()
        try:
            again_in = await reconcile(key)
        except NeedsPerson as fault:  # a condition; what is in force is still looked after
            report(key, fault)
            again_in = period
        except Exception as fault:  # the world may heal, or it is a bug: neither may stop the loop
            report(key, fault)
            failures[key] = failures.get(key, 0) + 1
            again_in = delay(failures[key], 0.2, most, random.random())
        else:
            failures.pop(key, None)
        finally:
            queue.done(key)
        queue.add_later(key, again_in)
