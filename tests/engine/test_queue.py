"""Keys merge, never overlap, come back later; a pass that fails backs off and harms no other."""

import asyncio
import math
import time

import pytest

from reconciler.engine.queue import SLICE, KeyQueue, Pace, worker
from reconciler.errors import NeedsPerson


class Passes:
    """Records passes; each waits for `go`, so that a test can look in between."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go = asyncio.Event()
        self.go.set()
        self.faults: list[Exception] = []
        self.reports: list[tuple[str, str]] = []
        self.again_in = 1000.0

    async def __call__(self, key: str) -> float:
        self.begun.append(key)
        await self.go.wait()
        if self.faults:
            raise self.faults.pop(0)
        return self.again_in

    def report(self, key: str, fault: Exception) -> None:
        self.reports.append((key, str(fault)))


@pytest.fixture
async def rig():
    queue, passes = KeyQueue(), Passes()
    workers = [asyncio.create_task(worker(queue, passes, passes.report, 0.02, 0.05)) for _ in range(2)]
    yield queue, passes
    for task in workers:
        task.cancel()
    queue.close()


async def until(true) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110  # a queue tells nobody that it is empty
            await asyncio.sleep(0)


async def test_equal_keys_merge(rig):
    queue, passes = rig
    for _ in range(5):
        queue.add("a")
    await until(queue.idle)
    assert passes.begun == ["a"]


async def test_a_key_added_during_its_pass_gets_one_more_and_never_two_at_once(rig):
    queue, passes = rig
    passes.go.clear()
    queue.add("a")
    await until(lambda: passes.begun == ["a"])
    queue.add("a")
    queue.add("a")
    for _ in range(20):
        await asyncio.sleep(0)
    assert passes.begun == ["a"]
    passes.go.set()
    await until(queue.idle)
    assert passes.begun == ["a", "a"]


async def test_another_key_goes_on_beside_one_that_hangs(rig):
    queue, passes = rig
    passes.go.clear()
    queue.add("a")
    queue.add("b")
    await until(lambda: passes.begun == ["a", "b"])
    passes.go.set()


async def test_a_key_comes_back_after_its_time(rig):
    queue, passes = rig
    passes.again_in = 0.01
    queue.add("a")
    await until(lambda: len(passes.begun) >= 3)


@pytest.mark.parametrize("fault", [RuntimeError("a bug"), NeedsPerson("fix it")], ids=["bug", "person"])
async def test_a_failed_pass_is_reported_and_tried_again(rig, fault):
    queue, passes = rig
    passes.faults = [fault]
    queue.add("a")
    await until(lambda: len(passes.begun) >= 2)
    assert passes.reports == [("a", str(fault))]


async def test_passes_that_never_wait_leave_the_loop_to_others():
    """A thousand services looked at again must not keep an event from being heard."""
    queue, turns = KeyQueue(), 0

    async def busy(key: str) -> float:
        end = time.perf_counter() + 0.002
        while time.perf_counter() < end:
            pass
        return 1000.0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    pace = Pace()
    tasks = [asyncio.create_task(worker(queue, busy, lambda *_: None, 1.0, 1.0, pace)) for _ in range(16)]
    tasks.append(asyncio.create_task(others()))
    await asyncio.sleep(0)
    for number in range(100):
        queue.add(str(number))
    turns = 0
    await until(queue.idle)
    for task in tasks:
        task.cancel()
    queue.close()
    assert turns > 100 * 0.002 / SLICE / 4


async def test_a_key_that_is_gone_is_not_looked_at_again(rig):
    queue, passes = rig
    passes.again_in = math.inf
    queue.add("a")
    await until(queue.idle)
    await asyncio.sleep(0.03)
    assert passes.begun == ["a"]
    queue.add("a")
    await until(lambda: passes.begun == ["a", "a"])


async def test_failures_are_counted_whoever_made_the_pass(rig):
    queue, passes = rig
    passes.faults = [RuntimeError("a bug")] * 5
    queue.add("a")
    await until(lambda: len(passes.reports) == 3)
    assert queue.failures == {"a": 3}
