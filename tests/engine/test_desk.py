"""A store that fails in any way costs durability, which is said, and never makes anybody hang."""

import asyncio
from dataclasses import replace

import pytest

from reconciler.adapters.store_memory import MemoryStore
from reconciler.decide.asked import NOBODY
from reconciler.engine.desk import Desk
from reconciler.errors import MayHeal
from reconciler.model import Common, Owner, Resource, Trigger
from tests.engine.rig import Clock


class Failing(MemoryStore):
    """Raises what it is told to."""

    fault: Exception | None = None

    async def commit(self, compare, puts, deletes=()):
        if self.fault:
            raise self.fault
        return await super().commit(compare, puts, deletes)


@pytest.mark.parametrize("fault", [MayHeal("no space left"), RuntimeError("a bug")], ids=["full", "a bug"])
async def test_a_store_that_fails_is_waited_for_no_longer_than_one_try(fault, monkeypatch):
    monkeypatch.setattr("reconciler.engine.desk.RETRY", 0.01)
    store = Failing()
    desk = Desk(store, "n1", "boot", Clock(), lambda key: None)
    await desk.start()
    store.fault = fault
    async with asyncio.timeout(2):
        desk.remember(Owner("root/a", "fs#0"), "started", "1")
        await desk.durable()
        assert str(fault) in desk.failing
        store.fault = None
        desk.remember(Owner("root/a", "fs#0"), "started", "2")
        await desk.durable()
        assert not desk.failing
    assert (await store.read("nodes/n1/memory/")).entries
    await desk.close()


async def test_every_service_is_told_when_the_store_fails_and_when_it_heals(monkeypatch):
    """Its condition says so; the next periodic pass would be up to 30 s late."""
    monkeypatch.setattr("reconciler.engine.desk.RETRY", 0.01)
    store, told = Failing(), []
    desk = Desk(store, "n1", "boot", Clock(), told.append)
    await desk.start()
    async with asyncio.timeout(2):
        for key in ("root/a", "root/b"):
            desk.put_document(key, {"path": key})
        await desk.durable()
        assert told == []
        store.fault = MayHeal("no space left")
        desk.remember(Owner("root/a", "fs#0"), "started", "1")
        await desk.durable()
        await desk.durable()
        assert sorted(told) == ["root/a", "root/b"]
        told.clear()
        store.fault = None
        desk.remember(Owner("root/a", "fs#0"), "started", "2")
        await desk.durable()
        assert sorted(told) == ["root/a", "root/b"]
    await desk.close()


APP = Resource(
    "app#0",
    "app.simple",
    {"start": "/bin/x", "limits": ("a", "b")},
    Common(restart=1, tags=frozenset({"t"}), triggers=(Trigger("pre", "start", "x"),)),
    frozenset({"fs#0"}),
)


async def test_the_next_desk_has_what_was_put_and_puts_it_on():
    """What nobody asked for stays as the store has it; a change of one part keeps the others."""
    store = MemoryStore()
    for rid in ("app#0", "app#1"):
        desk = Desk(store, "n1", "boot", Clock(), lambda key: None)
        await desk.start()
        desk.put_applied("root/a", rid, replace(APP, rid=rid))
        desk.put_document("root/a", {"path": rid})
        await desk.close()
    last = Desk(store, "n1", "boot", Clock(), lambda key: None)
    await last.start()
    assert last.applied("root/a") == {"app#0": APP, "app#1": replace(APP, rid="app#1")}
    assert last.document("root/a") == {"path": "app#1"}
    assert last.documents() == {"root/a": {"path": "app#1"}}
    assert last.document("root/b") is None
    last.forget("root/a")
    assert not last.applied("root/a")
    await last.close()
    assert not (await store.read("nodes/n1/")).entries


@pytest.mark.parametrize(
    ("written_before", "waits"),
    [
        pytest.param(False, True, id="what went just now must be on disk before its successor starts"),
        pytest.param(True, False, id="what went long ago is written: a start waits for no disk"),
    ],
)
async def test_a_start_waits_for_the_disk_only_while_what_went_is_not_written(written_before, waits):
    store, old = Counting(), Resource("fs#0", "fs.flag", {"path": "/a"})
    desk = Desk(store, "n1", "boot", Clock(), lambda key: None)
    await desk.start()
    desk.put_applied("root/a", "fs#0", old)
    await desk.durable()
    desk.put_applied("root/a", "fs#0", None)
    if written_before:
        await desk.durable()
    desk.put_asked("root/a", NOBODY)  # something else of the service is written meanwhile, too
    desk.put_applied("root/a", "fs#0", replace(old, spec={"path": "/b"}))
    commits = store.commits
    await desk.start_durable("root/a")
    assert (store.commits > commits) is waits
    await desk.close()


class Counting(MemoryStore):
    commits = 0

    async def commit(self, compare, puts, deletes=()):
        self.commits += 1
        return await super().commit(compare, puts, deletes)
