"""Questions that hang: they cost their own answer, at their time limit, and no other."""

import asyncio
import ctypes
import os
import threading
import time

import pytest

from reconciler.adapters.facts import workers as module
from reconciler.adapters.facts.health import HealthSource
from reconciler.adapters.facts.workers import Workers
from reconciler.asks import Failed, MountHealth
from tests.facts.conftest import A, B, root, sh


class Kernel:
    """A look that hangs for the names in `hung` until `release` is set."""

    def __init__(self, *hung):
        self.hung, self.release, self.asked = set(hung), threading.Event(), []

    def look(self, item):
        self.asked.append(item)
        if item in self.hung:
            self.release.wait(20)
        if item == "bad":
            raise PermissionError(13, "Permission denied")
        return f"seen {item}"


@pytest.fixture
def made():
    kernels = []

    def make(*hung):
        kernels.append(Kernel(*hung))
        return kernels[-1]

    yield make
    for kernel in kernels:
        kernel.release.set()


async def run(workers, items, kernel, limit=0.3):
    answers, at, began = {}, {}, time.monotonic()

    def report(some):
        answers.update(some)
        at.update(dict.fromkeys(some, time.monotonic() - began))

    async with asyncio.timeout(10):
        await workers.run(items, kernel.look, lambda _: limit, report)
    return answers, at


async def test_all_are_answered_and_an_exception_is_an_answer(made):
    items = [str(number) for number in range(1000)] + ["bad"]
    answers, _ = await run(Workers(4, print), items, made())
    assert answers["bad"] == Failed("Permission denied")
    assert len(answers) == 1001


async def test_a_hung_one_delays_no_other_and_fails_at_its_limit(made):
    answers, at = await run(Workers(4, print), ["h", *"abc"], made("h"), limit=0.8)
    assert answers == {"a": "seen a", "b": "seen b", "c": "seen c", "h": answers["h"]}
    assert answers["h"].why.endswith("did not answer within 0.8 s")
    assert max(at[name] for name in "abc") < 0.5


async def test_while_it_hangs_it_is_not_asked_again_and_once_it_returns_it_is(made):
    late, kernel = asyncio.Event(), made("h")
    workers = Workers(4, lambda items: late.set())
    await run(workers, ["h"], kernel)
    for _ in range(5):
        answers, at = await run(workers, ["h", "a"], kernel)
        assert isinstance(answers["h"], Failed)
        assert at["h"] < 0.2
    assert kernel.asked.count("h") == 1
    kernel.release.set()
    async with asyncio.timeout(2):
        await late.wait()
    answers, _ = await run(workers, ["h"], kernel)
    assert answers == {"h": "seen h"}


async def test_more_hanging_than_there_are_threads_still_ends_in_time(made):
    names = [f"h{number}" for number in range(20)]
    answers, at = await run(Workers(3, print), [*names, "a"], made(*names), limit=0.5)
    assert all(isinstance(answers[name], Failed) for name in names)
    assert max(at.values()) < 3


async def test_what_shares_a_domain_with_a_hung_one_costs_no_thread(made):
    kernel = made("/nfs/a")
    again: asyncio.Queue[set[str]] = asyncio.Queue()
    workers = Workers(4, again.put_nowait, domain=lambda path: path[:4])
    await run(workers, ["/nfs/a"], kernel)
    answers, _ = await run(workers, ["/nfs/b", "/tmp/c"], kernel)
    assert answers["/tmp/c"] == "seen /tmp/c"
    assert isinstance(answers["/nfs/b"], Failed)
    assert "/nfs/b" not in kernel.asked
    kernel.release.set()
    async with asyncio.timeout(2):
        assert await again.get() == {"/nfs/a", "/nfs/b"}


async def test_threads_that_are_idle_go(made, monkeypatch):
    monkeypatch.setattr(module, "SPARE", 0.05)
    workers = Workers(4, print)
    await run(workers, ["a"], made())
    async with asyncio.timeout(5):
        while workers._threads:  # noqa: ASYNC110  # threads have no event to wait for
            await asyncio.sleep(0.02)
    answers, _ = await run(workers, ["b"], made())
    assert answers == {"b": "seen b"}


async def test_a_hung_mount_is_failed_the_others_answer_and_it_recovers(bench, made):
    kernel = made("/dead")

    def look(ask):
        kernel.look(ask.target)
        return ""

    dead, well = MountHealth("/dead", timeout=0.5), MountHealth("/well")
    async with bench({"health": HealthSource(3600, look)}) as b:
        b.hub.follow(A, [dead])
        asked = asyncio.create_task(b.get(dead, A))
        assert await b.get(well, B) == ""
        assert not asked.done()
        assert await asked == Failed("/dead did not answer within 0.5 s")
        kernel.release.set()
        assert await b.until(dead, lambda answer: answer == "") == ""


@pytest.mark.root
@root[1]
async def test_a_real_mount_that_hangs(bench, tmp_path):
    """A fuse mount whose server never answers: statfs waits for ever."""
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    target = str(tmp_path)
    if libc.mount(b"hung", target.encode(), b"fuse", 0, options):
        os.close(device)
        pytest.skip(f"no fuse here: {os.strerror(ctypes.get_errno())}")
    try:
        async with bench({"health": HealthSource(3600)}) as b:
            ask = MountHealth(target, timeout=0.4)
            assert await b.get(ask) == Failed(f"{target} did not answer within 0.4 s")
            assert await b.get(MountHealth("/"), B) == ""
    finally:
        os.close(device)  # the server is gone: all that waits for it returns
        sh(f"umount -l {target}")
