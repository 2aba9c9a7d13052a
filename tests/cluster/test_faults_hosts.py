"""Hosts that crash, are cut off, stand still: their service is taken over, and is never on two of them."""

import contextlib
import time

import pytest

from tests.cluster.bed import needs_cluster
from tests.cluster.members import FAST, TAKEN, document

pytestmark = needs_cluster


def test_node_crashed(two):
    began = time.monotonic()
    two.units["n1"].stay_down()
    two.hosts["n1"].crash()
    n2 = two.hosts["n2"]
    two.bed.until(lambda: "not heard of for" in n2.cli("why", "web"), what="n2 does not say that it waits")
    two.up_on("n2")
    took = time.monotonic() - began
    assert took < TAKEN + 0.5, f"{took:.1f} s"
    two.bed.boot(two.hosts["n1"])
    two.units["n1"].start()
    two.bed.until(lambda: two.sessions() == 2, within=15, what="n1 does not come back")
    time.sleep(1)
    assert two.answering() == "n2", "who comes back steals nothing"
    two.never_twice()


def test_all_nodes_crashed(two):
    for name, host in two.hosts.items():
        two.units[name].stay_down()
        host.crash()
    for name, host in two.hosts.items():
        two.bed.boot(host)
        two.units[name].start()
    two.up_on("n1", "n2", within=TAKEN + 5)
    two.never_twice()


def test_node_cut_off(two):
    two.bed.net.isolate("n1")
    two.up_on("n2")
    assert "the deadline passed" in two.log(two.hosts["n1"])
    two.never_twice()
    two.bed.net.heal()
    two.bed.until(lambda: two.sessions() == 2, within=15, what="n1 does not come back")
    assert two.answering() == "n2"
    two.never_twice()


@pytest.mark.parametrize("cut", ["deafen", "mute"])
def test_node_cut_off_one_way(two, cut):
    getattr(two.bed.net, cut)("n1")
    two.up_on("n2")
    two.never_twice()


def test_agent_hanging(two):
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


def test_node_dead_but_not_surely_stopped(two):
    """What requires a watchdog is not taken over from one without, until a person says that it is off."""
    n1, n2 = two.hosts["n1"], two.hosts["n2"]
    two.edited("n1", document(tuple(two.hosts), requires_safety="lease+watchdog"))
    two.units["n1"].stay_down()
    n1.crash()
    two.bed.until(lambda: two.sessions() == 1, FAST.failover + 2, "n1 is not found dead")
    two.bed.until(lambda: "the service requires lease+watchdog" in n2.cli("why", "web"), what="why")
    assert two.answering() == ""
    n2.cli("takeover", "web", "--confirmed-off", "n1", "--yes")
    two.up_on("n2")
    two.never_twice()


def test_node_in_maintenance(two):
    """Its agent may be away for as long as it takes: nobody takes over, and nothing stops."""
    n1, n2 = two.hosts["n1"], two.hosts["n2"]
    program = two.held_since("n1")
    n1.cli("node", "maintenance")
    two.bed.until(lambda: "maintenance" in n2.cli("mon"), what="n2 does not hear of it")
    two.units["n1"].stay_down()
    n1.kill_agent()
    time.sleep(FAST.failover + 1)
    assert "in maintenance: nobody takes it over" in n2.cli("why", "web")
    assert two.held_since("n1") == program
    assert two.answering() == "n1"
    two.units["n1"].start()
    two.bed.until(n1.answers)
    n1.cli("node", "maintenance", "--off")
    two.bed.until(lambda: "maintenance" not in n2.cli("mon"), what="it does not end")
    assert two.held_since("n1") == program
    two.never_twice()
