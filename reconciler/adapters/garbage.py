"""A heap that grows by thousands of services → no long pauses for a collection of all of it.

The collector looks at everything that lives whenever that has grown by a quarter: 0.4 s for a thousand
services of ten, in which nothing is repaired. What lives for as long as its document is therefore put
aside while many documents come in. It is still freed as soon as nobody refers to it; only a circle that
was dropped just then stays.
"""

import asyncio
import gc
from collections.abc import Callable

EVERY = 0.2  # seconds
OFTEN = 0.1
"""Seconds while it grows: collecting takes some milliseconds each time."""
MANY = 20
"""Services by which it grows before it is worth it."""
YOUNG = 10_000
"""New objects before the youngest are looked at (default: 700): those of a pass are gone by then."""


async def put_aside(services: Callable[[], int], settled: Callable[[], bool]) -> None:
    """For ever. `settled`: what came in has been acted on."""
    before, wait = 0, EVERY
    gc.set_threshold(YOUNG, 3, 10)
    while True:
        await asyncio.sleep(wait)
        wait = OFTEN if services() - before >= MANY else EVERY
        if wait == EVERY:
            before = min(before, services())
            continue
        gc.collect(1)  # what was dropped lately, while that is few
        gc.freeze()
        if settled():
            before = services()
