"""The daemon is killed at any moment: programs go on, the next one goes on where it was, and converges."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.jobs import Job, Jobs
from reconciler.model import Outcome
from reconciler.operations import Operation
from tests import kernel
from tests.outcomes.bed import Agent, Bed, document
from tests.whole import stacks

pytestmark = kernel.needs_root

CRASHES = int(os.environ.get("STANDFAST_CRASHES", "10"))
"""How many times at random; 50 in a long run."""
SURVIVED = 0


# --- a daemon that dies ----------------------------------------------------------------------


def doomed(bed: Bed, number: int, body: Callable[[Agent], Coroutine[Any, Any, None]]) -> int:
    """Run `body` with an agent in a process of its own that is killed by SIGKILL right after its
    operation of that number, before anybody hears of its end. Returns the wait status.

    What it did is in `diary`: each operation, and the end of each job.
    """
    bed.root.joinpath("diary").write_text("")
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            _dies_after(bed.root / "diary", number)
            asyncio.run(_live(bed, body))
            status = SURVIVED
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]


async def _live(bed: Bed, body: Callable[[Agent], Coroutine[Any, Any, None]]) -> None:
    async with bed.agent(bystander=False) as agent:
        await body(agent)


def _dies_after(diary: Path, number: int) -> None:
    """From now on, in this process."""
    perform, run = Jobs._perform, Jobs._run
    done = 0

    def write(*words: str) -> None:
        with open(diary, "a") as file:
            file.write(json.dumps(words) + "\n")

    async def performed(self: Jobs, job: Job, operation: Operation, left: float) -> Outcome:
        nonlocal done
        outcome = await perform(self, job, operation, left)
        write("did", job.owner.rid, str(operation))
        done += 1
        if done == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return outcome

    async def ran(self: Jobs, job: Job) -> None:
        await run(self, job)
        write("ended", job.owner.rid)

    Jobs._perform, Jobs._run = performed, ran  # type: ignore[method-assign]  # only in the child


def diary(bed: Bed) -> tuple[list[tuple[str, str]], set[tuple[str, str]]]:
    """What was done in all, and what of it belongs to jobs that had come to their end."""
    done: list[tuple[str, str]] = []
    finished: set[tuple[str, str]] = set()
    for line in (bed.root / "diary").read_text().splitlines():
        word, rid, *text = json.loads(line)
        if word == "did":
            done.append((rid, *text))
        else:
            finished |= {one for one in done if one[0] == rid}
    return done, finished


def next_daemon(bed: Bed, body: Callable[[Agent], Coroutine[Any, Any, None]]) -> list[tuple[str, str]]:
    """Another one comes, and does what is left; its operations."""

    async def lives() -> list[tuple[str, str]]:
        async with bed.agent(bystander=False) as agent:
            await body(agent)
            return [(e.rid, e.text) for e in agent.events if e.kind == "operation"]

    return asyncio.run(lives())


async def up(agent: Agent) -> None:
    await agent.up("svc")
    left = await agent.running.agent.plan("root/svc")
    assert (left["now"], left["then"]) == ([], [])


async def stop(agent: Agent) -> None:
    await agent.stopped("svc")


async def stopped(agent: Agent) -> None:
    await agent.until(
        lambda: agent.is_ready("svc") and agent.condition("svc", "Ready")["reason"] == "Stopped"
    )


def nothing_is_left(bed: Bed) -> None:
    assert (bed.mounts(), bed.loops(), bed.programs()) == ([], [], [])
    assert bed.addresses() == ["10.83.0.1/24"]
    assert "10.99.0.0/16" not in bed.run("ip route")


def all_is_up(bed: Bed) -> None:
    assert len(bed.mounts()) == 3
    assert "10.83.0.10/24" in bed.addresses()
    assert "10.99.0.0/16" in bed.run("ip route")
    assert len(bed.programs("svc", "app#3")) == 1


# --- after each operation --------------------------------------------------------------------


def test_killed_after_each_operation_of_a_start(bed):
    """What was finished is not done again, no program is started twice, no filesystem made twice."""
    bed.write("svc", stacks.whole(bed))
    number, total = 0, None
    while total is None:
        number += 1
        if doomed(bed, number, up) == SURVIVED:
            total = number - 1
        before, finished = diary(bed)
        programs = bed.programs("svc", "app#3")
        after = next_daemon(bed, up)
        told = f"killed after operation {number}: {before}\nthen {after}"
        assert finished & set(after) == set(), told
        assert sum("mkfs" in text for _, text in (*before, *after)) <= 1, told
        all_is_up(bed)
        assert set(programs) <= set(bed.programs("svc", "app#3")), told
        next_daemon(bed, stop)
        nothing_is_left(bed)
        _forget(bed)
    assert total > 20


def test_killed_after_each_operation_of_a_stop(bed):
    """The next daemon knows what was asked, and finishes it."""
    bed.write("svc", stacks.whole(bed))
    number, total = 0, None
    while total is None:
        number += 1
        next_daemon(bed, up)
        if doomed(bed, number, stop) == SURVIVED:
            total = number - 1
        before, finished = diary(bed)
        after = next_daemon(bed, stopped)
        told = f"killed after operation {number}: {before}\nthen {after}"
        assert finished & set(after) == set(), told
        nothing_is_left(bed)
        next_daemon(bed, clear)
    assert total > 8


async def clear(agent: Agent) -> None:
    await agent.ask("svc", "clear")
    await agent.running.stirred()


def _forget(bed: Bed) -> None:
    """As if nothing had ever been here."""
    shutil.rmtree(bed.state)
    shutil.rmtree(bed.run_dir)
    (bed.root / "disk.img").unlink()


# --- at random times -------------------------------------------------------------------------


@pytest.mark.parametrize("batch", range(2))
def test_killed_at_random_times(bed, batch):
    """The real command, while its document is started and stopped; in the end it is as wanted."""
    seed = int(os.environ.get("STANDFAST_SEED", random.randrange(1 << 32)))
    print(f"STANDFAST_SEED={seed}")  # shown when it fails
    dice = random.Random(seed + batch)
    resources = stacks.whole(bed)
    bed.write("svc", resources)
    next_daemon(bed, up)
    programs = bed.programs("svc", "app#3")
    for number in range(-(-CRASHES // 2)):
        with bed.process("--look-every", "1") as daemon:
            if number % 2:
                # Nothing is asked of it: whenever it dies, what runs goes on.
                time.sleep(dice.uniform(0.2, 1.2))
                daemon.kill()
                assert bed.programs("svc", "app#3") == programs
            else:
                wait_for_socket(bed, daemon)
                for state in ("stopped", "started"):
                    bed.put("svc.yaml", document("svc", resources, state=state))
                    time.sleep(dice.uniform(0.02, 0.5))
        if not number % 2:
            next_daemon(bed, up)
            all_is_up(bed)
            programs = bed.programs("svc", "app#3")
    next_daemon(bed, stop)
    nothing_is_left(bed)


def test_killed_with_many_documents(bed):
    """Those are read in a process of its own: it must not outlive the daemon, nor keep the next one out."""
    for number in range(20):
        bed.write(f"s{number}", {"fs#0": {"type": "flag"}})
    with bed.process() as daemon:
        until(lambda: children_of(daemon.pid))
        children = children_of(daemon.pid)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))
    next_daemon(bed, lambda agent: agent.up("s19"))


def children_of(pid: int) -> list[str]:
    """Of all its threads."""
    found: list[str] = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread ended
            found += listed.read_text().split()
    return found


def until(condition: Callable[[], Any]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("not within 10 s")


def wait_for_socket(bed: Bed, daemon: Any) -> None:
    """Until it answers."""
    path = bed.settings().socket
    path.unlink(missing_ok=True)
    until(lambda: path.exists() or daemon.poll() is not None)
    assert daemon.poll() is None, (bed.root / "agent.log").read_text()
