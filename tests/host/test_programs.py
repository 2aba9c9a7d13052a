"""Programs that stay: started, seen, found again, ended; whatever dies in between."""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from reconciler.adapters import proc, records
from reconciler.adapters.cgroups import Groups
from reconciler.adapters.facts.source import Subject
from reconciler.asks import Program
from reconciler.model import Owner
from reconciler.operations import Exec, Spawn, Terminate
from tests import kernel
from tests.host.conftest import WEB, marked, terminate

pytestmark = kernel.needs_root


def sh(text, **more):
    return Spawn((text,), shell=True, **more)


SLEEP = Spawn(("sleep", "600"))


@pytest.fixture(params=["control groups", "sessions"], autouse=True)
def grouping(request, monkeypatch):
    """Every test runs where control groups can be made and where they cannot."""
    if request.param == "sessions":
        monkeypatch.setattr(Groups, "find", classmethod(lambda cls, settings: cls(None)))
    elif not os.path.isdir("/sys/fs/cgroup"):
        pytest.skip("no control groups here")
    return request.param


async def ended(pids):
    """Wait until none of them is alive."""
    async with asyncio.timeout(5):
        while [pid for pid in pids if (process := proc.read(pid)) and process.alive]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def said(path, words=1):
    """Wait for a program to have written to the file; its words."""
    async with asyncio.timeout(5):
        while not path.exists() or len(found := path.read_text().split()) < words:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return found


async def test_nothing_was_spawned(world):
    assert await world.seen() is None


async def test_program_comes_runs_and_goes(world):
    outcome = await world.works(SLEEP)
    seen = await world.seen()
    assert (seen.running, seen.adopted, seen.code, seen.leftovers) == (True, False, None, 0)
    assert str(seen.pid) == outcome.values["pid"]
    assert os.getsid(seen.pid) == seen.pid
    again = await world.works(SLEEP)
    assert again.output == f"runs already as pid {seen.pid}"
    assert await world.seen() == seen
    outcome = await world.works(terminate(seen))
    assert f"ended {seen.pid} " in outcome.output
    assert await world.seen() is None
    await world.works(terminate(seen))
    assert not marked(world)
    assert not list((world.settings.run / "programs").glob("*/*/*"))


async def test_control_group_holds_the_program_and_vanishes(world, grouping):
    await world.works(SLEEP)
    seen = await world.seen()
    assert world.programs.has_cgroups == (grouping == "control groups")
    if world.programs.has_cgroups:
        group = world.programs.runner.groups.of(WEB)
        assert (group / "cgroup.procs").read_text().split() == [str(seen.pid)]
        await world.works(terminate(seen))
        assert not group.exists()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("exit 0", 0, id="with success"),
        pytest.param("exit 3", 3, id="with failure"),
        pytest.param("kill -SEGV $$", -signal.SIGSEGV, id="by a signal"),
    ],
)
async def test_program_that_ends_is_told_with_its_code(world, text, code):
    gate = world.settings.state / "gate"
    os.mkfifo(gate)
    await world.works(sh(f"read line <{gate}; {text}"))
    world.programs.desk = world.desk
    assert (await world.seen()).running
    gate.write_text("\n")
    assert (await asyncio.wait_for(world.desk.news.get(), 5)).owner == WEB
    seen = await world.seen()
    assert (seen.running, seen.code, seen.leftovers) == (False, code, 0)


async def test_killed_program_is_seen_within_milliseconds(world):
    await world.works(SLEEP)
    world.programs.desk = world.desk
    seen = await world.seen()
    os.kill(seen.pid, signal.SIGKILL)
    news = await asyncio.wait_for(world.desk.news.get(), 1)
    assert news == Subject(Program(), WEB)
    assert (await world.seen()).code == -9


async def test_look_right_after_the_end_is_not_fooled(world):
    """The event may not have been heard yet."""
    await world.works(SLEEP)
    seen = await world.seen()
    os.kill(seen.pid, signal.SIGKILL)
    while proc.read(seen.pid) and proc.read(seen.pid).state not in "ZX":
        time.sleep(0.001)
    assert not world.programs.seen(WEB).running


