"""Requests on a socket → processes born in their control group, as children of who asks.

The starter's own side, run by path with the bare interpreter: small, with one thread. The daemon cannot
do this itself: a fork copies the map of all its memory, and a lock that a thread of it holds would be
held in the child for ever. A process that enters a control group after its birth waits for a grace
period of the kernel (5 to 15 ms); one that is born in it (CLONE_INTO_CGROUP, Linux 5.7) waits for
nothing. With CLONE_PARENT it is the daemon's own child, whoever carried it.

What may hang or fail before a program runs (entering a directory on a dead server, finding the file
there) happens in the new process. Why it failed is written to a pipe that closes by itself when the
process becomes the program: its end without a word means that it did.
"""

import ctypes
import errno
import gc
import marshal
import os
import platform
import resource
import signal
import socket
import sys
from array import array
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

_CLONE3 = 435  # one number on every architecture
_CLONE = {"x86_64": 56, "aarch64": 220, "riscv64": 220}
_CLONE_PARENT, _CLONE_INTO_CGROUP = 0x8000, 0x2_0000_0000
_TOO_OLD = (errno.ENOSYS, errno.EINVAL, errno.E2BIG, errno.EPERM)  # EPERM: so do some containers say it
_PR_SET_PDEATHSIG = 1
_MOST = 16 * 1024 * 1024  # bytes of one request
ASIDE = b"\x06"
"""Begins a line on the log: its length before the program, and why it is lost."""
_libc = ctypes.PyDLL(None, use_errno=True)


class Request(NamedTuple):
    """One process to start, in a session of its own, without input.

    record  (file, boot id, control group): a line that names the process by pid and start time is
            written there first. Whoever dies at whatever instant, there is either no program or a
            record of it.
    umask   in octal; "" leaves it.
    ids     (uid, gid, user to take further groups of) or None to stay who we are.
    log     where its outputs go instead, and whether it must not run without; it is appended to.
    limits  (number of the limit, value for soft and hard); descriptors is a soft limit, -1: none.
    """

    argv: tuple[str, ...]
    env: dict[str, str]
    record: tuple[str, str, str] | None = None
    group: str = ""
    umask: str = ""
    cwd: str = ""
    ids: tuple[int, int, str] | None = None
    log: tuple[str, bool] | None = None
    descriptors: int = -1
    limits: tuple[tuple[int, int], ...] = ()


class _CloneArgs(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            *("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls"),
            *("set_tid", "set_tid_size", "cgroup"),
        )
    ]


def born(group: int) -> tuple[int, bool]:
    """Pid of a copy of us (0: we are the copy) and whether it was born in the group, -1: none.

    Raises OSError.
    """
    args = _CloneArgs(flags=_CLONE_PARENT)
    if group >= 0:
        args.flags, args.cgroup = _CLONE_PARENT | _CLONE_INTO_CGROUP, group
    try:
        return _called(_CLONE3, ctypes.byref(args), ctypes.sizeof(args)), group >= 0
    except OSError as fault:
        number = _CLONE.get(platform.machine())
        if fault.errno not in _TOO_OLD or number is None:
            raise
    return _called(number, _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0), False


def _called(*words: Any) -> int:
    result = int(_libc.syscall(*(ctypes.c_long(w) if isinstance(w, int) else w for w in words)))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


# --- in the new process --------------------------------------------------------------------


class _Failed(Exception):
    """Why it does not become the program, for people."""


def _become(request: Request, output: int, says: int, errors: int, inside: bool) -> None:
    """This process turns into the program; raises when it cannot."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if request.log:
        output, length, note = _opened(*request.log)
        errors = output
        os.write(says, ASIDE + f"{length} {note}".encode(errors="replace")[:4000] + b"\n")
    os.dup2(output, 1)
    os.dup2(errors, 2)
    if request.record:
        _write_record(*request.record)
    if request.group and not inside:
        _told(f"cannot enter the control group {request.group}", lambda: _enter(request.group))
    if request.umask:
        os.umask(int(request.umask, 8))
    if request.cwd:
        _told(f"cannot enter the directory {request.cwd}", lambda: os.chdir(request.cwd))
    file = _found(request.argv[0], request.env.get("PATH", os.defpath))
    _limit(request)
    if request.ids:
        _drop(*request.ids)
    try:
        os.execve(file, request.argv, request.env)
    except OSError as fault:
        if fault.errno != errno.ENOEXEC:
            raise _Failed(f"{request.argv[0]} cannot be executed: {fault.strerror}") from None
        # Text without a first line that names its interpreter is the shell's, as everywhere.
        os.execve("/bin/sh", ("sh", file, *request.argv[1:]), request.env)


def _opened(path: str, must: bool) -> tuple[int, int, str]:
    """Its descriptor, its length, and why it is lost: our own log may be, it stops no program."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY, 0o640)
    except OSError as fault:
        if must:
            raise _Failed(f"{path}: {fault.strerror}") from None
        return os.open(os.devnull, os.O_WRONLY), 0, f"its output is lost: {path}: {fault.strerror}"
    return file, os.fstat(file).st_size, ""


