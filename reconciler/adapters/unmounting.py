"""Unmount → unmounted; who holds a busy mount is ended first, and named."""

import asyncio
import errno
import os
from collections.abc import Sequence
from functools import partial

from reconciler.adapters import holders, mounting, proc
from reconciler.adapters.ending import end
from reconciler.adapters.outside import Outside
from reconciler.adapters.proc import Process
from reconciler.asks import Mount
from reconciler.errors import MayHeal
from reconciler.model import Outcome
from reconciler.operations import Unmount

ROUNDS = 4
"""How often holders are ended: what starts them again must not keep us here for ever."""
GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL."""
ANSWER = 1.0
"""Seconds after which a filesystem counts as one that does not answer."""
SETTLE = 0.02
"""Seconds that the kernel may take to let go of what an ended process had open."""


async def unmount(outside: Outside, operation: Unmount) -> Outcome:
    """What is not mounted is fine. Raises OSError, MayHeal."""
    ended: dict[Process, None] = {}
    for number in range(ROUNDS + 1):
        mount = await outside.run(operation.target, partial(_busy, operation), operation.timeout)
        if mount is None:
            break
        if above := _mounted_on(mount):
            raise MayHeal(f"busy: {', '.join(above)} is mounted on it: unmount that first")
        if not operation.evict:
            raise MayHeal(f"busy: {await _who(outside, mount)}")
        if number == ROUNDS:
            raise MayHeal(f"still busy after {ROUNDS} rounds: {await _who(outside, mount)}")
        ended |= dict.fromkeys(await _evict(outside, mount))
        await asyncio.sleep(SETTLE * (number + 1))
    names = ", ".join(map(str, ended))
    return Outcome(True, output=f"ended {names}, who held {operation.target}" if ended else "")


def _busy(operation: Unmount) -> Mount | None:
    """Blocking. What is still mounted there because it is in use; None: nothing is."""
    target = mounting.place(operation.target)
    mount = mounting.on_top(target)
    if mount is None:
        return None
    try:
        mounting.unmount(target, operation.force)
    except OSError as error:
        if error.errno == errno.EBUSY:
            return mount
        if error.errno not in (errno.EINVAL, errno.ENOENT) or mounting.on_top(target):
            raise
    return None


async def _evict(outside: Outside, mount: Mount) -> Sequence[Process]:
    spared = proc.ancestors(os.getpid())

    async def find() -> Sequence[Process]:
        found = await outside.run(f"holders of {mount.target}", lambda: holders.of_mount(mount), 30.0)
        return [process for process in found if process.pid not in spared]

    ending = await end(find, grace=GRACE)
    if ending.survivors:
        names = ", ".join(f"{process} in state {process.state}" for process in ending.survivors)
        raise MayHeal(f"busy: not even SIGKILL ends {names}")
    if not ending.found and (who := await _spared_or_kernel(outside, mount)):
        raise MayHeal(f"busy: {who}")
    return ending.found


async def _who(outside: Outside, mount: Mount) -> str:
    found = await outside.run(f"holders of {mount.target}", lambda: holders.of_mount(mount), 30.0)
    if others := [process for process in found if process.pid != os.getpid()]:
        return f"held by {', '.join(map(str, others))}"
    return (
        await _spared_or_kernel(outside, mount)
        or "no process holds it (an export, swap, or a loop device?)"
    )


async def _answers(outside: Outside, mount: Mount) -> bool:
    """A call that hangs in it shows up nowhere: our own looks among them."""
    try:
        await outside.run(f"an answer of {mount.target}", lambda: os.statvfs(mount.target), ANSWER)
    except MayHeal:
        return False
    except OSError:
        return True
    return True


async def _spared_or_kernel(outside: Outside, mount: Mount) -> str:
    """Who holds it and cannot be ended."""
    if loops := holders.loops_on(mount):
        return f"the file of {', '.join(loops)} is on it: detach that first"
    if not await _answers(outside, mount):
        return "it does not answer, and who waits for its answer holds it: repair what serves it"
    found = await outside.run(f"holders of {mount.target}", lambda: holders.of_mount(mount), 30.0)
    spared = [process for process in found if process.pid in proc.ancestors(os.getpid())]
    return f"held by {', '.join(map(str, spared))}, which started us or is us" if spared else ""


def _mounted_on(mount: Mount) -> list[str]:
    return [other.target for other in mounting.table() if other.parent == mount.id]
