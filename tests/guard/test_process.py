"""The guard as a process: alone, light, found again; killed and begun anew; whom it listens to."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.adapters import guard
from reconciler.errors import MayHeal, NeedsPerson
from reconciler.guard.kernel import boottime
from reconciler.guard.lines import Address, Program
from reconciler.model import Owner
from tests import kernel
from tests.guard.bed import ROOT, Bed, M, W, alive, bedding, held, populated

pytestmark = kernel.needs_root
OWNER = Owner("root/web", "app#0")
IP = Address("root/web:ip#0", "10.99.0.10/24", "d0")
MOST_MEMORY = 24 << 10
"""KiB, all of it locked."""


@pytest.fixture
def bed() -> Iterator[Bed]:
    with bedding() as made:
        yield made


# --- what it is ----------------------------------------------------------------------------


def test_it_has_loaded_nothing_but_the_standard_library_and_itself():
    script = (
        "import sys; sys.path.append(sys.argv[1]); import reconciler.guard.__main__; "
        "print('\\n'.join(f'{n} {getattr(m, \"__file__\", None) or \"\"}' for n, m in sys.modules.items()))"
    )
    said = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, str(ROOT)], stdout=-1, text=True, check=True
    )
    names = [line.partition(" ")[0] for line in said.stdout.splitlines()]
    foreign = [
        name
        for name in names
        if name.partition(".")[0] not in sys.stdlib_module_names
        and name not in ("__main__", "reconciler")
        and not name.startswith("reconciler.guard")
    ]
    assert foreign == []
    assert "reconciler.guard.core" in names
    assert "asyncio" not in names
    assert len(names) < 130


def test_it_is_small_locked_detached_and_in_a_group_of_its_own(bed):
    pid = bed.guard()
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    memory = int(status["VmRSS"].split()[0])
    print(f"\nguard: {memory} KiB resident, {status['VmLck'].strip()} locked, {status['Threads']} threads")
    assert memory < MOST_MEMORY
    said = bed.state()
    assert (said["locked"], said["real_time"], said["kappa"]) == (True, True, 1)
    assert os.sched_getscheduler(pid) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO
    assert os.getsid(pid) != os.getsid(0)
    assert int(status["PPid"]) != os.getpid()
    group = Path(f"/proc/{pid}/cgroup").read_text().splitlines()[-1]
    assert group.endswith(f"{bed.groups.root.name}.guard")
    maps = Path(f"/proc/{pid}/maps").read_text()
    assert "site-packages" not in maps
    opened = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    assert not [
        name
        for name in opened
        if name.startswith("/") and not name.startswith(("/dev/null", str(bed.here)))
    ]


def test_there_is_one_guard_for_a_run_directory(bed):
    first = bed.guard()
    assert bed.guard() == first
    second = guard.start({"directory": str(bed.here)}, bed.here)
    assert second.wait() == 3
    assert "another guard runs" in (bed.here / "errors").read_text()
    assert alive(first)
    assert bed.state()["pid"] == first


def test_a_guard_that_cannot_begin_says_why(bed):
    bed.here.parent.mkdir(parents=True)
    bed.here.mkdir()
    (bed.here / "lock").mkdir()
    with pytest.raises(NeedsPerson, match="Is a directory"):
        bed.guard()


def test_it_ends_when_nothing_is_listed_and_the_agent_says_so(bed):
    pid = bed.guard()
    agent, _ = bed.session(60.0, IP)
    assert "10.99.0.10/24" in agent.ask("end")["why"]
    os.kill(pid, signal.SIGTERM)
    assert bed.state()["pid"] == pid
    agent.must("leave", numbers=[1])
    agent.must("end")
    bed.until(lambda: not alive(pid))
    assert len(bed.told("disarm")) == 1
    assert agent.alive


def test_asked_by_the_system_it_ends_when_nothing_is_listed(bed):
    pid = bed.guard()
    os.kill(pid, signal.SIGTERM)
    bed.until(lambda: not alive(pid))


# --- whom it listens to --------------------------------------------------------------------


def test_nobody_else_is_heard(bed):
    bed.guard()
    for place in (bed.root, bed.settings.run, bed.here):
        place.chmod(0o755)
    script = (
        f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(bed.here / 'socket')!r}); "
        's.sendall(b\'{"id": 1, "do": "state"}\\n\'); print(s.recv(100))'
    )
    nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "/usr/bin/python3",
        "-c",
        script,
    ]
    shut = subprocess.run(nobody, capture_output=True, text=True, check=False)
    assert "Permission denied" in shut.stderr
    (bed.here / "socket").chmod(0o666)  # and if somebody opens the door, who comes is looked at
    seen = subprocess.run(nobody, capture_output=True, text=True, check=False)
    assert "phase" not in seen.stdout
    assert seen.stdout == "b''\n" or "reset by peer" in seen.stderr or "Broken pipe" in seen.stderr
    assert bed.state()["phase"] == "idle"


@pytest.mark.parametrize(
    "text", [b"\n", b"{}\n", b"[1]\n", b"\xff\xfe\n", b'{"id": "x", "do": 1}\n', b"x" * 2_000_000]
)
def test_who_talks_nonsense_is_shown_out_and_the_guard_goes_on(bed, text):
    bed.guard()
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(bed.here / "socket"))
        caller.settimeout(5)
        try:
            caller.sendall(text)
            assert caller.recv(10) == b""
        except ConnectionError:
            pass
    assert bed.state()["phase"] == "idle"


def test_who_does_not_listen_holds_up_nobody(bed):
    bed.guard()
    agent, _ = bed.session(60.0)
    agent.enter(*(Address(f"root/s{n}:ip#0", "10.9.9.9/24", "d0") for n in range(500)))
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(str(bed.here / "socket"))
        deaf.settimeout(1)
        try:
            for number in range(1000):
                deaf.sendall(json.dumps({"id": number, "do": "state"}).encode() + b"\n")
        except OSError:  # shown out, or not read any more
            pass
        agent.must("extend", deadline=boottime() + 60)
    assert len(agent.must("state")["lines"]) == 500


def test_an_agent_without_a_guard_knows_it_at_once(bed):
    pid = bed.guard()

    async def scenario() -> None:
        client = bed.client()
        await client.connect()
        await client.arm(W, M)
        now = boottime()
        seen = await client.open(1, now + 5.0)
        assert (seen.phase, seen.epoch, seen.watchdog, seen.real, seen.kappa) == ("held", 1, W, True, 1)
        assert await client.enter([IP]) == (1,)
        assert (await client.state()).lines == {1: IP}
        await client.leave([1])
        os.kill(pid, signal.SIGKILL)
        before = boottime()
        async with asyncio.timeout(1):
            await client.lost.wait()
        assert boottime() - before < 0.1
        with pytest.raises(MayHeal, match="the guard is gone"):
            await client.extend(now + 9.0)
        await client.disconnect()

    asyncio.run(scenario())


def test_past_its_deadline_a_client_starts_nothing_not_even_by_asking(bed):
    bed.guard()

    class Late:
        def boottime(self) -> float:
            return boottime() + 100

        def wall(self) -> float:
            return 0.0

    async def scenario() -> None:
        client = guard.GuardClient(bed.here / "socket", "", "", Late())
        await client.connect()
        await client.arm(W, M)
        await client.open(1, boottime() + 60)
        with pytest.raises(MayHeal, match="past the deadline"):
            await client.enter([])
        await client.close()
        await client.disconnect()

    asyncio.run(scenario())


# --- one guard after another ---------------------------------------------------------------


def test_a_guard_that_was_killed_is_followed_by_one_that_knows_what_is_up(bed):
    kernel.run("ip addr add 10.99.0.10/24 dev d0")
    first = bed.guard()
    agent, _ = bed.session(60.0, IP)
    os.kill(first, signal.SIGKILL)
    bed.until(lambda: not alive(first))
    pets = len(bed.pets)
    second = bed.guard()
    assert second != first
    later = bed.agent()
    assert later.must("state")["phase"] == "found"
    assert len(bed.pets) == pets  # not before it was given a deadline
    opened = bed.open(later, boottime() + 60.0)
    assert opened["lines"][0][1]["address"] == "10.99.0.10/24"
    bed.until(lambda: len(bed.pets) > pets + 5)
    assert held("10.99.0.10")
    assert agent.alive


def test_a_guard_that_nobody_gives_a_deadline_stops_what_it_found(bed):
    """The agent had no guard, and no time to tell a new one: it is killed as well."""
    kernel.run("ip addr add 10.99.0.10/24 dev d0")
    group = bed.program(OWNER)
    first = bed.guard()
    agent, _ = bed.session(60.0, IP, Program(str(OWNER), str(group)))
    os.kill(first, signal.SIGKILL)
    bed.until(lambda: not alive(first))
    with open(bed.here / "ledger", "ab") as ledger:  # it died in the middle of a line
        ledger.write(b'0badf00d {"enter":[[9,{"what":"mou')
    began = boottime()
    bed.guard()
    gone = bed.until(lambda: not held("10.99.0.10") and not populated(group) and not agent.alive)
    assert W <= gone - began < W + M + 0.5
    bed.until(lambda: bed.state()["phase"] == "idle")
    assert bed.state()["lines"] == []


def test_a_deadline_that_passed_while_there_was_no_guard_is_past(bed):
    kernel.run("ip addr add 10.99.0.10/24 dev d0")
    first = bed.guard()
    _, deadline = bed.session(0.5, IP)
    os.kill(first, signal.SIGKILL)
    bed.until(lambda: not alive(first) and boottime() > deadline)
    began = boottime()
    bed.guard()
    assert bed.until(lambda: not held("10.99.0.10")) - began < W


def test_a_new_deadline_that_comes_too_late_is_none(bed):
    """The guard stood still; what the agent sent meanwhile is there when it goes on."""
    kernel.run("ip addr add 10.99.0.10/24 dev d0")
    pid = bed.guard()
    agent, deadline = bed.session(0.5, IP)
    os.kill(pid, signal.SIGSTOP)
    agent.send("extend", deadline=deadline + 60)
    bed.until(lambda: boottime() > deadline)
    os.kill(pid, signal.SIGCONT)
    bed.until(lambda: not held("10.99.0.10") and not agent.alive)
    assert bed.state()["why"] == "the deadline passed"


def test_an_agent_that_was_killed_is_followed_by_one_that_goes_on(bed):
    kernel.run("ip addr add 10.99.0.10/24 dev d0")
    bed.guard()
    agent, deadline = bed.session(1.0, IP)
    agent.end()
    later = bed.agent()
    bed.open(later, deadline + 60)
    bed.until(lambda: boottime() > deadline + 0.3)
    assert held("10.99.0.10")
    assert later.alive
    assert later.ask("open", epoch=2, deadline=boottime() + 60)["why"]


def test_a_stop_that_a_guard_did_not_finish_is_finished_by_the_next(bed):
    group = bed.program(OWNER, "trap '' TERM; while :; do sleep 0.01; done")
    first = bed.guard()
    bed.session(0.3, IP, Program(str(OWNER), str(group), grace=60.0))
    bed.until(lambda: "is over" in (bed.here / "log").read_text())
    os.kill(first, signal.SIGKILL)
    bed.until(lambda: not alive(first))
    assert populated(group)
    bed.guard()
    assert bed.until(lambda: not populated(group))
    later = bed.agent()
    bed.until(lambda: bed.state()["phase"] == "idle")
    later.must("arm", watchdog=W, margin=M)
    assert "session 1 is over" in later.ask("open", epoch=1, deadline=boottime() + 60)["why"]
    later.must("open", epoch=2, deadline=boottime() + 60)
