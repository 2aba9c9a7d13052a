"""Hosts, members, programs to be looked for → a small world: a wire, an etcd, hosts, a client, a sampler.

    with bedding(hosts=3) as bed:
        for host in bed.hosts.values(): host.start()
        bed.net.cut("n1", bed.store.members)
        bed.client.get("10.77.0.50:8080")
        bed.sampler.history().assert_never_twice("address 10.77.0.50")

All of it is in namespaces, ends with the block, and also when this process is killed.
"""

import contextlib
import http.client
import json
import shutil
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from reconciler.decide.timing import PROFILES
from tests import kernel
from tests.cluster.disk import Disk, Ground
from tests.cluster.host import Host
from tests.cluster.net import PLACE, Net
from tests.cluster.sampler import Sampler
from tests.cluster.store import Store

TOOLS = {
    "etcd": "etcd-server",
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "fsfreeze": "util-linux",
    "mke2fs": "e2fsprogs",
}
needs_cluster = [
    *kernel.needs_root,
    *(
        pytest.mark.skipif(shutil.which(tool) is None, reason=f"needs {tool}: apt install {package}")
        for tool, package in TOOLS.items()
    ),
]
CLIENT = 200
"""The client is 10.77.0.200, a host that runs nothing of ours."""
PATIENCE = 20.0


class Client:
    """Who asks the services, from a machine of its own."""

    name = "client"

    def __init__(self, net: Net) -> None:
        self.machine = net.machine(self.name, CLIENT, own_group=False)

    def get(self, where: str, within: float = 0.5) -> dict[str, Any]:
        """What a program that answers (answer.py) at http://WHERE/ says; {} when nobody does."""
        page = self.page(where, within)
        return dict(json.loads(page)) if page else {}

    def page(self, where: str, within: float = 0.5) -> str:
        """What stands at http://WHERE/, "" when nobody answers."""
        with (
            self.machine.inside(),
            contextlib.suppress(OSError, http.client.HTTPException),
            urllib.request.urlopen(f"http://{where}/", timeout=within) as reply,
        ):
            return str(reply.read().decode())
        return ""

    def forget(self) -> None:
        """Where addresses are: who moves one by hand does not announce it."""
        self.machine.network("neigh flush dev eth0\n")


class Bed:
    def __init__(self, hosts: int, members: int, programs: Sequence[str], **node: Any) -> None:
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            self.net = Net()
            stack.callback(self.net.close)
            self.sampler = Sampler(programs)
            stack.callback(self.sampler.close)
            self.client = Client(self.net)
            self.store = Store(self.net, members, PROFILES[node.get("failover_time", "fast")])
            self.hosts = {
                f"n{number}": Host(self.net, f"n{number}", number, self.store.endpoints, **node)
                for number in range(1, hosts + 1)
            }
            for host in self.hosts.values():
                self.boot(host)
            self._stack = stack.pop_all()

    def boot(self, host: Host) -> None:
        """Looked at from then on."""
        host.boot()
        self.sampler.watch(host)

    def crash_and_boot(self, host: Host) -> None:
        host.crash()
        self.boot(host)

    def clone(self, of: Host, name: str, number: int) -> Host:
        """Another machine with a copy of that one's disk: it takes itself for the same node."""
        made = Host(self.net, name, number, self.store.endpoints, called=of.called)
        shutil.copytree(of.kept, made.kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns("run", "dev"))
        (made.kept / "agent.log").unlink(missing_ok=True)
        self.hosts[name] = made
        self.boot(made)
        for disk in of.disks:
            made.attach(disk)
        return made

    def new_disk(self, name: str = "shared", megabytes: int = 64) -> Disk:
        """Attached to nobody."""
        return Disk(self.net.root, name, megabytes)

    def ground(self, name: str = "ground") -> Ground:
        """A filesystem that can be frozen, for disks to lie on."""
        return Ground(self.net.wire, f"{PLACE}/{name}")

    def disk(self, name: str = "shared", megabytes: int = 64, on: Ground | None = None) -> Disk:
        """Attached to every host."""
        disk = Disk(on.directory, name, megabytes) if on else self.new_disk(name, megabytes)
        for host in self.hosts.values():
            host.attach(disk)
        return disk

    def until(self, holds: Callable[[], object], within: float = PATIENCE, what: str = "") -> float:
        """The seconds it took. Fails with what is known."""
        began = time.monotonic()
        while not holds():
            assert time.monotonic() - began < within, (
                f"{what or 'not so'} within {within:g} s\n{self.report()}"
            )
            time.sleep(0.02)
        return time.monotonic() - began

    def report(self) -> str:
        """The end of each agent's log, and what was seen on the hosts."""
        logs = [f"--- {name}\n{host.log()}" for name, host in self.hosts.items()]
        return "\n".join([*logs, "--- seen", self.sampler.history().told()])

    def close(self) -> None:
        for host in self.hosts.values():
            host.close()
        self._stack.close()


@contextlib.contextmanager
def bedding(hosts: int = 3, members: int = 3, programs: Sequence[str] = (), **node: Any) -> Iterator[Bed]:
    """A bed within the block: the hosts are booted, the store and the agents not started."""
    bed = Bed(hosts, members, programs, **node)
    try:
        yield bed
    finally:
        bed.close()


def answering(name: str, port: int, file: str = "") -> str:
    """The command line of a program that answers, see answer.py."""
    words = [sys.executable, "-I", "-S", str(Path(__file__).with_name("answer.py")), name, str(port), file]
    return " ".join(words).strip()
