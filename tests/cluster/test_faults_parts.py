"""What hosts stand on dies, or is another one: agent, guard, store, its leader, the wall clock."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.bed import bedding, needs_cluster
from tests.cluster.host import Host
from tests.cluster.leaders import scene
from tests.cluster.members import FAST, Cluster
from tests.cluster.wall import LIBRARY, Wall

pytestmark = needs_cluster


def test_agent_killed(two):
    program = two.held_since("n1")
    two.hosts["n1"].kill_agent()
    time.sleep(FAST.deadline + 1)  # the next one has renewed, or the guard has ended it all
    assert two.held_since("n1") == program
    assert two.answering() == "n1"
    assert "is over" not in two.log(two.hosts["n1"])
    two.never_twice()


def test_guard_killed(two):
    program = two.held_since("n1")
    before = two.hosts["n1"].kill_guard()
    two.bed.until(lambda: two.hosts["n1"].guard not in (0, before))
    time.sleep(FAST.deadline + 1)
    assert two.held_since("n1") == program
    assert two.answering() == "n1"
    two.hosts["n1"].cli("switch", "web", "--to", "n2")  # it knows what it has to see gone
    two.up_on("n2")
    two.never_twice()


def test_store_away(two):
    n1, n2 = two.hosts.values()
    n1.cli("switch", "web", "--to", "n2")
    two.up_on("n2")
    program = two.held_since("n2")
    two.bed.store.kill(*two.bed.store.members)  # for less than D
    time.sleep(1)
    two.bed.store.start()
    time.sleep(FAST.deadline)
    assert two.held_since("n2") == program
    two.bed.store.kill(*two.bed.store.members)
    two.bed.until(lambda: two.answering() == "", FAST.ended + 1, "who cannot renew goes on")
    two.bed.until(lambda: "seen gone" in two.log(n2), FAST.watchdog, "not seen gone")
    two.bed.store.start()
    two.up_on("n1", "n2", within=15)
    assert two.answering() == "n2"  # where it was, though n1 comes first
    two.never_twice()


def kept(host: Host) -> int:
    """The highest revision that it will remember."""
    mark = json.loads((host.kept / "state" / "store.json").read_text())
    return int(mark["identity"]["revision"])


def test_store_restored_from_a_backup(two):
    old = two.bed.store.save()
    program = two.held_since("n1")
    for _ in range(3):
        two.hosts["n1"].cli("freeze", "web")
        two.hosts["n1"].cli("thaw", "web")
    newest = two.bed.store.revision()
    for host in two.hosts.values():  # kept every 10 s
        two.bed.until(lambda host=host: kept(host) >= newest, what=f"{host.name} does not keep what it saw")
    two.bed.store.restore(old)
    two.bed.until(lambda: two.answering() == "", within=FAST.wait + 3, what="nobody stopped")
    time.sleep(2)
    assert two.answering() == ""
    assert program
    for host in two.hosts.values():
        two.bed.until(lambda host=host: "accept-store" in host.log(), what=f"{host.name} does not say so")
    two.never_twice()


def test_leader_of_the_store_killed():
    with scene("fast", victims=1) as made:
        made.kill_alone(3)
        made.kill_with_holders()
        print(made.said())


@pytest.fixture
def stepped() -> Iterator[tuple[Cluster, Wall]]:
    with bedding(hosts=2, members=1, programs=["web"]) as bed, contextlib.closing(Cluster(bed)) as made:
        wall = Wall(bed.hosts["n1"])
        made.begin()
        assert "libfaketime" in Path(f"/proc/{bed.hosts['n1'].agent}/maps").read_text()
        yield made, wall


@pytest.mark.skipif(LIBRARY is None, reason="needs libfaketime: apt install faketime")
def test_wall_clock_stepped(stepped):
    two, wall = stepped
    n1, n2 = two.hosts["n1"], two.hosts["n2"]
    program = two.held_since("n1")
    for hours in (1, -1):
        wall.step(hours * 3600)
        ahead, boot, monotonic = wall.clocks()
        assert abs(ahead - hours * 3600) < 5
        assert abs(boot) < 5
        assert abs(monotonic) < 5
        # After the second step for longer than T, which is enough for the first one, too.
        time.sleep(FAST.deadline + 1 if hours > 0 else FAST.wait + 1)
        assert two.held_since("n1") == program
        assert two.sessions() == 2
        for host in (n1, n2):
            assert "is over" not in two.log(host)
        # By the other's clock one of these wishes is older than it may be.
        for asked, to in ((n1, "n2"), (n2, "n1")):
            asked.cli("switch", "web", "--to", to)
            two.up_on(to)
        program = two.held_since("n1")
    two.never_twice()
