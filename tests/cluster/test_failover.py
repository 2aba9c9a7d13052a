"""Real agents, a real etcd, hosts that are cut off, crash, hang: one service, never on two of them."""

import contextlib
import time

import pytest

from tests.cluster.bed import needs_cluster
from tests.cluster.host import HOME
from tests.cluster.members import FAST, TAKEN

pytestmark = needs_cluster


def test_moved_and_back_while_it_is_asked(two):
    assert two.hosts["n2"].cli("plan", "web") == "root/web: nothing to do\n  n1 holds it\n"
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
