"""A host of the bed → a wall clock of its own for its agent, which can be stepped while it runs.

Hosts in namespaces share the kernel's wall clock; libfaketime stands between it and the agent. The guard is
started with an environment of its own: it reads no wall clock but for its log (tests/test_architecture.py).
"""

import sys
from pathlib import Path

from tests.cluster.host import HOME, Host

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
CLOCKS = "import time; print(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic())"


class Wall:
    """One host's wall clock, for its agent."""

    def __init__(self, host: Host) -> None:
        self._host, self._file = host, host.kept / "wall"
        self.step(0)
        host.environment |= {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": f"{HOME}/wall",
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",  # what was written before a step keeps its time
        }

    def step(self, seconds: int) -> None:
        """As far from everybody else's as said, from now on."""
        beside = self._file.with_name("wall.new")
        beside.write_text(f"{seconds:+d}\n")
        beside.rename(self._file)

    def clocks(self) -> tuple[float, float, float]:
        """Wall, boot-time and monotonic clock as its processes see them, less what all others see."""
        words = " ".join(f"{name}={value}" for name, value in self._host.environment.items())
        command = f"{sys.executable} -I -S -c '{CLOCKS}'"
        told = [self._host.run(f"{environment} {command}").split() for environment in ("", words)]
        true, its = (tuple(map(float, one)) for one in told)
        return its[0] - true[0], its[1] - true[1], its[2] - true[2]
