"""Commands run to their end: codes, output, limits, users; nothing outlives a time limit."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from reconciler.adapters import capture, proc
from reconciler.adapters.launcher import PATH
from reconciler.asks import Check
from reconciler.operations import Exec
from tests import kernel
from tests.host.conftest import WEB, marked

pytestmark = kernel.needs_root


def sh(text, **more):
    return Exec((text,), shell=True, **more)


async def alone(world):
    """Wait until nothing that was started is left, then nothing of its control groups either."""
    async with asyncio.timeout(5):
        while marked(world):  # noqa: ASYNC110  # strangers' processes tell nobody
            await asyncio.sleep(0.01)
    root = world.programs.runner.groups.root
    assert root is None or not list((root / "operations").glob("*/"))


@pytest.mark.parametrize(
    ("operation", "ok", "code", "error"),
    [
        pytest.param(Exec(("true",)), True, 0, "", id="success"),
        pytest.param(Exec(("false",)), False, 1, "false: exit code 1", id="failure"),
        pytest.param(sh("exit 3", ok=(0, 3)), True, 3, "", id="another code is fine"),
        pytest.param(sh("exit 3"), False, 3, "exit 3: exit code 3", id="shell text"),
        pytest.param(
            sh("echo one; echo two >&2; exit 4"), False, 4, "exit code 4: two", id="the last line is told"
        ),
        pytest.param(sh("kill -9 $$"), False, -9, "ended by SIGKILL", id="a signal"),
        pytest.param(Exec(("nosuch",)), False, None, "nosuch: not found", id="not found"),
        pytest.param(Exec(("/nosuch/x",)), False, None, "/nosuch/x: not found", id="path not found"),
        pytest.param(Exec(("/etc/passwd",)), False, None, "/etc/passwd: not executable", id="no program"),
        pytest.param(Exec(("/etc",)), False, None, "/etc: not executable", id="a directory"),
        pytest.param(sh("nosuch"), False, 127, "a command was not found", id="not found in a shell"),
        pytest.param(sh("/etc/passwd"), False, 126, "could not be executed", id="no program in a shell"),
        pytest.param(
            Exec(("true",), user="nosuchuser"), False, None, "no user 'nosuchuser'", id="unknown user"
        ),
        pytest.param(Exec(("true",), group="nosuch"), False, None, "no group 'nosuch'", id="unknown group"),
        pytest.param(Exec(("true",), cwd="/nosuch"), False, None, "enter the directory", id="no cwd"),
        pytest.param(Exec(("true",), limits=(("pid", "1"),)), False, None, "no limit", id="no such limit"),
        pytest.param(
            Exec(("true",), cwd="/nosuch", ok=(0, 125)),
            False,
            None,
            "enter",
            id="no code hides a failed start",
        ),
    ],
)
async def test_ends(world, operation, ok, code, error):
    outcome = await world.do(operation)
    assert (outcome.ok, outcome.code) == (ok, code), outcome
    assert error in outcome.error
    assert bool(error) == bool(outcome.error)
    if error:
        assert outcome.error.startswith(f"{operation}: ")
    await alone(world)


async def test_both_outputs_are_kept_in_order(world):
    outcome = await world.works(sh("echo out; echo err >&2; echo out"))
    assert outcome.output == "out\nerr\nout\n"


async def test_long_output_keeps_its_head_and_tail(world):
    outcome = await world.works(sh("echo first; seq 1 100000; echo last"))
    assert outcome.output.startswith("first\n1\n2\n")
    assert outcome.output.endswith("100000\nlast\n")
    assert "bytes left out" in outcome.output
    assert len(outcome.output) < 64 * 1024 + 100


async def test_endless_output_is_trimmed_while_it_runs(world, monkeypatch):
    monkeypatch.setattr(capture, "MOST", 100_000)
    sizes = []
    trim = capture.Capture.trim
    monkeypatch.setattr(
        capture.Capture, "trim", lambda self: (trim(self), sizes.append(os.fstat(self._mine).st_size))
    )
    outcome = await world.do(sh("echo first; seq 1 50000; sleep 0.3; echo last"))
    assert sizes[0] == 0
    assert outcome.output.startswith("first\n1\n")
    assert outcome.output.endswith("last\n")


async def test_output_survives_a_full_state_directory(world):
    kernel.run(f"mount -t tmpfs -o size=4k,ro none {world.settings.state}")
    outcome = await world.works(sh("echo out"))
    assert outcome.output == "out\n"


async def test_input_is_empty(world):
    assert (await world.works(sh("cat; echo end"))).output == "end\n"


async def test_environment_is_clean_and_ours(world, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_DAEMON", "x")
    world.extra = {"PORT": "8080", "COLOUR": "red"}
    outcome = await world.works(Exec(("env",), env=(("COLOUR", "blue"),)))
    found = dict(line.split("=", 1) for line in outcome.output.splitlines())
    assert found.pop("PWD", "") in ("", os.getcwd())
    assert found == {
        "PATH": PATH,
        "LANG": "C.UTF-8",
        "LVM_SUPPRESS_FD_WARNINGS": "1",
        "PORT": "8080",
        "COLOUR": "blue",
        "STANDFAST_SERVICE": "root/svc1",
        "STANDFAST_RID": "app#web",
        "STANDFAST_NODE": "n1",
        "STANDFAST_RUN": str(world.settings.run),
        "STANDFAST_ROLE": "operation",
    }


async def test_nothing_of_ours_is_inherited(world):
    """No descriptor, no ignored or blocked signal, no raised limit."""
    for operation in (Exec(("cat", "/proc/self/status")), sh("exec cat /proc/self/status")):
        lines = (await world.works(operation)).output.splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        for kind in ("SigIgn", "SigBlk"):
            of_libc = 0b11 << 31  # 32 and 33: nobody else can change them
            assert int(status[kind], 16) & ~of_libc == 0
    for text in ("ls /proc/self/fd", "true; ls /proc/self/fd"):
        assert (await world.works(sh(text))).output.split() == ["0", "1", "2", "3"]


async def test_user_place_umask_and_limits(world, tmp_path):
    tmp_path.chmod(0o777)
    for directory in tmp_path.parents:
        if directory.stat().st_uid == os.getuid() and str(directory).startswith("/tmp/"):
            directory.chmod(directory.stat().st_mode | 0o011)
    outcome = await world.works(
        sh(
            "id -un; id -gn; pwd; umask; ulimit -n; ulimit -c; echo $HOME; touch made",
            user="nobody",
            group="daemon",
            cwd=str(tmp_path),
            umask="027",
            limits=(("nofile", "77"), ("core", "0")),
        )
    )
    home = kernel.run("getent passwd nobody").split(":")[5]
    assert outcome.output.split() == ["nobody", "daemon", str(tmp_path), "0027", "77", "0", home]
    assert kernel.run(f"stat -c '%a %U %G' {tmp_path}/made") == "640 nobody daemon"


TREES = [
    pytest.param("sleep 60", id="a child"),
    pytest.param("sleep 60 & sleep 60 & wait", id="children in the background"),
    pytest.param("trap '' TERM; sleep 60; sleep 60", id="ignores SIGTERM"),
    pytest.param("(trap '' TERM; while :; do sleep 1; done) & exec sleep 60", id="a child ignores SIGTERM"),
    pytest.param("setsid sleep 60 & exec sleep 60", id="a child in a session of its own"),
    pytest.param("setsid sh -c 'sleep 60 & sleep 61' & exec sleep 60", id="a family of its own"),
]


@pytest.mark.parametrize("text", TREES)
@pytest.mark.parametrize("how", ["time limit", "cancel"])
async def test_nothing_outlives_its_end(world, text, how, monkeypatch):
    monkeypatch.setattr("reconciler.adapters.processes.GRACE", 0.2)
    if how == "time limit":
        outcome = await world.do(sh(text, timeout=0.15))
        assert not outcome.ok
        assert "did not end within 0.15 s" in outcome.error
    else:
        doing = asyncio.create_task(world.do(sh(text)))
        await asyncio.sleep(0.15)
        doing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doing
    await alone(world)


async def test_a_tool_without_the_script_is_ended_just_so(world, monkeypatch):
    outcome = await world.do(Exec(("sleep", "60"), timeout=0.1))
    assert "ended by SIGTERM" in outcome.error
    await alone(world)


async def test_output_before_a_time_limit_is_told(world):
    outcome = await world.do(sh("echo busy with something; exec sleep 60", timeout=0.2))
    assert outcome.output == "busy with something\n"


async def test_a_cancelled_twice_command_is_still_ended(world, monkeypatch):
    monkeypatch.setattr("reconciler.adapters.processes.GRACE", 0.3)
    doing = asyncio.create_task(world.do(sh("trap '' TERM; while :; do sleep 1; done")))
    await asyncio.sleep(0.1)
    for _ in range(3):
        doing.cancel()
        await asyncio.sleep(0.02)
    with pytest.raises(asyncio.CancelledError):
        await doing
    await alone(world)


async def test_a_daemon_left_behind_with_our_output_delays_nothing_and_lives_on(world):
    text = "(while :; do sleep 0.05; echo still here; done) & echo pid $!"
    outcome = await world.works(sh(text))
    assert outcome.seconds < 1
    pid = int(outcome.output.split()[1])
    log = world.programs.runner.logs.of(WEB)
    async with asyncio.timeout(5):
        while "still here" not in log.read_text():  # noqa: ASYNC110  # nor do files
            await asyncio.sleep(0.02)
    assert proc.read(pid).alive
    groups = world.programs.runner.groups
    if groups.root:
        assert f"/{WEB.rid}.left" in Path(f"/proc/{pid}/cgroup").read_text()
        assert not list((groups.root / "operations").glob("*/"))
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(5):
        while marked(world):  # noqa: ASYNC110  # it is not our child
            await asyncio.sleep(0.01)
    await world.works(sh("true"))
    assert groups.root is None or not groups.left(WEB).exists()


async def test_a_second_daemon_left_behind_keeps_the_log_of_the_first(world):
    for word in ("first", "second"):
        await world.works(sh(f"echo {word}; sleep 60 &"))
    log = world.programs.runner.logs.of(WEB)
    assert log.read_text() == "second\n"
    assert log.with_name(f"{log.name}.1").read_text() == "first\n"


async def test_commands_run_side_by_side(world):
    outcomes = await asyncio.gather(*(world.works(sh("sleep 0.3"), WEB) for _ in range(5)))
    assert max(outcome.seconds for outcome in outcomes) < 1.2


async def test_a_command_left_by_a_dead_daemon_is_waited_for(world, tmp_path):
    """What it had begun must not run twice at once."""
    child = os.fork()
    if child == 0:
        asyncio.new_event_loop().run_until_complete(
            _begin_and_die(world.settings, f"sleep 1; echo old >> {tmp_path}/order")
        )
    os.waitpid(child, 0)
    world.begin()
    outcome = await world.works(sh(f"echo new >> {tmp_path}/order"))
    assert (tmp_path / "order").read_text() == "old\nnew\n"
    assert outcome.seconds > 0.2
    assert not list((world.settings.run / "operations").iterdir())


async def test_a_command_left_by_a_dead_daemon_keeps_its_time_limit(world):
    child = os.fork()
    if child == 0:
        asyncio.new_event_loop().run_until_complete(_begin_and_die(world.settings, "sleep 60", limit=0.6))
    os.waitpid(child, 0)
    world.begin()
    assert marked(world)
    outcome = await world.works(sh("true"))
    assert outcome.seconds < 3
    await alone(world)


async def _begin_and_die(settings, text, limit=60.0):
    """In a process of its own: a daemon that starts a command and is killed at once."""
    from reconciler.adapters.linux import LinuxHost
    from reconciler.adapters.programs import Programs

    host = LinuxHost(settings, Programs(settings), lambda owner: {})
    task = asyncio.ensure_future(host.perform(sh(text, timeout=limit), WEB))
    await asyncio.sleep(0.1)
    assert not task.done()
    os.kill(os.getpid(), signal.SIGKILL)


async def test_no_note_is_left_of_what_has_ended(world):
    await world.works(sh("true"))
    await world.do(sh("sleep 9", timeout=0.05))
    assert not list((world.settings.run / "operations").iterdir())


@pytest.mark.parametrize(
    ("check", "code", "output"),
    [
        pytest.param(Check(("true",)), 0, "", id="fine"),
        pytest.param(Check(("echo lame; exit 2",), shell=True), 2, "lame\n", id="not fine"),
        pytest.param(Check(("sleep", "60"), timeout=0.1), None, "did not end within 0.1 s", id="hangs"),
        pytest.param(Check(("/nosuch",)), None, "/nosuch: not found", id="is missing"),
        pytest.param(Check(("true",), user="nosuchuser"), None, "no user", id="cannot run"),
    ],
)
async def test_check(world, check, code, output):
    result = await world.host.run_check(WEB, check)
    assert result.code == code
    assert output in result.output
    await alone(world)
