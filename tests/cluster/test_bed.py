"""The bed itself: cuts cut what they say and nothing else, crashes lose what they should, twice is seen.

What is proved on it is worth no more than what is proved here.
"""

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.cluster.bed import Bed, answering, bedding, needs_cluster
from tests.cluster.host import HOME, Host
from tests.cluster.machine import ROOT

pytestmark = needs_cluster
SERVICE = "10.77.0.50"
ADDRESS = f"address {SERVICE}"
MOUNT = f"mount {HOME}/data"
A_LOOK = 0.010
"""Seconds between two looks of the sampler, at most."""


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """Three hosts that run no agent, and a store; each test leaves them as they were."""
    with bedding(hosts=3, members=3, programs=["web", "other"]) as made:
        made.store.start()
        yield made


@pytest.fixture
def host(bed: Bed) -> Host:
    return bed.hosts["n1"]


# --- cuts -------------------------------------------------------------------------------------

NAMES = ("n1", "n2", "n3", "e1", "client")
ALL = set(itertools.permutations(NAMES, 2))


def heard(bed: Bed) -> set[tuple[str, str]]:
    """Which of all those named gets a datagram through to which other one, neither asked nor answered."""
    doors: dict[str, socket.socket] = {}
    with contextlib.ExitStack() as stack:
        for name in NAMES:
            with bed.net.machines[name].inside():
                doors[name] = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            doors[name].bind(("", 0))
        for speaker, listener in ALL:
            port = doors[listener].getsockname()[1]
            doors[speaker].sendto(speaker.encode(), (bed.net.addresses[listener], port))
        time.sleep(0.05)
        found = set()
        for listener, door in doors.items():
            with contextlib.suppress(BlockingIOError):
                while said := door.recv(64, socket.MSG_DONTWAIT):
                    found.add((said.decode(), listener))
        return found


def between(ones: Iterable[str], others: Iterable[str]) -> set[tuple[str, str]]:
    return set(itertools.product(ones, others)) | set(itertools.product(others, ones))


@pytest.mark.parametrize(
    ("cut", "lost"),
    [
        pytest.param(lambda net, bed: net.isolate("n1"), between(["n1"], NAMES[1:]), id="from everybody"),
        pytest.param(
            lambda net, bed: net.deafen("n1"),
            set(itertools.product(NAMES[1:], ["n1"])),
            id="it hears nobody",
        ),
        pytest.param(
            lambda net, bed: net.mute("n1"), set(itertools.product(["n1"], NAMES[1:])), id="nobody hears it"
        ),
        pytest.param(
            lambda net, bed: net.cut_one_way("n1", "n2"), {("n1", "n2")}, id="one direction between two"
        ),
        pytest.param(
            lambda net, bed: net.cut("n1", ["n2", "n3"]),
            between(["n1"], ["n2", "n3"]),
            id="a host from the other hosts",
        ),
        pytest.param(
            lambda net, bed: net.cut("n1", bed.store.members), between(["n1"], ["e1"]), id="from the store"
        ),
    ],
)
def test_a_cut_cuts_what_it_says_and_nothing_else(bed, cut, lost):
    bed.until(lambda: heard(bed) == ALL)
    cut(bed.net, bed)
    try:
        assert heard(bed) == ALL - lost
    finally:
        bed.net.heal()
    assert heard(bed) == ALL


def test_a_cut_is_silent(bed, host):
    """A connection that stands is neither refused nor reset, and goes on after it."""
    with bed.hosts["n2"].machine.inside(), socket.create_server(("", 0)) as door:
        where = (bed.hosts["n2"].address, door.getsockname()[1])
        with host.machine.inside(), socket.create_connection(where, timeout=2) as one:
            other, _ = door.accept()
            with other:
                other.settimeout(0.1)
                bed.net.isolate("n1")
                one.send(b"hello")
                with pytest.raises(TimeoutError):
                    other.recv(64)
                assert "LOWER_UP" in host.run("ip link show eth0")
                bed.net.heal()
                other.settimeout(2)
                assert other.recv(64) == b"hello"


# --- the store --------------------------------------------------------------------------------


def put(bed: Bed, member: str) -> int:
    said = bed.store.ask(member, "/v3/kv/put", {"key": "YQ==", "value": "YQ=="})
    return int(said["header"]["revision"])


def test_a_store_goes_on_without_its_leader_and_starts_again(bed):
    first = bed.store.leader()
    before = put(bed, first)
    bed.store.kill(first)
    second = bed.store.leader()
    assert second != first
    bed.until(lambda: bed.store.healthy(second))
    assert put(bed, second) == before + 1
    bed.store.restart(first)
    bed.store.kill()
    assert not any(bed.store.healthy(member) for member in bed.store.members)
    bed.store.start()
    assert bed.store.revision() == before + 1


def test_a_store_restored_from_an_old_copy_has_lost_what_came_after(bed):
    old = put(bed, "e1")
    copy = bed.store.save()
    put(bed, "e2")
    newest = put(bed, "e3")
    bed.store.restore(copy)
    assert (newest, bed.store.revision()) == (old + 2, old)


