"""A read-only probe (blkid, lvm) → its exit code and output, within a time limit.

What it starts changes nothing.
"""

import contextlib
import os
import select
import signal
from dataclasses import dataclass
from typing import NamedTuple

from reconciler.adapters.ending import readable
from reconciler.adapters.processes import hear
from reconciler.adapters.starter import Child, Starter
from reconciler.adapters.starter_main import Request
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

    child: Child
    out: int
    err: int


class Prober:
    """Runs probes. One that even SIGKILL does not end (it waits for a disk) is not started again."""

    def __init__(self, starter: Starter) -> None:
        self._starter = starter
        self._stuck: dict[tuple[str, ...], _Probe] = {}

    async def run(self, argv: tuple[str, ...], timeout: float) -> Ran:
        """Run to its end. Raises NotInstalled; MayHeal when it cannot start or is not done in time."""
        if (stuck := self._stuck.get(argv)) is not None:
            if not _has_ended(stuck):
                raise MayHeal(f"{argv[0]} hangs and cannot be ended (pid {stuck.child.pid})")
            _end(self._stuck.pop(argv))
        probe = await self._start(argv)
        try:
            if not await readable(probe.child.pidfd, timeout):
                raise MayHeal(f"{argv[0]} did not answer within {timeout:g} s")
        finally:
            if not _has_ended(probe):
                _kill(probe)
                await readable(probe.child.pidfd, _SECONDS_TO_DIE)
            if _has_ended(probe):
                why = hear(probe.child).failed
                ran = _end(probe)
            else:
                os.close(probe.child.hears)
                self._stuck[argv] = probe
        if "not found" in why:
            raise NotInstalled(f"{argv[0]} is not installed")
        if why:
            raise MayHeal(f"cannot run {argv[0]}: {why}")
        return ran

    async def _start(self, argv: tuple[str, ...]) -> _Probe:
        out, err = os.memfd_create("out", os.MFD_CLOEXEC), os.memfd_create("err", os.MFD_CLOEXEC)
        env = {**os.environ, "LC_ALL": "C", "LVM_SUPPRESS_FD_WARNINGS": "1"}
        try:
            return _Probe(await self._starter.start(Request(argv, env), out, err), out, err)
        except BaseException:  # cancelled as well: they are ours to close
            os.close(out)
            os.close(err)
            raise


def _has_ended(probe: _Probe) -> bool:
    poll = select.poll()
    poll.register(probe.child.pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _kill(probe: _Probe) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(probe.child.pidfd, signal.SIGKILL)


def _end(probe: _Probe) -> Ran:
    """Of one that has ended; nothing of it is left."""
    result = os.waitid(os.P_PIDFD, probe.child.pidfd, os.WEXITED)
    code = 0 if result is None else result.si_status
    if result is not None and result.si_code != os.CLD_EXITED:
        code = -code
    texts = [os.pread(fd, _MOST_OUTPUT, 0).decode(errors="replace") for fd in (probe.out, probe.err)]
    for fd in (probe.child.pidfd, probe.out, probe.err):
        os.close(fd)
    return Ran(code, *texts)
