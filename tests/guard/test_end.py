"""The end of a session on the real kernel: who is killed first, what is gone when, what is the last pet."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from reconciler.adapters import guard, proc
from reconciler.guard.kernel import boottime
from reconciler.guard.lines import Address, Command, Loop, Mount, Program
from reconciler.model import Owner
from tests import kernel
from tests.guard.bed import Bed, M, W, Watch, alive, attached, bedding, held, mounted, populated

pytestmark = kernel.needs_root
OWNER = Owner("root/web", "app#0")
IP = Address("root/web:ip#0", "10.99.0.10/24", "d0")
SOON = 0.5
"""Seconds to a deadline."""
A_MOMENT = 0.005
"""Seconds from the guard's look at the clock to the record of its pet."""


@pytest.fixture
def bed() -> Iterator[Bed]:
    with bedding() as made:
        yield made


def address(words: str = "10.99.0.10/24") -> None:
    kernel.run(f"ip addr add {words} dev d0")


def test_past_the_deadline_everything_is_gone_within_w_less_m(bed):
    """Agent, program, address, ext4 and its loop device, in their order; then the watchdog is closed."""
    image, device, target = bed.filesystem()
    group = bed.program(
        OWNER, f"exec sh -c 'trap : TERM; exec 9>{target}/open; while :; do sleep 600; done'"
    )
    address()
    bed.guard()
    agent, deadline = bed.session(
        SOON,
        Loop("root/web:disk#0", str(image)),
        guard.bound(Mount("root/web:fs#0", str(target), device, "ext4")),
        Program(str(OWNER), str(group), grace=0.1),
        IP,
    )
    with Watch(
        agent=lambda: agent.alive,
        address=lambda: held("10.99.0.10"),
        program=lambda: populated(group),
        mount=lambda: mounted(target),
        loop=lambda: attached(image),
    ) as watch:
        dead = bed.until(lambda: not agent.alive)
        end = bed.until(lambda: bool(bed.told("disarm")))
    assert watch.order == ["agent", "address", "program", "mount", "loop"]
    assert dead >= deadline
    assert watch["loop"] <= end <= deadline + W - M
    assert max(bed.pets) < deadline + A_MOMENT
    assert deadline - max(bed.pets) < M / 2
    assert bed.state()["lines"] == []


def test_an_operation_in_flight_is_killed_before_anything_that_is_listed(bed):
    """In its control group; the agent's own child; one whose agent died, which only its note names."""
    group = bed.program(OWNER)
    address()
    bed.guard()
    agent, _ = bed.session(SOON, IP, Program(str(OWNER), str(group)))
    slow = bed.operations / "1-1"
    bed.run_in(slow, "trap '' TERM; while :; do sleep 0.01 & wait; done")
    child = agent.start("sleep", "600")
    orphan = subprocess.Popen(["sleep", "600"], start_new_session=True)
    seen = proc.read(orphan.pid)
    assert seen is not None
    notes = bed.settings.run / "operations"
    notes.mkdir()
    (notes / str(orphan.pid)).write_text(f"{seen.start_time} 60 boot - root/web app#0\n")
    with Watch(
        slow=lambda: populated(slow),
        child=lambda: alive(child),
        orphan=lambda: alive(orphan.pid),
        agent=lambda: agent.alive,
        program=lambda: populated(group),
        address=lambda: held("10.99.0.10"),
    ) as watch:
        bed.until(lambda: bool(bed.told("disarm")))
    orphan.wait()
    assert watch.order[-2:] == ["program", "address"]


def test_a_program_outside_the_agents_group_is_no_operation_in_flight(bed):
    """Something that the agent started and nobody listed, in a group of its own, lives on."""
    bed.guard()
    agent, _ = bed.session(SOON)
    other = bed.groups.root / "root.other" / "app#0"
    other.mkdir(parents=True)
    ready = bed.root / "ready"
    script = bed.root / "script"
    script.write_text(
        f"sleep 601 & echo $! >>{ready}\nsh -c 'echo 0 >{other}/cgroup.procs; exec sleep 602' &\n"
        f"echo $! >>{ready}\nwait\n"
    )
    pids = [agent.start("sleep", "600"), agent.start("sh", str(script))]
    (other / "cgroup.procs").write_text(str(pids[0]))
    bed.until(lambda: len((other / "cgroup.procs").read_text().split()) == 2)
    inner, outer = map(int, ready.read_text().split())
    bed.until(lambda: bool(bed.told("disarm")))
    assert [alive(pid) for pid in (*pids, inner, outer)] == [True, False, False, True]
    assert not agent.alive


