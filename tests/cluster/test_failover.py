"""Real agents, a real etcd, hosts that are cut off, crash, hang: one service, never on two of them.

The service is an address, a filesystem on a disk that every host has, and a program that answers on the
address. What was where is sampled every 5 ms on every host; times are those of the fast profile.
"""

import contextlib
import json
import time
from collections.abc import Iterator, Sequence

import pytest

from reconciler.decide.timing import PROFILES
from tests.cluster.bed import Bed, answering, bedding, needs_cluster
from tests.cluster.host import HOME, Host
from tests.cluster.unit import Unit

pytestmark = needs_cluster
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
        self.bed.store.start()
        self.bed.disk()
        for name in names or self.hosts:
            self.units[name].start()
        for name in names or self.hosts:
            self.bed.until(self.hosts[name].answers, what=f"{name} does not answer")
        self.bed.until(lambda: self.sessions() >= len(names or self.hosts), what="not all have a session")
        first = (names or tuple(self.hosts))[0]
        self.hosts[first].write("web.yaml", document(names or tuple(self.hosts)))
        self.up_on(first)

    def sessions(self) -> int:
        """How many nodes are alive, as the first that answers sees it."""
        for host in self.hosts.values():
            if host.up and host.answers():
                cluster = host.json("mon")["node"]["cluster"]
                return sum(one["alive"] for one in cluster["nodes"].values())
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


@pytest.fixture
def two() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


def test_moved_and_back_while_it_is_asked(two):
    for name in ("n2", "n1"):
        began = time.monotonic()
        two.hosts["n1"].cli("switch", "web", "--to", name)
        two.up_on(name, within=2)
        assert time.monotonic() - began < 3
    two.never_twice()


def test_an_agent_that_is_killed_disturbs_nothing(two):
    program = two.held_since("n1")
    two.hosts["n1"].kill_agent()
    time.sleep(FAST.wait)
    assert two.held_since("n1") == program
    assert two.answering() == "n1"
    assert "is over" not in two.log(two.hosts["n1"])
    two.never_twice()


def test_a_guard_that_is_killed_is_there_again(two):
    program = two.held_since("n1")
    before = two.hosts["n1"].kill_guard()
    two.bed.until(lambda: two.hosts["n1"].guard not in (0, before))
    time.sleep(FAST.deadline + 1)
    assert two.held_since("n1") == program
    assert two.answering() == "n1"
    two.hosts["n1"].cli("switch", "web", "--to", "n2")  # it knows what it has to see gone
    two.up_on("n2")
    two.never_twice()


def test_the_holder_crashes(two):
    began = time.monotonic()
    two.units["n1"].stay_down()
    two.hosts["n1"].crash()
    two.up_on("n2")
    took = time.monotonic() - began
    assert took < TAKEN + 0.5, f"{took:.1f} s"
    two.bed.boot(two.hosts["n1"])
    two.units["n1"].start()
    two.bed.until(lambda: two.sessions() == 2, within=15, what="n1 does not come back")
    time.sleep(1)
    assert two.answering() == "n2", "who comes back steals nothing"
    two.never_twice()


def test_the_holder_is_cut_off(two):
    two.bed.net.isolate("n1")
    two.up_on("n2")
    assert "the deadline passed" in two.log(two.hosts["n1"])
    two.never_twice()
    two.bed.net.heal()
    two.bed.until(lambda: two.sessions() == 2, within=15, what="n1 does not come back")
    assert two.answering() == "n2"
    two.never_twice()


@pytest.mark.parametrize("cut", ["deafen", "mute"])
def test_the_holder_is_cut_off_one_way(two, cut):
    getattr(two.bed.net, cut)("n1")
    two.up_on("n2")
    two.never_twice()


def test_the_agent_stands_still_for_longer_than_t_and_goes_on(two):
    host = two.hosts["n1"]
    two.units["n1"].stay_down()
    host.stop_agent()
    two.up_on("n2")
    with contextlib.suppress(ProcessLookupError):  # the guard has ended it
        host.continue_agent()
    two.units["n1"].start()
    two.bed.until(lambda: two.sessions() == 2, within=15)
    time.sleep(1)
    assert two.answering() == "n2"
    two.never_twice()


def test_the_store_is_lost_for_all_and_comes_back(two):
    two.bed.store.kill(*two.bed.store.members)
    time.sleep(FAST.wait + 2)
    assert two.answering() == "", "who cannot renew has stopped"
    two.bed.store.start()
    two.up_on("n1", "n2", within=15)
    two.never_twice()


def test_both_are_restarted_at_once(two):
    for name, host in two.hosts.items():
        two.units[name].stay_down()
        host.crash()
    for name, host in two.hosts.items():
        two.bed.boot(host)
        two.units[name].start()
    two.up_on("n1", "n2", within=TAKEN + 5)
    two.never_twice()


def test_a_start_that_fails_is_tried_on_the_other_node(two):
    host = two.hosts["n1"]
    host.cli("stop", "web")
    host.run(f"mv {HOME}/dev/shared {HOME}/dev/hidden")
    host.run(f"mknod {HOME}/dev/shared b 7 250")  # a device that nothing is behind
    host.cli("start", "web", "--no-wait")
    two.up_on("n2", within=30)
    assert "a start failed there" in two.hosts["n2"].cli("why", "web")
    two.never_twice()


SLOW = f"""#!/bin/sh
echo begun >> {HOME}/slow.log
sleep 30
echo ended >> {HOME}/slow.log
"""


