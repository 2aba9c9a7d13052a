"""Mounts → unmounted, and their devices seen to be let go of; who holds one is killed."""

import contextlib
import errno
import os
import re
import signal
from collections.abc import Iterator
from typing import NamedTuple

from reconciler.guard import kernel
from reconciler.guard.lines import Mount
from reconciler.guard.programs import send, until

_ESCAPE = re.compile(r"\\([0-7]{3})")
_PLACES = ("cwd", "root", "exe")


class Mounted(NamedTuple):
    id: int
    parent: int
    device: str
    target: str
    fstype: str


def stop(line: Mount, by: float, late: bool) -> str:
    """ "" when it is mounted nowhere and its device could be opened alone; else why.

    `late`: by force; and out of sight, where opening its device alone shows whether it is written to still.
    """
    why = ""

    def gone() -> bool:
        nonlocal why
        why = _off(line)
        if why and late:
            for mount in reversed(_ours(line)):
                with contextlib.suppress(OSError):
                    kernel.unmount(mount.target, kernel.FORCE)
                if _provable(line):
                    with contextlib.suppress(OSError):
                        kernel.unmount(mount.target, kernel.DETACH)
        elif not why:
            why = _in_use(line)
        return not why

    return "" if until(gone, by) else why


def _off(line: Mount) -> str:
    """One attempt, from the last mount to the first."""
    for mount in reversed(_ours(line)):
        try:
            kernel.unmount(mount.target)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):  # gone meanwhile
                continue
            if error.errno != errno.EBUSY:
                return error.strerror or str(error)
            holders = list(_holders(mount))
            for each in holders:
                send(each, signal.SIGKILL)
            names = ", ".join(map(str, holders)) or "no process: a mount, a loop device, an export on it?"
            return f"busy: held by {names}"
    return "still mounted" if _ours(line) else ""


def _ours(line: Mount) -> list[Mounted]:
    """In the kernel's order. Another device on the target is somebody else's, if ours is known."""
    target = os.path.normpath(line.target)
    if line.device:
        return [mount for mount in _table() if mount.device == line.device]
    return [mount for mount in _table() if mount.target == target]


def _in_use(line: Mount) -> str:
    """The mount table forgets a filesystem before its device is closed, and knows this namespace only."""
    if not _provable(line):
        return ""
    try:
        os.close(os.open(line.source, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError as error:
        return f"{line.source} is in use still" if error.errno == errno.EBUSY else ""
    return ""


def _provable(line: Mount) -> bool:
    """Whether its device can be opened by one alone."""
    return bool(line.device) and line.source.startswith("/dev/")


def _table() -> list[Mounted]:
    with open("/proc/self/mountinfo", "rb") as file:
        return [_decoded(os.fsdecode(line)) for line in file]


def _decoded(line: str) -> Mounted:
    words = line.split()
    target = os.fsdecode(_ESCAPE.sub(lambda found: chr(int(found[1], 8)), words[4]).encode("latin-1"))
    return Mounted(int(words[0]), int(words[1]), words[2], target, words[words.index("-") + 1])


def _holders(mount: Mounted) -> Iterator[kernel.Process]:
    """Processes with a file or a directory on just this mount; never us, never the first."""
    for process in kernel.processes():
        if process.pid not in (1, os.getpid()) and _holds(process.pid, mount):
            yield process


def _holds(pid: int, mount: Mounted) -> bool:
    if any(_id(f"/proc/{pid}/{place}") == mount.id for place in _PLACES):
        return True
    with contextlib.suppress(OSError):
        if any(_told(f"/proc/{pid}/fdinfo/{fd}") == mount.id for fd in os.listdir(f"/proc/{pid}/fdinfo")):
            return True
    return any(_id(f"/proc/{pid}/map_files/{area}") == mount.id for area in _mapped(pid, mount.device))


def _mapped(pid: int, device: str) -> Iterator[str]:
    """Address ranges that map files of the device."""
    major, _, minor = device.partition(":")
    wanted = f"{int(major):02x}:{int(minor):02x}"
    with (
        contextlib.suppress(OSError),
        open(f"/proc/{pid}/maps", "rb") as file,
    ):
        for line in file:
            words = line.decode(errors="replace").split(maxsplit=5)
            if len(words) > 3 and words[3] == wanted:
                yield "-".join(part.lstrip("0") or "0" for part in words[0].split("-"))


def _id(path: str) -> int:
    """Of what a link in /proc leads to, opened as a mere place: its filesystem is not asked."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        return _told(f"/proc/thread-self/fdinfo/{fd}")
    finally:
        os.close(fd)


def _told(path: str) -> int:
    with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("mnt_id:")), -1)
    return -1
