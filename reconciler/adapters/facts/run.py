"""A read-only probe (blkid, lvm) → its exit code and output, within a time limit.

Besides adapters/linux.py the only place that starts processes: what it starts changes nothing.
"""

import contextlib
import os
import select
import signal
from dataclasses import dataclass
from typing import NamedTuple

from reconciler.adapters.ending import readable
from reconciler.errors import MayHeal

_SECONDS_TO_DIE = 1.0
_MOST_OUTPUT = 1 << 22  # bytes of each stream that are read


@dataclass(frozen=True)
class Ran:
    """How a probe ended. `code` is negative for a signal."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The last line it wrote to stderr, or its exit code."""
        lines = self.err.strip().splitlines()
        return lines[-1].strip() if lines else f"exit code {self.code}"


class NotInstalled(MayHeal):
    """The program of that name is not on this host."""


class _Probe(NamedTuple):
    """One under way. Its output goes to memory, not through pipes: nobody has to read along."""

    pid: int
    pidfd: int
    out: int
    err: int


class Prober:
    """Runs probes. One that even SIGKILL does not end (it waits for a disk) is not started again."""

    def __init__(self) -> None:
        self._stuck: dict[tuple[str, ...], _Probe] = {}

    async def run(self, argv: tuple[str, ...], timeout: float) -> Ran:
        """Run to its end. Raises NotInstalled; MayHeal when it cannot start or is not done in time."""
        if (stuck := self._stuck.get(argv)) is not None:
            if not _has_ended(stuck):
                raise MayHeal(f"{argv[0]} hangs and cannot be ended (pid {stuck.pid})")
            _end(self._stuck.pop(argv))
        probe = _start(argv)
        try:
            if not await readable(probe.pidfd, timeout):
                raise MayHeal(f"{argv[0]} did not answer within {timeout:g} s")
        finally:
            if not _has_ended(probe):
                _kill(probe)
                await readable(probe.pidfd, _SECONDS_TO_DIE)
            if _has_ended(probe):
                ran = _end(probe)
            else:
                self._stuck[argv] = probe
        return ran


def _start(argv: tuple[str, ...]) -> _Probe:
    out, err = os.memfd_create("out", os.MFD_CLOEXEC), os.memfd_create("err", os.MFD_CLOEXEC)
    try:
        pid = os.posix_spawnp(
            argv[0],
            argv,
            {**os.environ, "LC_ALL": "C", "LVM_SUPPRESS_FD_WARNINGS": "1"},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, out, 1),
                (os.POSIX_SPAWN_DUP2, err, 2),
            ],
            setsid=True,
        )
        return _Probe(pid, os.pidfd_open(pid), out, err)
    except OSError as fault:
        os.close(out)
        os.close(err)
        if isinstance(fault, FileNotFoundError):
            raise NotInstalled(f"{argv[0]} is not installed") from None
        raise MayHeal(f"cannot run {argv[0]}: {fault.strerror}") from None


def _has_ended(probe: _Probe) -> bool:
    poll = select.poll()
    poll.register(probe.pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _kill(probe: _Probe) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(probe.pidfd, signal.SIGKILL)


def _end(probe: _Probe) -> Ran:
    """Of one that has ended; nothing of it is left."""
    result = os.waitid(os.P_PIDFD, probe.pidfd, os.WEXITED)
    code = 0 if result is None else result.si_status
    if result is not None and result.si_code != os.CLD_EXITED:
        code = -code
    texts = [os.pread(fd, _MOST_OUTPUT, 0).decode(errors="replace") for fd in (probe.out, probe.err)]
    for fd in (probe.pidfd, probe.out, probe.err):
        os.close(fd)
    return Ran(code, *texts)