def test_a_start_script_in_flight_ends_with_the_session(two):
    """What it was about to start must not come after everything was seen gone."""
    host = two.hosts["n1"]
    host.kept.joinpath("slow").write_text(SLOW)
    host.kept.joinpath("slow").chmod(0o755)
    app = {"type": "forking", "start": f"{HOME}/slow", "stop": "true", "timeout": 60}
    text = json.loads(document(tuple(two.hosts), orchestrate="ha"))
    text["spec"]["resources"]["app#slow"] = app
    host.write("web.yaml", json.dumps(text))
    two.bed.until(host.kept.joinpath("slow.log").exists, what="its start script is not begun")
    two.units["n1"].stay_down()
    two.bed.net.isolate("n1")
    two.bed.until(lambda: "all that it had listed is seen gone" in two.log(host), within=FAST.wait)
    assert "sleep" not in " ".join(host.machine.processes().values())
    two.never_twice()
    assert host.kept.joinpath("slow.log").read_text() == "begun\n"


def test_a_stop_that_hangs_keeps_the_claim_and_says_so(two):
    host = two.hosts["n1"]
    hanging = f"{HOME}/hang"
    host.kept.joinpath("hang").write_text("#!/bin/sh\nsleep 1000\n")
    host.kept.joinpath("hang").chmod(0o755)
    app = {"type": "forking", "start": "true", "stop": hanging, "check": "true", "stop_timeout": "2s"}
    text = json.loads(document(tuple(two.hosts)))
    text["spec"]["resources"]["app#hangs"] = app
    host.write("web.yaml", json.dumps(text))
    two.bed.until(lambda: "app#hangs" in host.cli("status", "web"))
    host.cli("switch", "web", "--to", "n2", "--no-wait")
    two.bed.until(lambda: "stuck" in host.cli("why", "web"), within=15)
    assert two.answering() != "n2"
    assert host.json("mon", "web")["items"][0]["status"]["claims"][0]["node"] == "n1"
    two.never_twice()


def test_a_store_that_went_back_in_time_is_believed_by_nobody(two):
    old = two.bed.store.save()
    program = two.held_since("n1")
    for _ in range(3):
        two.hosts["n1"].cli("freeze", "web")
        two.hosts["n1"].cli("thaw", "web")
    time.sleep(11)  # the revision that was seen is kept every 10 s
    two.bed.store.kill(*two.bed.store.members)
    two.bed.store.restore(old)
    two.bed.store.start()
    two.bed.until(lambda: two.answering() == "", within=FAST.wait + 3, what="nobody stopped")
    time.sleep(2)
    assert two.answering() == ""
    assert program
    assert "accept-store" in two.hosts["n2"].cli("events") + two.hosts["n2"].log()
    two.never_twice()


def test_who_observes_waits_as_long_as_the_holder_says():
    """The holder is conservative, the observer fast: T stands in the session."""
    conservative = PROFILES["conservative"]
    with bedding(hosts=2, members=1, programs=["web"]) as bed, contextlib.closing(Cluster(bed)) as made:
        spec = json.loads((bed.hosts["n1"].kept / "node.yaml").read_text())["spec"]
        bed.hosts["n1"].configure({**spec, "failover_time": "conservative"})
        made.begin()
        made.units["n1"].stay_down()
        bed.net.isolate("n1")
        time.sleep(FAST.failover + 5)
        assert made.answering() == ""  # it is up on a host that nobody reaches
        assert bed.hosts["n2"].json("mon", "web")["items"][0]["status"]["claims"][0]["node"] == "n1"
        assert conservative.wait > FAST.failover + 5
        made.never_twice()


def test_a_device_edited_while_it_is_mounted_goes_down_before_the_other_is_claimed(two):
    two.bed.disk("second")
    host = two.hosts["n1"]
    host.write("web.yaml", document(tuple(two.hosts)).replace("/dev/shared", "/dev/second"))
    time.sleep(2)
    assert two.answering() == "n1"
    assert "waits for stop" in host.cli("why", "web") + host.cli("status", "web")
    host.cli("stop", "web")
    host.cli("start", "web")
    two.up_on("n1", "n2")
    mounted = next(h for h in two.hosts.values() if h.name == two.answering())
    assert "/dev/second" in mounted.run("findmnt -n -o SOURCE " + DATA) or mounted.mounts()
    two.never_twice()


def test_the_holder_of_a_hundred_services_dies():
    with bedding(hosts=2, members=1, programs=["web"]) as bed, contextlib.closing(Cluster(bed)) as made:
        made.begin()
        one = {"nodes": ["n1", "n2"], "resources": {"fs#0": {"type": "flag"}}}
        for number in range(100):
            name = f"s{number}"
            whole = {
                "apiVersion": "standfast/v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": one,
            }
            bed.hosts["n1"].write(f"{name}.yaml", json.dumps(whole))

        def held(name: str) -> int:
            items = bed.hosts["n2"].json("mon")["items"]
            return sum(c["node"] == name for one in items for c in one["status"]["claims"])

        bed.until(lambda: held("n1") == 101, within=30)
        made.units["n1"].stay_down()
        began = time.monotonic()
        bed.hosts["n1"].crash()
        bed.until(lambda: held("n2") == 101, within=30)
        took = time.monotonic() - began
        assert took < FAST.wait + 1 + 0.5, f"{took:.2f} s"  # to ask takes a moment, too
