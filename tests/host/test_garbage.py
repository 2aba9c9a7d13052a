"""While many services come in, what lives is put aside from the collector; what is dropped is freed."""

import asyncio
import gc
import weakref

import pytest

from reconciler.adapters import garbage


class Thing:
    pass


@pytest.fixture
def thawed(monkeypatch):
    monkeypatch.setattr(garbage, "EVERY", 0.001)
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


async def watched(size, settled, within=0.05):
    task = asyncio.create_task(garbage.put_aside(size, settled))
    await asyncio.sleep(within)
    task.cancel()


async def test_a_heap_that_has_grown_is_put_aside_and_still_freed(thawed):
    thing, before = Thing(), gc.get_freeze_count()
    await watched(lambda: 1000, lambda: True)
    assert gc.get_freeze_count() > before
    gone = weakref.ref(thing)
    del thing
    assert gone() is None


async def test_a_few_services_more_put_nothing_aside(thawed):
    before = gc.get_freeze_count()
    await watched(lambda: garbage.MANY - 1, lambda: True)
    assert gc.get_freeze_count() == before


async def test_once_it_has_settled_no_more_is_put_aside(thawed):
    task = asyncio.create_task(garbage.put_aside(lambda: 1000, lambda: True))
    await asyncio.sleep(0.05)
    count, thing = gc.get_freeze_count(), Thing()
    await asyncio.sleep(0.05)
    task.cancel()
    assert gc.get_freeze_count() <= count
    assert gc.is_tracked(thing)