@pytest.mark.parametrize(
    ("operation", "part"),
    [
        pytest.param(Spawn(("/nosuch/web",)), "/nosuch/web: not found", id="missing"),
        pytest.param(Spawn(("nosuchweb",)), "nosuchweb: not found", id="missing in PATH"),
        pytest.param(Spawn(("/etc/passwd",)), "/etc/passwd: not executable", id="not executable"),
        pytest.param(
            Spawn(("true",), cwd="/nosuch"), "cannot enter the directory /nosuch", id="no directory"
        ),
        pytest.param(Spawn(("true",), user="nosuchuser"), "no user 'nosuchuser'", id="no user"),
        pytest.param(Spawn(("true",), output="/nosuch/log"), "No such file or directory", id="no output"),
        pytest.param(Spawn(("true",), umask="99"), "umask '99'", id="no umask"),
        pytest.param(sh("exit 3", settle=5.0), "ended within 5 s: exit code 3", id="exits at once"),
        pytest.param(sh("exit 0", settle=5.0), "ended within 5 s: exit code 0", id="succeeds at once"),
        pytest.param(sh("echo why; exit 1", settle=5.0), "exit code 1: why", id="says why"),
    ],
)
async def test_start_that_fails_says_why(world, operation, part):
    outcome = await world.do(operation)
    assert not outcome.ok
    assert outcome.error.startswith(f"{operation}: ")
    assert part in outcome.error
    seen = await world.seen()
    assert seen is None or not seen.running
    if "settle" not in str(vars(operation)) or not operation.settle:
        assert seen is None
        assert not list((world.settings.run / "programs").glob("*/*/*"))


async def test_program_that_stays_settles(world):
    outcome = await world.works(Spawn(("sleep", "600"), settle=0.2))
    assert outcome.seconds >= 0.2


async def test_program_gets_what_it_is_given(world, tmp_path):
    for directory in (tmp_path, *tmp_path.parents):
        if str(directory).startswith("/tmp/"):
            directory.chmod(0o777)
    world.extra = {"PORT": "8080"}
    text = "echo $(id -un) $(id -gn) $PWD $(umask) $(ulimit -n) $PORT $COLOUR"
    text = f"{text} > {tmp_path}/told; exec sleep 600"
    await world.works(
        sh(
            text,
            user="nobody",
            group="daemon",
            cwd="/usr",
            umask="0077",
            limits=(("nofile", "99"),),
            env=(("COLOUR", "blue"),),
        )
    )
    told = await said(tmp_path / "told", 7)
    assert told == ["nobody", "daemon", "/usr", "0077", "99", "8080", "blue"]
    seen = await world.seen()
    environment = proc.environment(seen.pid)
    assert environment["STANDFAST_SERVICE"] == "root/svc1"
    assert environment["STANDFAST_RID"] == "app#web"
    assert environment["STANDFAST_NODE"] == "n1"
    assert environment["STANDFAST_ROLE"] == "program"
    assert os.listdir(f"/proc/{seen.pid}/fd") == ["0", "1", "2"]


# --- its output ----------------------------------------------------------------------------


async def test_output_goes_to_the_owners_log_or_where_it_is_sent(world, tmp_path):
    await world.works(sh("echo in the log; echo err >&2; exec sleep 600"))
    log = world.settings.state / "log" / "root.svc1.app#web.log"
    assert await said(log, 4) == ["in", "the", "log", "err"]
    other = Owner("root/svc1", "app#2")
    (tmp_path / "out").write_text("before\n")
    await world.works(sh("echo after; exec sleep 600", output=str(tmp_path / "out")), other)
    assert await said(tmp_path / "out", 2) == ["before", "after"]


async def test_program_starts_even_if_its_log_cannot_be_written(world):
    kernel.run(f"mount -t tmpfs -o ro none {world.settings.state}")
    outcome = await world.works(SLEEP)
    assert "its output is lost" in outcome.output


