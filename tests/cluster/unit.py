"""A host's agent → kept running as its unit would keep it, until it is told to stay down."""

import threading
import time

from tests.cluster.host import Host

AGAIN = 0.1
"""Seconds until it is started again, as RestartSec says."""


class Unit:
    """`Restart=always` for one host's agent. To be stopped before the host is."""

    def __init__(self, host: Host) -> None:
        self._host, self.starts = host, 0
        self._wanted = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"unit of {host.name}", daemon=True)
        self._thread.start()

    def start(self) -> None:
        self._wanted.set()

    def stay_down(self) -> None:
        """What runs is left alone."""
        self._wanted.clear()
        time.sleep(2 * AGAIN)

    def close(self) -> None:
        self._over.set()
        self._wanted.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._over.is_set():
            self._wanted.wait()
            if not self._over.is_set() and self._host.up and not _runs(self._host.agent):
                self._host.start()
                self.starts += 1
            time.sleep(AGAIN)


def _runs(pid: int) -> bool:
    if not pid:
        return False
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False