# --- crashes ----------------------------------------------------------------------------------


def test_a_crash_loses_what_is_not_on_a_disk(bed, host):
    device = host.attach(bed.new_disk("crashing"))
    host.run(f"mkdir {HOME}/data; mount {device} {HOME}/data")
    host.run(f"echo kept > {HOME}/data/synced; sync {HOME}/data/synced; echo lost > {HOME}/data/unsynced")
    host.run(f"touch {HOME}/run/mark {HOME}/state/mark; ip addr add {SERVICE}/24 dev eth0")
    host.machine.start(answering("web", 80).split(), host.kept / "web.log")
    bed.until(lambda: bed.client.get(SERVICE).get("host") == "n1")
    before = host.boot_id, host.run("cat /proc/sys/kernel/random/boot_id"), host.run("cat /proc/uptime")
    began = time.monotonic()
    host.crash()
    took = time.monotonic() - began
    assert not host.up
    assert bed.client.get(SERVICE) == {}
    bed.boot(host)
    after = host.boot_id, host.run("cat /proc/sys/kernel/random/boot_id"), host.run("cat /proc/uptime")
    assert before[0] == before[1] != after[0] == after[1]
    assert abs(float(after[2].split()[0]) - float(before[2].split()[0])) > 1000, "each boot has its clock"
    assert (host.mounts(), host.addresses()) == ([], ["10.77.0.1/24"])
    assert "answer.py" not in str(host.machine.processes())
    assert host.run(f"ls {HOME}/run {HOME}/state") == f"{HOME}/run:\n\n{HOME}/state:\nmark"
    host.run(f"mount {device} {HOME}/data")
    assert host.run(f"cat {HOME}/data/synced") == "kept"
    assert host.run(f"cat {HOME}/data/unsynced 2>/dev/null || true") == ""
    host.run(f"umount {HOME}/data")
    gone = [bed.sampler.history().of(thing)[-1].until for thing in (ADDRESS, MOUNT, "program web")]
    assert max(gone[0], gone[2]) <= began + took, "nothing of it was there when the crash was over"


def test_a_paused_host_stands_still(bed, host):
    counting = "import time\nwhile True: print(time.monotonic(), flush=True); time.sleep(0.01)"
    host.machine.start([sys.executable, "-c", counting], host.kept / "ticks")
    ticks = host.kept / "ticks"
    bed.until(lambda: ticks.stat().st_size > 0)
    host.pause()
    size = ticks.stat().st_size
    time.sleep(0.1)
    assert ticks.stat().st_size == size
    host.go_on()
    bed.until(lambda: ticks.stat().st_size > size)
    bed.crash_and_boot(host)


def test_who_looked_at_a_disk_before_sees_what_another_host_wrote(bed):
    """Or a check of the filesystem takes the superblock of long ago for that of now."""
    one, two = bed.hosts["n2"], bed.hosts["n3"]
    device = one.attach(bed.new_disk("seen"))
    two.attach(one.disks[-1])
    look = f"dd if={device} bs=4k count=1 status=none | sha256sum"
    before = two.run(look)
    one.run(f"mkdir -p {HOME}/looked; mount {device} {HOME}/looked; touch {HOME}/looked/a; sync")
    assert two.run(look) != before
    bed.crash_and_boot(one)
    assert "recovering journal" in two.run(f"e2fsck -p {device} || test $? -eq 1")


# --- the sampler ------------------------------------------------------------------------------


def test_the_sampler_sees_an_address_on_two_hosts_and_for_how_long(bed):
    moved, one, other = "10.77.0.51", bed.hosts["n2"], bed.hosts["n3"]
    one.run(f"ip addr add {moved}/24 dev eth0")
    bed.sampler.until(lambda history: history.of(f"address {moved}", "n2"))
    began = time.monotonic()
    other.machine.network(f"addr add {moved}/24 dev eth0\n")
    there = time.monotonic()
    time.sleep(0.1)
    going = time.monotonic()
    one.machine.network(f"addr del {moved}/24 dev eth0\n")
    gone = time.monotonic()
    time.sleep(2 * A_LOOK)
    history = bed.sampler.history()
    (found,) = history.overlaps(f"address {moved}")
    assert set(found.hosts) == {"n2", "n3"}
    assert going - there - 2 * A_LOOK <= found.seconds <= gone - began
    with pytest.raises(AssertionError, match=r"address 10.77.0.51 was on n2 and n3 at once: at .*\n.* n2 "):
        history.assert_never_twice(f"address {moved}")
    other.run(f"ip addr del {moved}/24 dev eth0")


