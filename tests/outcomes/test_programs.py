"""What happens to programs: ended, not to be run, not ending, forking away; and to what checks them."""

import os
import signal
from itertools import pairwise

from tests import kernel

pytestmark = kernel.needs_root


def simple(start: str, **more):
    return {"app#0": {"type": "simple", "start": str(start), **more}}


async def test_program_killed(bed):
    bed.write("web", simple("sleep 1000"))
    async with bed.agent() as agent:
        await agent.up("web")
        await agent.until(lambda: not agent.running.records["root/web"].started)  # it proved to stay
        (program,) = bed.programs("web")
        os.kill(program, signal.SIGKILL)
        await agent.until(lambda: bed.programs("web") not in ([], [program]), within=1)
        await agent.up("web")
        assert agent.operations("web") == ["sleep 1000 &"] * 2
        assert agent.told("web", f"process {program} was killed by signal 9")
        assert agent.resource("web", "app#0")["restarts_left"] == 2


async def test_program_missing(bed):
    bed.write("web", simple(f"{bed.root}/bin/web"))
    async with bed.agent() as agent:
        await agent.until(lambda: agent.stalled("web") == "Blocked")
        assert f"{bed.root}/bin/web does not exist" in agent.condition("web", "Stalled")["message"]
        assert agent.operations("web", ok=None) == []
        bed.script("web", "exec sleep 1000")
        await agent.up("web")


async def test_program_not_executable(bed):
    web = bed.script("web", "exec sleep 1000", mode=0o644)
    bed.write("web", simple(web))
    async with bed.agent() as agent:
        await agent.until(lambda: agent.stalled("web") == "Blocked")
        assert f"chmod +x {web}" in agent.condition("web", "Stalled")["message"]
        assert agent.operations("web", ok=None) == []
        web.chmod(0o755)
        await agent.up("web")


async def test_program_exiting_at_once(bed):
    web = bed.script("web", "exit 3")
    more = {"restart": 2, "restart_delay": "100ms"}
    bed.write("web", {"fs#a": {"type": "tmpfs", "mnt": f"{bed.root}/a"}, **simple(web, **more)})
    async with bed.agent() as agent:
        await agent.until(lambda: agent.stalled("web") == "StartFailed")
        assert "exited with code 3" in agent.condition("web", "Stalled")["message"]
        await agent.until(lambda: bed.mounts() == [])  # what the start had activated is rolled back
        starts = [e.at for e in agent.events if e.rid == "app#0" and e.kind == "operation"]
        assert len(starts) == 3  # once, and its two restarts
        first, second = (after - before for before, after in pairwise(starts))
        assert first > 0.05
        assert second > first * 1.2  # ever more slowly
        bed.script("web", "exec sleep 1000")
        await agent.ask("web", "clear")
        await agent.up("web")


async def test_program_ignoring_sigterm(bed):
    bed.write("web", simple("trap '' TERM; while :; do sleep 1; done", shell=True, stop_timeout="500ms"))
    async with bed.agent() as agent:
        await agent.up("web")
        assert bed.programs("web")
        await agent.stopped("web", within=4)
        assert bed.programs("web") == []
        assert agent.operations("web", ok=False) == []


async def test_program_forking_away(bed):
    web = bed.script("web", "sleep 1000 & exit 0")
    bed.write("web", simple(web, restart=1, restart_delay="100ms"))
    async with bed.agent() as agent:
        await agent.until(lambda: "still run: keep it in the foreground" in agent.notes("web", "app#0"))
        await agent.until(lambda: agent.stalled("web") == "StartFailed")
        await agent.until(lambda: bed.programs("web") == [])  # all it started was ended, each time
        bed.script("web", "exec sleep 1000")
        await agent.ask("web", "clear")
        await agent.up("web")
        assert len(bed.programs("web")) == 1


def forking(bed, check: str, **more):
    """Up while the file `up` is there."""
    lines = {"start": f"touch {bed.root}/up", "stop": f"rm -f {bed.root}/up", "check": check}
    return {"app#0": {"type": "forking", "shell": True, "check_interval": "200ms", **lines, **more}}


async def test_check_hanging(bed):
    check = f"test -e {bed.root}/hang && sleep 1000; test -e {bed.root}/up"
    bed.write("web", forking(bed, check, check_timeout="400ms"))
    async with bed.agent() as agent:
        await agent.up("web")
        (bed.root / "hang").touch()
        await agent.until(lambda: agent.state("web", "app#0") == "unknown")
        assert "the check did not end in time" in agent.notes("web", "app#0")
        await agent.until(lambda: agent.stalled("web") == "CannotLook")
        assert await agent.idle("web", 1) == []  # it has not said "down"
        (bed.root / "hang").unlink()
        await agent.up("web")
        assert agent.operations("web") == [f"touch {bed.root}/up"]


async def test_check_failing(bed):
    bed.write("web", forking(bed, f"test -e {bed.root}/up || exit $(cat {bed.root}/code)"))
    (bed.root / "code").write_text("1")
    async with bed.agent() as agent:
        await agent.up("web")
        done = len(agent.operations("web"))
        (bed.root / "up").unlink()  # the check says down: it is started
        await agent.until((bed.root / "up").exists)
        await agent.up("web")
        assert agent.operations("web")[done:] == [f"touch {bed.root}/up"]
        (bed.root / "code").write_text("7")
        (bed.root / "up").unlink()  # the check says something else: it is stopped, then started
        await agent.until((bed.root / "up").exists)
        await agent.up("web")
        assert agent.told("web", "the check exited with code 7")
        assert agent.operations("web")[done + 1 :] == [f"rm -f {bed.root}/up", f"touch {bed.root}/up"]


async def test_check_flapping(bed):
    count = f"echo x >> {bed.root}/count; test $(($(wc -l < {bed.root}/count) / 3 % 2)) = 0"
    bed.write("web", forking(bed, count, check_interval="50ms", restart_delay="100ms"))
    async with bed.agent() as agent:
        await agent.until(lambda: agent.told("web", "lost"))
        await agent.idle("web", 3)
        losses = [e for e in agent.events if e.reason == "Lost" and e.service == "root/web"]
        starts = [e for e in agent.events if e.kind == "operation" and e.service == "root/web"]
        assert len(losses) > 4
        assert 1 <= len(starts) <= 8  # ever more slowly: 0.1 s apart, then 0.2, 0.4, …
        assert agent.resource("web", "app#0")["restarts_left"] == 0


async def test_stop_hanging(bed):
    stop = f"test ! -e {bed.root}/hang || sleep 1000; rm -f {bed.root}/up"
    more = {"stop": stop, "stop_timeout": "500ms"}
    below = {"fs#a": {"type": "tmpfs", "mnt": f"{bed.root}/a"}}
    bed.write("web", {**below, **forking(bed, f"test -e {bed.root}/up", **more)})
    (bed.root / "hang").touch()
    async with bed.agent() as agent:
        await agent.up("web")
        await agent.ask("web", "stop")
        await agent.until(lambda: agent.stalled("web") == "StopStuck")
        message = agent.condition("web", "Stalled")["message"]
        assert "did not end within 0.5 s" in message
        assert "standfast stop --force" in message
        assert bed.mounts() == [f"{bed.root}/a"]  # nothing beneath it is touched
        (bed.root / "hang").unlink()
        await agent.ask("web", "stop", force=True)  # not to wait for the next try
        await agent.until(lambda: agent.is_ready("web"), within=2)
        assert bed.mounts() == []
