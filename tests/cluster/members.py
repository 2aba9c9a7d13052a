"""Hosts with their units, and one service on them: an address, a filesystem on a shared disk, a program.

What was where is sampled every 5 ms on every host; times are those of the fast profile.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence

from reconciler.decide.timing import PROFILES
from tests.cluster.bed import Bed, answering, bedding
from tests.cluster.host import HOME, Host
from tests.cluster.unit import Unit

FAST = PROFILES["fast"]
ADDRESS, PORT, DATA = "10.77.0.50", 80, f"{HOME}/run/data"
THINGS = (f"address {ADDRESS}", f"mount {DATA}", "program web")
TAKEN = FAST.failover + 0.4 + 1.5
"""Seconds from a crash until it is up elsewhere, at most: claim, probe of the address, start."""


class Cluster:
    """Three hosts with their units, and the service of this module."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.hosts = bed.hosts
        self.units = {name: Unit(host) for name, host in bed.hosts.items()}

    def close(self) -> None:
        for unit in self.units.values():
            unit.close()

    def begin(self, *names: str) -> None:
        """The store and these hosts' agents; the service comes up on the first of them."""
        self.bed.store.begin()  # it elects while the agents start
        self.bed.disk()
        for name in names or self.hosts:
            self.units[name].start()
        for name in names or self.hosts:
            self.bed.until(self.hosts[name].answers, what=f"{name} does not answer")
        self.bed.until(lambda: self.sessions() >= len(names or self.hosts), what="not all have a session")
        first = (names or tuple(self.hosts))[0]
        self.hosts[first].write("web.yaml", document(names or tuple(self.hosts)))
        self.up_on(first)

    def edited(self, name: str, text: str) -> None:
        """Another document, put in place on that host; in force on all of them."""

        def generations() -> list[str]:
            found = [host.get("/v1/services/root/web") for host in self.hosts.values()]
            return [str(one["metadata"]["generation"]) for one in found]

        before = generations()[0]
        self.hosts[name].write("web.yaml", text)
        self.bed.until(lambda: before not in generations(), what="the edit is not in force everywhere")

    def sessions(self) -> int:
        """How many nodes are alive, as the first that answers sees it."""
        for host in self.hosts.values():
            if host.up and host.answers():
                cluster = host.get("/v1/node")["cluster"]
                return sum(one["alive"] for one in cluster["nodes"].values()) if cluster else 0
        return 0

    def answering(self) -> str:
        """The host that answers on the service's address, "" for none."""
        return str(self.bed.client.get(f"{ADDRESS}:{PORT}").get("host", ""))

    def up_on(self, *names: str, within: float = TAKEN) -> float:
        """Seconds until one of these answers."""
        self.bed.client.forget()
        return self.bed.until(lambda: self.answering() in names, within, f"not up on {' or '.join(names)}")

    def never_twice(self) -> None:
        self.bed.sampler.history().assert_never_twice(*THINGS)

    def held_since(self, name: str) -> int:
        """Of the service's program there: it is the same one as long as this is the same."""
        return int(self.hosts[name].run("pgrep -o -x web || echo 0"))

    def log(self, host: Host) -> str:
        path = host.path("run/guard/log")
        return path.read_text() if path.exists() else ""


def document(nodes: Sequence[str], **spec: object) -> str:
    resources = {
        "ip#0": {"type": "host", "name": ADDRESS, "netmask": 24, "dev": "eth0"},
        "fs#data": {"type": "ext4", "dev": f"{HOME}/dev/shared", "mnt": DATA, "provision": False},
        "app#web": {"type": "simple", "start": answering("web", PORT, f"{DATA}/count")},
    }
    whole = {"nodes": list(nodes), "requires_safety": "lease", "resources": resources, **spec}
    made = {"apiVersion": "standfast/v1", "kind": "Service", "metadata": {"name": "web"}, "spec": whole}
    return json.dumps(made)


@contextlib.contextmanager
def cluster(hosts: int = 2, members: int = 1) -> Iterator[Cluster]:
    with (
        bedding(hosts=hosts, members=members, programs=["web"]) as bed,
        contextlib.closing(Cluster(bed)) as made,
    ):
        made.begin()
        try:
            yield made
        except AssertionError:
            for name, host in made.hosts.items():
                if host.up:
                    print(f"--- guard of {name}\n{made.log(host)}")
            raise