def test_what_moves_in_order_is_never_twice(bed):
    disk = bed.disk("handed")
    things = ("address 10.77.0.52", f"mount {HOME}/handed", "program other")
    for name, host in bed.hosts.items():
        host.run(f"mkdir -p {HOME}/handed; mount {HOME}/dev/{disk.name} {HOME}/handed")
        host.run(f"ip addr add 10.77.0.52/24 dev eth0; echo {name} >> {HOME}/handed/who")
        bed.client.forget()
        program = host.machine.start(
            answering("other", 81, f"{HOME}/handed/count").split(), host.kept / "log"
        )
        bed.until(lambda name=name: bed.client.get("10.77.0.52:81").get("host") == name)
        bed.sampler.until(lambda seen, name=name: all(seen.of(thing, name) for thing in things))
        os.kill(program, signal.SIGTERM)
        bed.until(lambda host=host, program=program: program not in host.machine.processes())
        assert host.run(f"cat {HOME}/handed/who").split()[-1] == name
        host.run(f"ip addr del 10.77.0.52/24 dev eth0; umount {HOME}/handed")
    history = bed.sampler.history()
    history.assert_never_twice(*things)
    for thing in things:
        assert [interval.host for interval in history.of(thing)] == ["n1", "n2", "n3"]
    assert (bed.net.root / "hosts").is_dir()


def test_a_filesystem_that_two_hosts_mount_at_once_is_seen(bed):
    """The kernel lets them: each has a loop device and a superblock of its own."""
    disk = bed.disk("torn")
    for name in ("n2", "n3"):
        bed.hosts[name].run(f"mkdir -p {HOME}/torn; mount {HOME}/dev/{disk.name} {HOME}/torn")
    bed.hosts["n2"].run(f"echo hello > {HOME}/torn/mine")
    assert bed.hosts["n3"].run(f"ls {HOME}/torn") == "lost+found", (
        "it sees nothing of what the other writes"
    )
    for name in ("n2", "n3"):
        bed.hosts[name].run(f"umount {HOME}/torn")
    with pytest.raises(AssertionError, match=r"mount .*/torn was on n2 and n3 at once"):
        bed.sampler.history().assert_never_twice(f"mount {HOME}/torn")


def test_what_was_never_there_proves_nothing(bed):
    with pytest.raises(AssertionError, match="never seen on any host"):
        bed.sampler.history().assert_never_twice("address 10.77.0.99")


# --- the end ----------------------------------------------------------------------------------

DOOMED = """
import json, sys, time
from tests.cluster.bed import bedding
from tests.cluster.host import HOME
with bedding(hosts=2, members=1) as bed:
    bed.store.start()
    disk = bed.disk()
    for host in bed.hosts.values():
        host.run(f"mkdir {HOME}/data; mount {HOME}/dev/shared {HOME}/data")
    bed.hosts["n1"].pause()
    machines = [machine.pid for machine in bed.net.machines.values()] + [bed.net.wire.pid]
    loops = [device.number for host in bed.hosts.values() for device in host.devices]
    print(json.dumps({"pids": machines, "group": bed.net.group, "loops": loops}), flush=True)
    time.sleep(600)
"""


def test_nothing_is_left_when_the_test_is_killed():
    test = subprocess.Popen([sys.executable, "-c", DOOMED], stdout=subprocess.PIPE, cwd=ROOT, text=True)
    assert test.stdout
    with test.stdout:
        made = json.loads(test.stdout.readline())
        assert len(made["pids"]) == 5
        assert all(_runs(pid) for pid in made["pids"])
        test.kill()
        test.wait()

    def left() -> list[str]:
        loops = [Path(f"/sys/block/loop{n}/loop/backing_file") for n in made["loops"]]
        there = [p for p in [*loops, *([Path(made["group"])] if made["group"] else [])] if p.exists()]
        return [*map(str, there), *(str(pid) for pid in made["pids"] if _runs(pid))]

    end = time.monotonic() + 5
    while left():
        assert time.monotonic() < end, left()
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "machine_main.py" in Path(f"/proc/{pid}/cmdline").read_text()
    return False


# --- agents -----------------------------------------------------------------------------------


def test_three_agents_answer_and_each_part_of_a_host_can_be_killed(bed):
    hosts = list(bed.hosts.values())
    for host in hosts:
        host.start()
    for host in hosts:
        bed.until(host.answers, what=f"{host.name} does not answer")
        assert host.cli("status").startswith("no services")
    one, two, three = hosts
    guard = one.guard
    one.kill_agent()
    bed.until(lambda: not one.answers())
    assert one.guard == guard
    one.start()
    bed.until(one.answers)
    assert one.guard == guard, "the agent goes on with the guard that is there"

    assert two.kill_guard() != two.guard
    two.stop_agent()
    with pytest.raises(subprocess.TimeoutExpired):
        two.machine.run(two.command("status"), within=0.5)
    two.continue_agent()
    bed.until(lambda: two.cli("status").startswith("no services"))

    three.end_agent()
    bed.until(lambda: three.agent not in three.machine.processes())
    bed.crash_and_boot(three)
    assert three.guard == 0
    three.start()
    bed.until(three.answers)
    bed.sampler.history().assert_quick()