async def test_log_is_rotated_under_a_writing_program(world, tmp_path):
    world.programs.runner.logs._biggest = 5000
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    await world.works(sh(f"while :; do read word <{gate} && seq -s$word 1 3000; done"))
    log = world.programs.runner.logs.of(WEB)
    for word in "abcde":
        gate.write_text(f"{word}\n")
        async with asyncio.timeout(5):
            while not (log.exists() and log.read_text().endswith("3000\n")):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await world.programs.rotate_logs() == 1
        assert log.read_bytes() == b""
    assert await world.programs.rotate_logs() == 0
    kept = sorted(path.name.rpartition(".")[2] for path in log.parent.glob("*.log.*"))
    assert kept == ["1", "2", "3"]
    assert [log.with_name(f"{log.name}.{n}").read_text()[1] for n in (1, 2, 3)] == ["e", "d", "c"]


async def test_full_disk_does_not_keep_a_log_growing(world):
    await world.works(SLEEP)
    state = world.settings.state
    kernel.run(f"mount -t tmpfs -o size=64k none {state} && mkdir {state}/log")
    log = world.programs.runner.logs.of(WEB)
    log.write_bytes(b"x" * 50_000)
    world.programs.runner.logs._biggest = 5000
    assert await world.programs.rotate_logs() == 1
    assert log.stat().st_size == 0


# --- found again ---------------------------------------------------------------------------


async def test_next_daemon_finds_it_by_its_record(world):
    await world.works(SLEEP)
    before = await world.seen()
    await world.programs.close()
    world.begin()
    seen = await world.seen()
    assert (seen.pid, seen.start_time, seen.running) == (before.pid, before.start_time, True)
    assert seen.adopted
    assert (await world.works(SLEEP)).output.startswith("runs already")
    os.kill(seen.pid, signal.SIGKILL)
    seen = await world.until(lambda seen: not seen.running)
    assert seen.code is None or not seen.adopted
    await world.works(terminate(seen))
    assert await world.seen() is None


@pytest.mark.parametrize(
    "content", [None, "", "12", "x y z\n"], ids=["none", "empty", "cut short", "nonsense"]
)
async def test_next_daemon_finds_it_without_its_record(world, content):
    await world.works(SLEEP)
    before = await world.seen()
    record = world.settings.run / "programs" / "root" / "svc1" / "app#web"
    record.unlink()
    if content is not None:
        record.write_text(content)
    await world.programs.close()
    world.begin()
    seen = await world.seen()
    assert seen.pid == before.pid
    assert record.read_text().split()[0] == str(seen.pid), "and writes a new one"
    await world.works(terminate(seen))
    assert not marked(world)


async def test_record_of_a_pid_that_is_used_again_is_not_believed(world):
    """The record names our own process, which was started at another time."""
    record = world.settings.run / "programs" / "root" / "svc1" / "app#web"
    record.parent.mkdir(parents=True)
    record.write_text(f"{os.getpid()} 12345 {proc.boot_id()} \n")
    seen = await world.seen()
    assert not seen.running
    outcome = await world.works(terminate(seen, grace=0.1))
    assert str(os.getpid()) not in outcome.output
    assert await world.seen() is None


async def test_record_that_contradicts_the_environment_is_not_believed(world):
    await world.works(SLEEP)
    seen = await world.seen()
    other = world.settings.run / "programs" / "root" / "other" / "app#1"
    other.parent.mkdir(parents=True)
    other.write_text((world.settings.run / "programs" / "root" / "svc1" / "app#web").read_text())
    await world.programs.close()
    world.begin()
    assert await world.seen(Owner("root/other", "app#1")) is None
    assert (await world.seen()).pid == seen.pid


async def test_record_of_an_earlier_boot_is_dropped(world):
    record = world.settings.run / "programs" / "root" / "svc1" / "app#web"
    record.parent.mkdir(parents=True)
    process = proc.read(os.getpid())
    record.write_text(f"{process.pid} {process.start_time} 00000000-0000-0000-0000-000000000000 \n")
    assert await world.seen() is None
    assert not record.exists()


async def test_program_that_clears_its_environment_is_still_ours(world):
    await world.works(sh("exec env -i sleep 600"))
    seen = await world.seen()
    async with asyncio.timeout(5):
        while proc.environment(seen.pid):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await world.programs.close()
    world.begin()
    assert (await world.seen()).pid == seen.pid
    await world.works(terminate(seen))
    await ended([seen.pid])


