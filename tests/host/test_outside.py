"""Blocking calls outside the loop: their threads, and one that hangs."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from reconciler import operations as op
from reconciler.adapters.outside import Outside
from reconciler.errors import MayHeal
from reconciler.model import Owner


async def test_calls_one_after_another_share_a_thread():
    outside = Outside()
    threads = [await outside.run("thing", threading.get_ident, 5.0) for _ in range(20)]
    assert len(set(threads)) < 5  # a call may come before the last thread is done with its own


async def test_calls_at_once_have_a_thread_each():
    outside, together = Outside(), threading.Barrier(5)
    calls = (outside.run(f"thing {n}", lambda: together.wait(5), 5.0) for n in range(5))
    assert sorted(await asyncio.gather(*calls)) == [0, 1, 2, 3, 4]


async def test_one_that_hangs_delays_no_other_and_is_not_tried_again():
    outside, release = Outside(), threading.Event()
    try:
        with pytest.raises(MayHeal, match="no answer from the kernel about /dead within"):
            await outside.run("/dead", lambda: release.wait(10), 0.1)
        assert await outside.run("/alive", lambda: "here", 5.0) == "here"
        with pytest.raises(MayHeal, match="an earlier call about /dead has not returned"):
            await outside.run("/dead", lambda: None, 0.1)
    finally:
        release.set()
    assert await outside.run("/dead", lambda: "back", 5.0) == "back"


async def test_what_a_call_raises_comes_back():
    def fails() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        await Outside().run("thing", fails, 5.0)


async def test_a_thread_without_work_ends(monkeypatch):
    monkeypatch.setattr("reconciler.adapters.outside.SPARE", 0.05)
    outside = Outside()
    task = Path(f"/proc/self/task/{await outside.run('thing', threading.get_native_id, 5.0)}")
    assert task.exists()
    async with asyncio.timeout(5):
        while task.exists():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.02)
    assert await outside.run("thing", lambda: 1, 5.0) == 1


async def test_what_was_given_up_is_under_way_until_it_comes_back(world):
    """A mount that hangs in the kernel may still come about: nobody may take its resource for down."""
    release = threading.Event()

    def hang(operation: Any) -> None:
        release.wait(10)

    world.host._handlers[op.Mount] = world.host._calls(hang)
    operation = op.Mount("none", "/nowhere", "tmpfs", "", timeout=0.05)
    outcome = await world.host.perform(operation, Owner("root/web", "fs#a"))
    assert not outcome.ok
    assert world.host.under_way("root/web") == {"fs#a"}
    assert world.host.under_way("root/db") == frozenset()
    release.set()
    async with asyncio.timeout(2):
        while world.host.under_way("root/web"):  # noqa: ASYNC110  # a thread tells nobody
            await asyncio.sleep(0.005)