def _write_record(path: str, boot: str, group: str) -> None:
    with open("/proc/self/stat", "rb") as file:
        start_time = int(file.read().rpartition(b") ")[2].split()[19])
    try:
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(f"{os.getpid()} {start_time} {boot} {group}\n")
    except OSError as fault:
        raise _Failed(f"cannot write {path}: {fault.strerror}") from None


def _enter(group: str) -> None:
    with open(f"{group}/cgroup.procs", "w", encoding="ascii") as file:
        file.write("0")


def _found(name: str, path: str) -> str:
    if "/" in name:
        if not os.path.exists(name):
            raise _Failed(f"{name}: not found")
        if not os.path.isfile(name) or not os.access(name, os.X_OK):
            raise _Failed(f"{name}: not executable")
        return name
    for directory in path.split(":"):
        file = os.path.join(directory, name)
        if os.path.isfile(file) and os.access(file, os.X_OK):
            return file
    raise _Failed(f"{name}: not found in {path}")


def _limit(request: Request) -> None:
    if request.descriptors >= 0:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (request.descriptors, hard))
    for number, value in request.limits:
        _told(f"cannot set a limit to {value}", lambda: resource.setrlimit(number, (value, value)))  # noqa: B023  # called at once


def _drop(uid: int, gid: int, user: str) -> None:
    try:
        if user:
            os.initgroups(user, gid)
        else:
            os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as fault:
        raise _Failed(f"cannot become user {uid}, group {gid}: {fault.strerror}") from None


def _told(what: str, call: Callable[[], object]) -> None:
    try:
        call()
    except (OSError, ValueError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else fault
        raise _Failed(f"{what}: {why}") from None


def _live(request: Request, output: int, says: int, errors: int, inside: bool) -> NoReturn:
    try:
        _become(request, output, says, errors, inside)
    except BaseException as fault:  # whatever it is: nothing of the starter may go on in this process
        text = str(fault) if isinstance(fault, _Failed) else f"{request.argv[0]}: {fault!r}"
        os.write(says, text.encode(errors="replace")[:4000])
    finally:
        os._exit(125)


# --- in the starter ------------------------------------------------------------------------


def answer(request: Request, output: int, says: int, errors: int) -> tuple[int, str]:
    """(pid, "") of the new process, or (0, why there is none)."""
    try:
        group = os.open(request.group, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) if request.group else -1
    except OSError as fault:
        return 0, f"cannot enter the control group {request.group}: {fault.strerror}"
    try:
        pid, inside = born(group)
    except OSError as fault:
        return 0, f"no process can be made: {fault.strerror}"
    finally:
        if group >= 0:
            os.close(group)
    if pid == 0:
        _live(request, output, says, errors, inside)
    return pid, ""


def _receive(wire: socket.socket) -> tuple[Request, list[int]] | None:
    """The next request and its descriptors (output, where to say why it failed, errors); None: the end."""
    room = socket.CMSG_SPACE(3 * array("i").itemsize)
    data, ancillary, _, _ = wire.recvmsg(4, room, socket.MSG_CMSG_CLOEXEC)
    if len(data) < 4 or not ancillary:
        return None
    descriptors = array("i")
    descriptors.frombytes(ancillary[0][2])
    left = int.from_bytes(data, "little")
    if left > _MOST:
        return None
    text = bytearray()
    while len(text) < left:
        piece = wire.recv(left - len(text))
        if not piece:
            return None
        text += piece
    return Request(*marshal.loads(bytes(text))), descriptors.tolist()


def main(descriptor: int, parent: int) -> None:
    """Serve the socket until its other end is closed. We go as soon as the daemon does."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        return
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):  # the interpreter has its own ways
        signal.signal(number, signal.SIG_DFL)
    os.set_inheritable(descriptor, False)
    gc.disable()  # nothing here goes in circles
    with socket.socket(fileno=descriptor) as wire:
        while asked := _receive(wire):
            request, descriptors = asked
            pid, why = answer(request, *descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            text = why.encode(errors="replace")[:1000]
            wire.sendall(pid.to_bytes(8, "little") + len(text).to_bytes(4, "little") + text)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
