"""A read-only probe (blkid, lvm) → its exit code and output, within a time limit.

Besides adapters/linux.py the only place that starts processes: what it starts changes nothing.
"""

import asyncio
import contextlib
import os
from dataclasses import dataclass

from reconciler.errors import MayHeal

_SECONDS_TO_DIE = 1.0
_MOST_OUTPUT = 1 << 22  # bytes of each stream held before the probe has to wait for us


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


class Prober:
    """Runs probes. One that even SIGKILL does not end (it waits for a disk) is not started again."""

    def __init__(self) -> None:
        self._stuck: dict[tuple[str, ...], asyncio.subprocess.Process] = {}

    async def run(self, argv: tuple[str, ...], timeout: float) -> Ran:
        """Run to its end. Raises NotInstalled; MayHeal when it cannot start or is not done in time."""
        stuck = self._stuck.get(argv)
        if stuck is not None and stuck.returncode is None:
            raise MayHeal(f"{argv[0]} hangs and cannot be ended (pid {stuck.pid})")
        process = await _start(argv)
        try:
            async with asyncio.timeout(timeout):
                out, err = await process.communicate()
        except TimeoutError:
            raise MayHeal(f"{argv[0]} did not answer within {timeout:g} s") from None
        finally:
            if process.returncode is None:
                self._stuck[argv] = process
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), _SECONDS_TO_DIE)
        return Ran(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))


async def _start(argv: tuple[str, ...]) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C", "LVM_SUPPRESS_FD_WARNINGS": "1"},
            start_new_session=True,
            limit=_MOST_OUTPUT,
        )
    except FileNotFoundError:
        raise NotInstalled(f"{argv[0]} is not installed") from None
    except OSError as fault:
        raise MayHeal(f"cannot run {argv[0]}: {fault.strerror}") from None
