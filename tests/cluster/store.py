"""Members wanted → a real etcd, each member on a machine of its own, its data in memory.

    store = Store(net, 3); store.start(); store.kill(store.leader()); store.restart("e1")

Its timing is that of a profile of failover times. No tool of etcd's is used but the server.
"""

import shutil
import signal
import time
from collections.abc import Mapping
from os import kill
from pathlib import Path
from typing import Any

from reconciler.decide.timing import PROFILES, Timing
from tests.cluster.net import NETWORK, PLACE, Net
from tests.etcd import asked

_PATIENCE = 10.0


class Store:
    """Members e1, e2, … at 10.77.0.101, .102, …"""

    def __init__(self, net: Net, members: int = 3, timing: Timing = PROFILES["fast"]) -> None:
        self._net, self._timing = net, timing
        self.members = tuple(f"e{number}" for number in range(1, members + 1))
        self._machines = {
            name: net.machine(name, 100 + number, own_group=False)
            for number, name in enumerate(self.members, 1)
        }
        self._running: dict[str, int] = {}
        self._home = net.root / "store"
        self._home.mkdir()

    @property
    def endpoints(self) -> list[str]:
        return [self.url(name) for name in self.members]

    def url(self, member: str, port: int = 2379) -> str:
        return f"http://{NETWORK}.{100 + self.members.index(member) + 1}:{port}"

    # --- life ------------------------------------------------------------------------------

    def start(self, *members: str) -> None:
        """Returns when each of them (all, if none is named) serves, under a leader."""
        self.begin(*members)
        for member in members or self.members:
            self._wait(member)

    restart = start

    def begin(self, *members: str) -> None:
        """The same, and does not wait for it."""
        for member in members or self.members:
            self._running[member] = self._process(member)

    def kill(self, *members: str) -> None:
        """As a crash, all of them if none is named; the data stays."""
        ended = {member: self._running.pop(member) for member in members or list(self._running)}
        for pid in ended.values():
            kill(pid, signal.SIGKILL)
        for member, pid in ended.items():
            while pid in self._machines[member].processes():
                time.sleep(0.002)

    def leader(self) -> str:
        """The member that leads; one does, or will soon."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            for member in self._running:
                said = self.ask(member, "/v3/maintenance/status", {})
                if said.get("leader") and said["leader"] == said["header"]["member_id"]:
                    return member
            time.sleep(0.02)
        raise AssertionError(f"no member leads\n{self.logs()}")

    # --- its data --------------------------------------------------------------------------

    def save(self) -> Path:
        """A copy of all data as it is now, which is as a crash of all members would leave it."""
        copy = self._net.root / f"backup-{time.monotonic_ns()}"
        for pid in self._running.values():
            _stand_still(pid)
        shutil.copytree(self._home, copy, ignore=shutil.ignore_patterns("*.log"))
        for pid in self._running.values():
            kill(pid, signal.SIGCONT)
        return copy

    def restore(self, copy: Path) -> None:
        """What was kept after the copy was made is lost: the same cluster goes on from before it."""
        self.kill()
        for member in self.members:
            shutil.rmtree(self._home / member, ignore_errors=True)
            shutil.copytree(copy / member, self._home / member)
        self.start()

    # --- asked -----------------------------------------------------------------------------

    def ask(self, member: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """What a member answers, asked on its own machine, which no cut reaches; {} when it does not."""
        with self._machines[member].inside():
            return asked.ask(self.url(member) + path, body)

    def healthy(self, member: str) -> bool:
        """It serves under a leader: its health is a linearizable read."""
        with self._machines[member].inside():
            return asked.healthy(self.url(member))

    def revision(self) -> int:
        """Of the store as one member that serves has it."""
        for member in self._running:
            if said := self.ask(member, "/v3/kv/range", {"key": "AA=="}).get("header"):
                return int(said["revision"])
        raise AssertionError(f"no member answers\n{self.logs()}")

    def logs(self) -> str:
        return "\n".join(path.read_text()[-2000:] for path in sorted(self._home.glob("*.log")))

    def _wait(self, member: str) -> None:
        end = time.monotonic() + _PATIENCE
        while not self.healthy(member):
            assert time.monotonic() < end, f"{member} does not serve\n{self.logs()}"
            time.sleep(0.02)

    def _process(self, member: str) -> int:
        peers = ",".join(f"{name}={self.url(name, 2380)}" for name in self.members)
        peer, client = self.url(member, 2380), self.url(member)
        beat, election = round(self._timing.heartbeat * 1e3), round(self._timing.election * 1e3)
        words = f"""
            etcd --name {member} --data-dir {PLACE}/store/{member} --logger zap --log-outputs stderr
            --listen-peer-urls {peer} --initial-advertise-peer-urls {peer}
            --listen-client-urls {client} --advertise-client-urls {client}
            --initial-cluster {peers} --initial-cluster-token bed --initial-cluster-state new
            --heartbeat-interval {beat} --election-timeout {election} --pre-vote
        """
        return self._machines[member].start(words.split(), self._home / f"{member}.log")


def _stand_still(pid: int) -> None:
    """Returns when none of its threads runs any more."""
    kill(pid, signal.SIGSTOP)
    for thread in Path(f"/proc/{pid}/task").iterdir():
        while (thread / "stat").read_text().rpartition(") ")[2][0] not in "TtZ":
            time.sleep(0.001)
