"""Changes in the watched directory → scans; and a scan every so often without any."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path

from watchfiles import awatch

from reconciler.settings import Settings

Scan = Callable[[], Awaitable[float | None]]
"""Looks at the directory; returns the seconds after which it must look again, or None."""

STEP, ABOVE = 20, 100
"""Milliseconds: the watcher wakes so often, change or not, below the directory and right above it."""

Place = tuple[str, int, bool]
"""A directory to watch: path, inode, whether with all below it."""


async def watch(root: Path, scan: Scan, settings: Settings) -> None:
    """For ever. The directory may be missing, a symlink that is swapped, or replaced as a whole."""
    every = settings.directory_every if settings.events else settings.look_every
    stirred = asyncio.Event()
    watchers: list[asyncio.Task[None]] = []
    places: tuple[Place, ...] = ()
    try:
        await asyncio.to_thread(load)
        while True:
            if settings.events and (now := _places(root)) != places:
                places = now
                for watcher in watchers:
                    watcher.cancel()
                watchers = [asyncio.create_task(_stir(p, deep, stirred, settings)) for p, _, deep in places]
                # The watches are in place before the scan: nothing falls between them.
                await asyncio.sleep(0)
            stirred.clear()
            again_in = await scan()
            try:
                async with asyncio.timeout(every if again_in is None else again_in):
                    await stirred.wait()
            except TimeoutError:
                continue
    finally:
        for watcher in watchers:
            watcher.cancel()


@cache
def load() -> None:
    """What the watcher loads at its first use would hold a loop for 20 ms: before it, or in a thread."""
    asyncio.run(_at_an_end())


async def _at_an_end() -> None:
    over = asyncio.Event()
    over.set()
    async for _changes in awatch("/", recursive=False, stop_event=over):
        return


def _places(root: Path) -> tuple[Place, ...]:
    """Where the directory is now; and its parent, where it would appear, vanish or be swapped."""
    real = os.path.realpath(root)
    parents = {os.path.dirname(real), str(root.parent)}
    places = [(real, True), *((parent, False) for parent in sorted(parents))]
    return tuple((path, os.stat(path).st_ino, deep) for path, deep in places if os.path.isdir(path))


async def _stir(path: str, deep: bool, stirred: asyncio.Event, settings: Settings) -> None:
    debounce = int(settings.debounce * 1000)
    try:
        step = STEP if deep else ABOVE
        async for _changes in awatch(
            path, debounce=debounce, step=step, recursive=deep, rust_timeout=60_000
        ):
            stirred.set()
    except OSError:
        # Gone, or the kernel's limit of watches is reached: the periodic scan does it alone.
        stirred.set()