def test_an_agent_that_stood_still_too_long_does_not_wake_up(bed):
    address()
    bed.guard()
    agent, _ = bed.session(SOON, IP)
    os.kill(agent.pid, signal.SIGSTOP)
    bed.until(lambda: bool(bed.told("disarm")))
    os.kill(agent.pid, signal.SIGCONT)  # to its remains: nobody has waited for it yet
    assert agent.process.wait() == -signal.SIGKILL
    assert not held("10.99.0.10")


def test_what_holds_a_mount_is_killed_even_if_it_stands_still(bed):
    _, device, target = bed.filesystem()
    holder = subprocess.Popen(["sleep", "600"], cwd=target)
    holder.send_signal(signal.SIGSTOP)
    bed.guard()
    _, deadline = bed.session(SOON, guard.bound(Mount("root/web:fs#0", str(target), device, "ext4")))
    end = bed.until(lambda: bool(bed.told("disarm")))
    assert holder.wait() == -signal.SIGKILL
    assert end < deadline + W - M
    assert not mounted(target)


@pytest.mark.parametrize("allowed", [False, True], ids=["no sysrq", "sysrq"])
def test_what_stays_busy_is_the_end_of_the_petting(bed, allowed):
    """A loop device on the mount that nobody listed holds it, and no process does."""
    _, device, target = bed.filesystem()
    (target / "inner").write_bytes(bytes(1 << 20))
    bed.loop(target / "inner")
    address()
    bed.guard(sysrq=str(bed.sysrq) if allowed else "")
    _, deadline = bed.session(SOON, IP, guard.bound(Mount("root/other:fs#0", str(target), device, "ext4")))
    bed.until(lambda: bed.state()["doomed"])
    assert deadline + W - M <= boottime() < deadline + W
    assert not held("10.99.0.10")  # the others are stopped all the same
    bed.until(lambda: boottime() > deadline + W + 0.5)
    assert max(bed.pets) < deadline + A_MOMENT
    assert bed.told("disarm") == []
    assert bed.sysrq.exists() is allowed
    assert not allowed or bed.sysrq.read_text() == "b"
    assert "no process" in (bed.here / "log").read_text()


def test_a_command_that_hangs_is_no_stop(bed):
    """And holds up no other service: eight hands, and each line has its time."""
    address()
    bed.guard()
    hung = [Command(f"root/s{n}:app#0", ("sleep", "600")) for n in range(5)]
    _, deadline = bed.session(SOON, IP, *hung)
    gone = bed.until(lambda: not held("10.99.0.10"))
    assert gone < deadline + 0.3
    bed.until(lambda: bed.state()["doomed"])
    assert max(bed.pets) < deadline + A_MOMENT


def test_a_command_undoes_and_another_tells_that_it_did(bed):
    flag, left = bed.root / "flag", bed.root / "left"
    flag.touch()
    left.touch()
    bed.guard()
    bed.session(
        SOON,
        Command("root/a:app#0", ("rm", str(flag)), ("test", "!", "-e", str(flag))),
        Command("root/b:app#0", ("true",), ("test", "!", "-e", str(left))),
    )
    bed.until(lambda: not flag.exists())
    bed.until(lambda: len(bed.state()["lines"]) == 1)
    left.unlink()
    bed.until(lambda: bool(bed.told("disarm")))


def test_where_no_group_can_be_made_a_program_is_found_by_its_record(bed):
    ready = bed.root / "ready"
    script = f"sleep 600 & touch {ready}; wait"
    program = subprocess.Popen(["sh", "-c", script], start_new_session=True)
    bed.until(ready.exists)
    seen = proc.read(program.pid)
    assert seen is not None
    record = bed.root / "record"
    record.write_text(f"{program.pid} {seen.start_time} {proc.boot_id()} \n")
    bed.guard()
    bed.session(SOON, Program(str(OWNER), "", str(record)))
    bed.until(lambda: bool(bed.told("disarm")))
    assert program.wait() == -signal.SIGKILL
    assert [p for p in proc.processes() if p.session == program.pid] == []


