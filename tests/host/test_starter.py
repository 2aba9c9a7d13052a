"""Processes born by the starter: in their group, ours, each either known or not made."""

import contextlib
import errno
import os
import select
import signal
import subprocess
import sys
import tempfile

import pytest

from reconciler.adapters import cgroups, proc
from reconciler.adapters.cgroups import Groups
from reconciler.adapters.ending import readable
from reconciler.adapters.launcher import PATH
from reconciler.adapters.starter import Starter
from reconciler.adapters.starter_main import Request
from reconciler.errors import MayHeal
from reconciler.settings import Settings
from tests import kernel

pytestmark = kernel.needs_root
ENV = {"PATH": PATH}


@pytest.fixture
async def starter():
    made = Starter()
    yield made
    made.close()


@pytest.fixture
def output():
    with tempfile.TemporaryFile() as file:
        yield file


async def ended(child):
    """(exit code, negative: signal; why it did not become its program)."""
    assert await readable(child.pidfd, 10)
    _, status = os.waitpid(child.pid, 0)
    with contextlib.closing(os.fdopen(child.hears, "rb")) as ear:
        heard = ear.read() or b""
    os.close(child.pidfd)
    return os.waitstatus_to_exitcode(status), heard.decode()


def printed(output):
    output.seek(0)
    return output.read().decode()


async def test_a_child_is_ours_and_has_what_it_was_given(starter, output):
    """The daemon reaps it, though another process bore it; it leads a session of its own."""
    asked = Request(("sh", "-c", "ps -o ppid=,sid= $$; echo $$ $A"), {**ENV, "A": "b"})
    child = await starter.start(asked, output.fileno())
    assert await ended(child) == (0, "")
    parent, session, itself, given = printed(output).split()
    assert (int(parent), session, int(itself), given) == (os.getpid(), itself, child.pid, "b")


async def test_a_text_without_an_interpreter_is_the_shells(starter, output, tmp_path):
    script = tmp_path / "script"
    script.write_text("echo $1\n")
    script.chmod(0o755)
    assert await ended(await starter.start(Request((str(script), "word"), ENV), output.fileno())) == (0, "")
    assert printed(output) == "word\n"


async def test_a_program_whose_interpreter_is_missing_says_so(starter, output, tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/nosuch/interpreter\n")
    script.chmod(0o755)
    code, heard = await ended(await starter.start(Request((str(script),), ENV), output.fileno()))
    assert (code, heard) == (125, f"{script} cannot be executed: {os.strerror(errno.ENOENT)}")


async def test_long_requests_arrive_whole(starter, output):
    """A command line and an environment of more than the socket takes at once."""
    words = tuple(f"{n:0100}" for n in range(10_000))
    asked = Request(("sh", "-c", "echo $#", "sh", *words), {**ENV, "LONG": "x" * 100_000})
    assert await ended(await starter.start(asked, output.fileno())) == (0, "")
    assert printed(output) == "10000\n"


async def test_a_starter_that_was_killed_is_replaced(starter, output):
    starter.begin()
    os.kill(starter._pid, signal.SIGKILL)
    os.waitid(os.P_PID, starter._pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(MayHeal, match="cannot be started"):
        await starter.start(Request(("true",), ENV), output.fileno())
    assert await ended(await starter.start(Request(("true",), ENV), output.fileno())) == (0, "")


async def test_a_starter_that_hangs_is_replaced(starter, output, monkeypatch):
    monkeypatch.setattr("reconciler.adapters.starter.PATIENCE", 0.05)
    starter.begin()
    os.kill(starter._pid, signal.SIGSTOP)
    with pytest.raises(MayHeal, match="timed out"):
        await starter.start(Request(("true",), ENV), output.fileno())
    monkeypatch.setattr("reconciler.adapters.starter.PATIENCE", 5.0)
    assert await ended(await starter.start(Request(("true",), ENV), output.fileno())) == (0, "")


def test_the_starter_ends_with_the_daemon(tmp_path):
    """However that ends."""
    script = (
        "import asyncio; from reconciler.adapters.starter import Starter\n"
        "async def live(): s = Starter(); s.begin(); print(s._pid, flush=True); await asyncio.sleep(60)\n"
        "asyncio.run(live())"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as daemon:
        pidfd = os.pidfd_open(int(daemon.stdout.readline()))
        daemon.kill()
        assert select.select([pidfd], [], [], 5)[0], "it lives on"
        os.close(pidfd)


OLD_KERNELS = """
import ctypes, errno, os, sys
from reconciler.adapters import starter_main as starter
called = starter._called
def old(number, *words):
    if number == starter._CLONE3:
        raise OSError(errno.ENOSYS, "no clone3")
    return called(number, *words)
starter._called = old
starter.main(int(sys.argv[1]), int(sys.argv[2]))
"""


@pytest.mark.parametrize("old", [False, True], ids=["born in it", "enters it, where the kernel is old"])
async def test_a_child_is_in_its_control_group_from_the_start(starter, output, old, tmp_path, monkeypatch):
    group = _group(tmp_path)
    if old:
        main = tmp_path / "old_starter.py"
        main.write_text(f"import sys; sys.path[:0] = {sys.path!r}\n{OLD_KERNELS}")
        monkeypatch.setattr("reconciler.adapters.starter._MAIN", main)
    record = tmp_path / "record"
    asked = Request(
        ("grep", "-c", str(group.name), "/proc/self/cgroup"),
        ENV,
        record=(str(record), "boot", str(group)),
        group=str(group),
    )
    child = await starter.start(asked, output.fileno())
    assert await ended(child) == (0, "")
    assert printed(output) == "1\n"
    pid, start_time, boot, its_group = record.read_text().split()
    assert (int(pid), boot, its_group) == (child.pid, "boot", str(group))
    own = proc.read(os.getpid())
    assert own is not None
    assert int(start_time) >= own.start_time
    cgroups.remove(group)


async def test_a_control_group_that_is_gone_starts_nothing(starter, output):
    asked = Request(("true",), ENV, group="/sys/fs/cgroup/nosuch")
    with pytest.raises(MayHeal, match="cannot enter the control group /sys/fs/cgroup/nosuch"):
        await starter.start(asked, output.fileno())
    assert await ended(await starter.start(Request(("true",), ENV), output.fileno())) == (0, "")


def _group(tmp_path):
    groups = Groups.find(Settings("n1", run=tmp_path))
    group = groups.operation()
    if group is None:
        pytest.skip("no control group can be made here")
    return group
