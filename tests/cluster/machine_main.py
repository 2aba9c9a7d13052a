"""Words of a machine (JSON) → its first process, in namespaces of its own, until standard input ends.

Run by its path with the standard library alone. Prints the pid of the first process when it is ready, then
stands beside the machine, outside of it. Whoever holds the other end of standard input may die in any way:
the kernel closes it, and everything in the machine's control group and pid namespace is killed, with its
mounts and its network.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import struct
import sys
import time

_LIBC = ctypes.CDLL(None, use_errno=True)
_NS = {
    "mnt": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "pid": 0x20000000,
    "net": 0x40000000,
    "time": 0x00000080,
}
_FLAGS = {"bind": 0x1000, "private": 1 << 18, "rec": 0x4000}
_DETACH, _PDEATHSIG = 2, 1
_SWEEP = 3.0
_GET_STATUS, _CLEAR, _STATUS_SIZE = 0x4C05, 0x4C01, 232


def main(words: dict) -> int:
    if words["within"]:
        with open(f"/proc/{words['within']}/ns/mnt", "rb") as namespace:
            _call(_LIBC.setns(namespace.fileno(), _NS["mnt"]))
    _call(_LIBC.unshare(_NS["mnt"] | _NS["uts"] | _NS["ipc"] | _NS["pid"] | _NS["net"] | _NS["time"]))
    _offset(words["clock"])
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(told)
        _first(words, tell)
    os.close(tell)
    if os.read(told, 1) == b"+":
        os.write(1, f"{pid}\n".encode())
    os.close(1)
    pidfd = os.pidfd_open(pid)
    select.select([0, pidfd], [], [])  # nothing is ever written to standard input
    kill(words["group"], pidfd)
    os.waitpid(pid, 0)
    group, directory = words["sweep"]
    _detach(directory)
    _sweep(group)
    return 0


def kill(group: str, pidfd: int) -> None:
    """All of it at once, what stands still as well."""
    with contextlib.suppress(OSError):
        if group:
            with open(f"{group}/cgroup.kill", "w", encoding="ascii") as file:
                file.write("1")
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    with contextlib.suppress(OSError):
        if group:  # those outside who wait for a process inside stood still as well
            with open(f"{group}/cgroup.freeze", "w", encoding="ascii") as file:
                file.write("0")


def _offset(seconds: int) -> None:
    """How far the machine's monotonic and boot-time clocks are ahead of everybody's."""
    with open("/proc/self/timens_offsets", "w", encoding="ascii") as file:
        file.write(f"monotonic {seconds} 0\nboottime {seconds} 0\n")


def _first(words: dict, tell: int) -> None:
    """Never returns."""
    try:
        _call(_LIBC.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
        if words["group"]:
            with open(f"{words['group']}/cgroup.procs", "w", encoding="ascii") as file:
                file.write("0")
            _call(_LIBC.unshare(_NS["cgroup"]))
        name = words["name"].encode()
        _call(_LIBC.sethostname(name, len(name)))
        _mount("none", "/", "", ["rec", "private"], "")
        for step in words["steps"]:
            _step(step)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody stays a zombie
        os.write(tell, b"+")
        os.close(tell)
        os.close(1)
        while True:
            signal.pause()
    finally:
        os._exit(1)


def _step(step: dict) -> None:
    match step["do"]:
        case "directory":
            os.makedirs(step["at"], exist_ok=True)
        case "file":
            with open(step["at"], "w", encoding="ascii") as file:
                file.write(step["text"])
        case "unmount":
            _call(_LIBC.umount2(step["at"].encode(), _DETACH))
        case "mount":
            _mount(step.get("what", "none"), step["at"], step.get("type", ""), step.get("how", []), "")


def _mount(what: str, at: str, kind: str, how: list, data: str) -> None:
    flags = sum(_FLAGS[word] for word in how)
    given = (
        what.encode(),
        at.encode(),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        data.encode() or None,
    )
    _call(_LIBC.mount(*given), at)


def _detach(directory: str) -> None:
    """Loop devices of files on its filesystem, at once or when their last user has ended.

    Also those of files on a filesystem that is on such a device.
    """
    there = [os.stat(directory).st_dev] if directory else []
    for number in there:
        for name in os.listdir("/sys/class/block"):
            if os.path.exists(f"/sys/class/block/{name}/loop/backing_file"):
                with contextlib.suppress(OSError), open(f"/dev/{name}", "rb", buffering=0) as loop:
                    status = bytearray(_STATUS_SIZE)
                    fcntl.ioctl(loop, _GET_STATUS, status)
                    if struct.unpack_from("=Q", status)[0] == number:
                        there.append(os.fstat(loop.fileno()).st_rdev)
                        fcntl.ioctl(loop, _CLEAR)


def _sweep(group: str) -> None:
    """Control groups stay when all else has gone: remove them, once those in them have ended."""
    end = time.monotonic() + _SWEEP
    while group and os.path.exists(group) and time.monotonic() < end:
        for directory, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        time.sleep(0.01)


def _call(result: int, about: str = "") -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), about)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