async def test_a_script_of_the_owner_is_not_taken_for_its_program(world):
    """It carries the owner's names too."""
    doing = asyncio.create_task(world.do(Exec(("sleep 60",), shell=True)))
    async with asyncio.timeout(5):
        while not marked(world):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    world.begin()
    assert await world.seen() is None
    doing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await doing


async def test_another_nodes_program_is_not_ours(world):
    other = world.settings.__class__(
        node="n1", state=world.settings.state, run=world.settings.state / "run2"
    )
    await world.works(SLEEP)
    assert [found.owner for found in records.Records(world.settings).find()] == [WEB]
    assert records.Records(other).find() == []


@pytest.mark.parametrize("delay", [0.0, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.02])
async def test_daemon_killed_while_starting_leaves_one_program_or_none(world, delay):
    """At whatever instant it dies, the next one finds what there is, and never starts a second."""
    child = os.fork()
    if child == 0:
        _spawn_and_wait(world.settings)
    await said(world.settings.run / "about-to-spawn")
    await asyncio.sleep(delay)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    await asyncio.sleep(0.1)  # no interpreter starts faster
    world.begin()
    seen = await world.seen()
    if seen is None:
        assert not [process for process in marked(world) if process.session == process.pid]
    await world.works(SLEEP)
    async with asyncio.timeout(5):
        while any(process.name != "sleep" for process in marked(world)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert len(marked(world)) == 1
    seen = await world.seen()
    assert [process.pid for process in marked(world)] == [seen.pid]
    await world.works(terminate(seen))
    assert not marked(world)


def _spawn_and_wait(settings):
    """In a process of its own: a daemon that starts the program."""
    from reconciler.adapters.linux import LinuxHost
    from reconciler.adapters.programs import Programs

    async def spawn():
        programs = Programs(settings)
        host = LinuxHost(settings, programs, lambda owner: {})
        await programs.find()
        (settings.run / "about-to-spawn").write_text("now\n")
        await host.perform(SLEEP, WEB)
        await asyncio.sleep(60)

    asyncio.new_event_loop().run_until_complete(spawn())


# --- ended ---------------------------------------------------------------------------------


async def test_program_that_ignores_sigterm_is_killed_after_its_grace(world, tmp_path):
    await world.works(sh(f"trap '' TERM; echo up > {tmp_path}/up; while :; do sleep 600; done"))
    await said(tmp_path / "up")
    seen = await world.seen()
    outcome = await world.works(terminate(seen, grace=0.3))
    assert "SIGKILL" in outcome.output
    assert 0.3 <= outcome.seconds < 2
    assert not marked(world)


async def test_program_is_given_its_own_signal(world, tmp_path):
    bye = f"trap 'echo bye > {tmp_path}/bye; exit 0' INT"
    await world.works(sh(f"{bye}; echo up > {tmp_path}/up; while :; do sleep 0.05; done"))
    await said(tmp_path / "up")
    outcome = await world.works(terminate(await world.seen(), signal="INT", grace=5))
    assert (tmp_path / "bye").exists()
    assert "SIGKILL" not in outcome.output


FAMILIES = [
    pytest.param("sleep 601 & sleep 602 & echo $! > {up}; wait", id="children"),
    pytest.param("setsid sleep 601 & echo $! > {up}; wait", id="a child in its own session"),
    pytest.param("(trap '' TERM; sleep 601; sleep 602) & echo $! > {up}; wait", id="a stubborn child"),
    pytest.param(
        "setsid sh -c 'sleep 601 & echo $! > {up}' ; wait; sleep 600", id="an orphaned grandchild"
    ),
]


@pytest.mark.parametrize("text", FAMILIES)
async def test_all_it_started_ends_with_it(world, tmp_path, text):
    await world.works(sh(text.format(up=tmp_path / "up")))
    child = int((await said(tmp_path / "up"))[0])
    await world.works(terminate(await world.seen(), grace=0.3))
    await ended([child])
    assert not marked(world)
    assert await world.seen() is None


@pytest.mark.parametrize("restarted", [False, True], ids=["same daemon", "next daemon"])
@pytest.mark.parametrize("text", ["sleep 601 & echo $! > {up}", "setsid sleep 601 & echo $! > {up}"])
async def test_program_that_forks_away_is_down_with_leftovers(world, tmp_path, text, restarted):
    await world.works(sh(text.format(up=tmp_path / "up")))
    child = int((await said(tmp_path / "up"))[0])
    await world.until(lambda seen: not seen.running)
    if restarted:
        await world.programs.close()
        world.begin()
    seen = await world.seen()
    assert (seen.running, seen.leftovers) == (False, 1)
    refused = await world.do(SLEEP)
    assert "1 processes of an earlier start still run" in refused.error
    outcome = await world.works(terminate(seen))
    assert str(child) in outcome.output
    await ended([child])
    await world.works(SLEEP)


async def test_what_a_trigger_left_running_is_not_the_programs(world):
    """Else it would stand in the way of every start."""
    await world.works(sh("exit 1"))
    await world.until(lambda seen: not seen.running)
    await world.works(Exec(("sleep 600 & echo $!",), shell=True))
    assert (await world.seen()).leftovers == 0
    await world.works(SLEEP)
    await world.works(terminate(await world.seen()))
    assert [process.name for process in marked(world)] == ["sleep"]


async def test_terminating_an_earlier_start_leaves_the_later_one(world):
    await world.works(SLEEP)
    first = await world.seen()
    await world.works(terminate(first))
    await world.works(SLEEP)
    second = await world.seen()
    outcome = await world.works(terminate(first))
    assert f"pid {second.pid} was started later" in outcome.output
    assert (await world.seen()).running


async def test_strangers_are_never_ended(world):
    """A plan may be older than the pid in it."""
    process = proc.read(os.getpid())
    await world.works(Terminate(process.pid, process.start_time + 1, grace=0.1))
    bystander = await asyncio.create_subprocess_exec("sleep", "60", start_new_session=True)
    try:
        await world.works(Terminate(bystander.pid, 1, grace=0.1))
        assert proc.read(bystander.pid).alive
    finally:
        bystander.kill()
        await bystander.wait()


async def test_survivor_of_sigkill_keeps_the_record_and_is_named(world, monkeypatch):
    """A process in state D cannot be made here, so SIGKILL is made not to arrive."""
    await world.works(SLEEP)
    seen = await world.seen()
    monkeypatch.setattr("reconciler.adapters.ending.KILL_WITHIN", 0.2)
    with monkeypatch.context() as patch:
        patch.setattr(signal, "pidfd_send_signal", lambda *_: None)
        patch.setattr("reconciler.adapters.cgroups.kill", lambda group: None)
        patch.setattr(os, "killpg", lambda *_: None)
        outcome = await world.do(terminate(seen, grace=0.1))
    assert not outcome.ok
    assert f"not even SIGKILL ends {seen.pid} (sleep)" in outcome.error
    assert (await world.seen()).running
    assert Path(world.settings.run / "programs" / "root" / "svc1" / "app#web").exists()
    await world.works(terminate(await world.seen()))


async def test_processes_that_replace_themselves_do_not_outrun_their_end(world, tmp_path):
    text = f"trap '' TERM; f() {{ sleep 0.002; f & }}; f; f; f; echo up > {tmp_path}/up; sleep 600"
    await world.works(sh(text))
    await said(tmp_path / "up")
    await world.works(terminate(await world.seen(), grace=0.1))
    assert not marked(world)


async def test_many_programs(world):
    owners = [Owner("root/many", f"app#{number}") for number in range(20)]
    await asyncio.gather(*(world.works(SLEEP, owner) for owner in owners))
    subjects = [Subject(Program(), owner) for owner in owners]
    world.programs.desk = world.desk
    await world.programs.look(subjects)
    assert len({world.desk.answers[subject].pid for subject in subjects}) == 20
    seen = {owner: world.desk.answers[Subject(Program(), owner)] for owner in owners}
    await asyncio.gather(*(world.works(terminate(seen[owner]), owner) for owner in owners))
    assert not marked(world)