def test_a_record_of_another_process_kills_nobody(bed):
    bystander = subprocess.Popen(["sleep", "600"], start_new_session=True)
    record = bed.root / "record"
    record.write_text(f"{bystander.pid} 1 {proc.boot_id()} \n")
    bed.guard()
    bed.session(SOON, Program(str(OWNER), "", str(record)))
    bed.until(lambda: bool(bed.told("disarm")))
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


@pytest.mark.parametrize("words", ["10.99.0.10/24", "fd99::10/64", "10.99.0.10/32"])
def test_an_address_goes_and_the_hosts_own_stays(bed, words):
    """Also when ours was the first of its subnet, and with whatever prefix it is held."""
    kernel.run(f"ip addr add {words} dev d0")
    kernel.run("ip addr add 10.99.0.1/24 dev d0; ip addr add fd99::1/64 dev d0")
    bed.guard()
    ip = words.partition("/")[0]
    bed.session(SOON, Address("root/web:ip#0", f"{ip}/{64 if ':' in ip else 24}", "d0"))
    bed.until(lambda: bool(bed.told("disarm")))
    left = kernel.run("ip -o addr show dev d0 scope global")
    assert f" {ip}/" not in left
    assert " 10.99.0.1/24" in left
    assert " fd99::1/64" in left


def test_a_strangers_mount_on_our_mount_point_is_left_alone(bed):
    """Where it is known which device is ours, and it is mounted nowhere any more."""
    _, device, target = bed.filesystem()
    line = guard.bound(Mount("root/web:fs#0", str(target), device, "ext4"))
    kernel.run(f"umount {target}; mount -t tmpfs stranger {target}")
    bed.guard()
    bed.session(SOON, line)
    bed.until(lambda: bool(bed.told("disarm")))
    assert mounted(target)


def test_a_device_mounted_in_a_second_place_is_not_gone(bed):
    _, device, target = bed.filesystem()
    second = bed.root / "second"
    second.mkdir()
    kernel.run(f"mount --bind {target} {second}")
    bed.guard()
    bed.session(SOON, guard.bound(Mount("root/web:fs#0", str(target), device, "ext4")))
    bed.until(lambda: bool(bed.told("disarm")))
    assert not mounted(target)
    assert not mounted(second)


def test_a_device_that_another_namespace_has_mounted_is_in_use(bed):
    """Our mount table does not show it; its device does."""
    _, device, target = bed.filesystem()
    script = "echo; exec sleep 600"
    other = subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    bed.guard()
    bed.session(SOON, guard.bound(Mount("root/web:fs#0", str(target), device, "ext4")))
    bed.until(lambda: not mounted(target))
    bed.until(lambda: bed.state()["doomed"])
    assert "is in use still" in (bed.here / "log").read_text()
    other.kill()
    other.communicate()


def test_standby_stays(bed):
    _, device, target = bed.filesystem()
    address()
    bed.guard()
    standby = guard.bound(Mount("root/web:fs#0", str(target), device, "ext4"))._replace(standby=True)
    bed.session(SOON, IP, standby)
    bed.until(lambda: bool(bed.told("disarm")))
    assert mounted(target)
    assert len(bed.state()["lines"]) == 1
    bed.session(5.0, epoch=2)  # and hinders no later session


def test_a_hundred_services_are_gone_in_time(bed):
    for number in range(100):
        kernel.run(f"ip addr add 10.99.1.{number}/24 dev d0")
        bed.program(Owner(f"root/s{number}", "app#0"))
    bed.guard()
    lines = [
        line
        for n in range(100)
        for line in (
            Address(f"root/s{n}:ip#0", f"10.99.1.{n}/24", "d0"),
            Program(f"root/s{n}:app#0", bed.places.group(Owner(f"root/s{n}", "app#0"))),
        )
    ]
    _, deadline = bed.session(SOON, *lines)
    end = bed.until(lambda: bool(bed.told("disarm") or bed.state()["doomed"]))
    assert bed.told("disarm")
    assert end < deadline + W - M
    print(f"\n100 services gone {end - deadline:.3f} s after the deadline")
