"""What the standard library has no call for → the C library, and /proc: each without holding others up.

ctypes lets go of the interpreter's lock during a call, so that what hangs in the kernel holds up the
thread that called, and no other.
"""

import contextlib
import ctypes
import os
import time
from collections.abc import Iterator
from typing import NamedTuple

_LIBC = ctypes.CDLL(None, use_errno=True)
_CURRENT, _FUTURE = 1, 2
_ARENA_MAX = -8
_FIFO_PRIORITY = 10
_SETSID, _SETSIGDEF = 0x80, 0x04
_PATH = b"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOFOLLOW, FORCE, DETACH = 0x8, 0x1, 0x2


def boottime() -> float:
    """Seconds since boot, running on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Another one after every boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def lock_memory() -> bool:
    """Whether nothing of this process, now or later, is ever paged out. Before threads are started."""
    _LIBC.mallopt(_ARENA_MAX, 1)  # else each thread reserves, and locks, 64 MiB of addresses
    return bool(_LIBC.mlockall(_CURRENT | _FUTURE) == 0)


def real_time() -> bool:
    """Whether the calling thread runs before all that are not real-time; what it starts does not."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(_FIFO_PRIORITY))
    except OSError:
        return False
    return True


def spare_me() -> None:
    """The kernel, when out of memory, ends everybody else first."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("-1000")


def unmount(target: str, flags: int = 0) -> None:
    """Raises OSError."""
    if _LIBC.umount2(os.fsencode(target), NOFOLLOW | flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def spawn(argv: tuple[str, ...]) -> int:
    """Start it in a session of its own, without input or output. Raises OSError; the pid."""
    attributes = ctypes.create_string_buffer(1024)  # posix_spawnattr_t, of whatever size
    _LIBC.posix_spawnattr_init(attributes)
    _LIBC.posix_spawnattr_setflags(attributes, ctypes.c_short(_SETSID))
    words = (ctypes.c_char_p * (len(argv) + 1))(*map(os.fsencode, argv), None)
    env = (ctypes.c_char_p * 3)(
        b"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", b"LANG=C"
    )
    pid = ctypes.c_int()
    number = _LIBC.posix_spawnp(ctypes.byref(pid), words[0], None, attributes, words, env)
    _LIBC.posix_spawnattr_destroy(attributes)
    if number:
        raise OSError(number, os.strerror(number), argv[0])
    return pid.value


class Process(NamedTuple):
    pid: int
    start_time: int
    name: str
    parent: int
    session: int
    alive: bool  # no zombie, unless its threads still run

    def __str__(self) -> str:
        return f"{self.pid} ({self.name})"


def process(pid: int) -> Process | None:
    """None when there is no such process. Of /proc only what never waits for the process's memory."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            head, _, rest = file.read().decode(errors="replace").rpartition(") ")
    except (FileNotFoundError, ProcessLookupError):
        return None
    words = rest.split()
    alive = words[0] not in "ZXx" or int(words[17]) > 1
    return Process(pid, int(words[19]), head.partition("(")[2], int(words[1]), int(words[3]), alive)


def processes() -> Iterator[Process]:
    """All that are alive."""
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (found := process(int(entry))) and found.alive:
            yield found


def cgroup(pid: int) -> str:
    """Of version 2, as /proc names it; "" when it is gone."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        return next((line[3:].rstrip("\n") for line in file if line.startswith("0::")), "")
    return ""


def pidfd(pid: int, start_time: int) -> int | None:
    """Of exactly this process, None when it is gone: the start time is read after the pid is held."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return None
    found = process(pid)
    if found is None or found.start_time != start_time:
        os.close(fd)
        return None
    return fd
