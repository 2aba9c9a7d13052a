"""Processes to be ended → ended, verified; by pidfd, so that a pid used again is never hit."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from reconciler.adapters import proc
from reconciler.adapters.proc import Process

KILL_WITHIN = 5.0
"""Seconds after SIGKILL until what is still there counts as a survivor."""

Find = Callable[[], Awaitable[Sequence[Process]]]
KillAll = Callable[[Sequence[Process]], None]


@dataclass(frozen=True)
class Ending:
    """Who was there, in the order found, and who still is."""

    found: tuple[Process, ...] = ()
    survivors: tuple[Process, ...] = ()
    killed: bool = False  # SIGKILL was needed


async def end(
    find: Find, first: int = signal.SIGTERM, grace: float = 2.0, kill_all: KillAll | None = None
) -> Ending:
    """Signal all that `find` names, for `grace` seconds; then SIGKILL, until it names nobody.

    `kill_all` kills what was found in one stroke: who forks faster than we look is hit as well.
    """
    loop = asyncio.get_running_loop()
    ever: dict[Process, None] = {}
    told: set[tuple[int, int]] = set()
    now = await find()
    later = loop.time() + grace
    for number, until in ((first, later), (signal.SIGKILL, later + KILL_WITHIN)):
        killed = number == signal.SIGKILL and bool(now)
        while now and loop.time() < until:
            ever |= dict.fromkeys(now)
            if number == signal.SIGKILL and kill_all:
                kill_all(now)
            fresh = [p for p in now if number == signal.SIGKILL or (p.pid, p.start_time) not in told]
            told |= {(p.pid, p.start_time) for p in fresh}
            async with held(now) as pidfds:
                for process, pidfd in zip(now, pidfds, strict=True):
                    if process in fresh and pidfd is not None:
                        with contextlib.suppress(ProcessLookupError):
                            signal.pidfd_send_signal(pidfd, number)
                # New ones may be born meanwhile: look again long before the time is over.
                await _all_gone(pidfds, min(until - loop.time(), 0.5))
            now = await find()
    return Ending(tuple(ever), tuple(now), killed)


@contextlib.asynccontextmanager
async def held(processes: Iterable[Process]) -> AsyncIterator[list[int | None]]:
    """A pidfd for each; None for one that is gone (or whose pid is somebody else's now)."""
    pidfds = [open_pidfd(process.pid, process.start_time) for process in processes]
    try:
        yield pidfds
    finally:
        for pidfd in pidfds:
            if pidfd is not None:
                os.close(pidfd)


def open_pidfd(pid: int, start_time: int) -> int | None:
    """Of exactly this process: the start time is read after the pidfd holds the pid."""
    try:
        pidfd = os.pidfd_open(pid)
    except (ProcessLookupError, OSError):
        return None
    now = proc.read(pid)
    if now is None or now.start_time != start_time:
        os.close(pidfd)
        return None
    return pidfd


async def readable(fd: int, limit: float) -> bool:
    """Wait for something to read (of a pidfd: the end of the process); False after `limit` seconds."""
    loop = asyncio.get_running_loop()
    there = asyncio.Event()
    loop.add_reader(fd, there.set)
    try:
        async with asyncio.timeout(limit):
            await there.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(fd)
    return True


async def _all_gone(pidfds: Iterable[int | None], limit: float) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + limit
    for pidfd in pidfds:
        if pidfd is not None:
            await readable(pidfd, max(0.0, until - loop.time()))


def kill_group_of(leader: int) -> KillAll:
    """SIGKILL to the process group of that number, if any that was found belongs to it.

    While it has a member, its number cannot mean another group.
    """

    def kill_all(found: Sequence[Process]) -> None:
        if any(process.group == leader for process in found):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(leader, signal.SIGKILL)

    return kill_all


async def finish(work: Awaitable[None]) -> None:
    """Carry it through even while being cancelled; the cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        raise cancelled
    task.result()
