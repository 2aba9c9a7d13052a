"""Changes in the watched directory → scans; and a scan every so often without any."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from watchfiles import awatch

from reconciler.settings import Settings


async def watch(root: Path, scan: Callable[[], Awaitable[float | None]], settings: Settings) -> None:
    """For ever. The directory may be missing, a symlink that is swapped, or replaced as a whole."""
    while True:
        await _settled(scan)
        paths = _watchable(root)
        if not settings.events or not paths:
            await asyncio.sleep(settings.directory_every if settings.events else settings.look_every)
            continue
        with contextlib.suppress(FileNotFoundError):  # gone between the look and the watch
            await _follow(root, paths, scan, settings)


async def _settled(scan: Callable[[], Awaitable[float | None]]) -> None:
    while (again_in := await scan()) is not None:
        await asyncio.sleep(again_in)


def _watchable(root: Path) -> tuple[str, ...]:
    """Where the directory is now; and beside a symlink, where the link itself would be swapped."""
    real = os.path.realpath(root)
    if not os.path.isdir(real):
        parent = os.path.dirname(real)
        return (parent,) if os.path.isdir(parent) else ()
    return (real, str(root.parent)) if root.is_symlink() else (real,)


async def _follow(
    root: Path, paths: tuple[str, ...], scan: Callable[[], Awaitable[float | None]], settings: Settings
) -> None:
    """Until what is to be watched is somewhere else."""
    identity = [os.stat(path).st_ino for path in paths]
    watching = awatch(
        *paths,
        debounce=int(settings.debounce * 1000),
        step=10,
        rust_timeout=int(settings.directory_every * 1000),
        yield_on_timeout=True,
        recursive=len(paths) == 1 and paths[0] == os.path.realpath(root),
    )
    # A change between the scan before and this watch would be missed.
    first = True
    async for _changes in watching:
        await _settled(scan)
        now = _watchable(root)
        if now != paths or [os.stat(path).st_ino for path in now if os.path.exists(path)] != identity:
            return
        first = False
    if first:
        await asyncio.sleep(0)
