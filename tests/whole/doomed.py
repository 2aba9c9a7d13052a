"""A daemon that is killed right after its n-th operation, and the one that comes after it."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from reconciler.engine.jobs import Job, Jobs
from reconciler.model import Outcome
from reconciler.operations import Operation
from tests.outcomes.bed import Agent, Bed

SURVIVED = 0


def doomed(bed: Bed, number: int, body: Callable[[Agent], Coroutine[Any, Any, None]]) -> int:
    """Run `body` with an agent in a process of its own that is killed by SIGKILL right after its
    operation of that number, before anybody hears of its end. Returns how it ended.

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
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert ended in (SURVIVED, -signal.SIGKILL), f"the agent itself failed, with {ended}"
    return ended


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


def next_daemon(bed: Bed, body: Callable[[Agent], Coroutine[Any, Any, None]]) -> None:
    """Another one comes, and does what is left."""
    asyncio.run(_live(bed, body))


def operations(agent: Agent) -> list[tuple[str, str]]:
    return [(e.rid, e.text) for e in agent.events if e.kind == "operation"]


async def up(agent: Agent) -> None:
    await agent.up("svc")
    left = await agent.running.agent.plan("root/svc")
    assert (left["now"], left["then"]) == ([], []), f"{left}\n{agent.report()}"


async def stop(agent: Agent) -> None:
    await agent.stopped("svc")


async def stopped(agent: Agent) -> None:
    await agent.until(
        lambda: agent.is_ready("svc") and agent.condition("svc", "Ready")["reason"] == "Stopped"
    )


def nothing_is_left(bed: Bed) -> None:
    end = time.monotonic() + 3
    while bed.programs() and time.monotonic() < end:
        time.sleep(0.01)  # a check that was under way when its daemon ended is no program of the service
    left = (bed.mounts(), bed.loops(), bed.programs())
    assert left == ([], [], []), f"{left}\n{bed.run('ps -eo pid,ppid,stat,args | tail -40')}"
    assert bed.addresses() == ["10.83.0.1/24"]
    assert "10.99.0.0/16" not in bed.run("ip route")


def all_is_up(bed: Bed) -> None:
    assert len(bed.mounts()) == 3
    assert "10.83.0.10/24" in bed.addresses()
    assert "10.99.0.0/16" in bed.run("ip route")
    assert len(bed.programs("svc", "app#3")) == 1
