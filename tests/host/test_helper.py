"""Calls in a process beside us: what comes back, and how it ends."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

from reconciler.adapters import helper
from reconciler.adapters.helper import Helper


@pytest.fixture
def beside():
    made = Helper()
    yield made
    made.shutdown()


async def elsewhere(beside) -> int:
    """Call until the helper has begun; its pid."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        while (pid := await loop.run_in_executor(beside, os.getpid)) == os.getpid():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)
    return pid


def gone(pid: int, within: float = 5.0) -> bool:
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


async def test_a_call_is_answered_from_the_first_one_on(beside):
    assert await asyncio.get_running_loop().run_in_executor(beside, int, "42") == 42


async def test_calls_go_to_a_process_of_their_own(beside):
    assert await elsewhere(beside) == await elsewhere(beside)


async def test_what_a_call_raises_or_prints_harms_nobody(beside):
    await elsewhere(beside)
    loop = asyncio.get_running_loop()
    with pytest.raises(ValueError, match="invalid literal"):
        await loop.run_in_executor(beside, int, "x")
    await loop.run_in_executor(beside, print, "words")
    assert await loop.run_in_executor(beside, int, "1") == 1


async def test_when_the_helper_dies_its_call_is_made_here_and_another_one_begins(beside):
    first = await elsewhere(beside)
    os.kill(first, signal.SIGKILL)
    assert gone(first)
    assert await asyncio.get_running_loop().run_in_executor(beside, int, "7") == 7
    assert await elsewhere(beside) != first


async def test_a_helper_without_work_ends(beside, monkeypatch):
    monkeypatch.setattr(helper, "SPARE", 0.1)
    pid = await elsewhere(beside)
    assert gone(pid)
    assert await asyncio.get_running_loop().run_in_executor(beside, int, "7") == 7


def test_an_agent_that_is_killed_leaves_no_helper_and_no_lock(tmp_path):
    """A helper that was forked held the agent's lock, and waited for ever for work from the dead."""
    script = f"""
import fcntl, os, time
from reconciler.adapters.helper import Helper
lock = os.open({str(tmp_path / "lock")!r}, os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
beside = Helper()
while (pid := beside.submit(os.getpid).result()) == os.getpid():
    time.sleep(0.01)
print(pid, flush=True)
time.sleep(60)
"""
    agent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert agent.stdout is not None
    with agent, agent.stdout:
        pid = int(agent.stdout.readline())
        agent.kill()
        agent.wait()
        assert gone(pid)
    flock = ["flock", "-n", str(tmp_path / "lock"), "true"]
    assert subprocess.run(flock, check=False).returncode == 0
