"""Stores that the contract is tested on."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from reconciler.adapters.store_memory import MemoryStore
from reconciler.adapters.store_sqlite import SqliteStore
from reconciler.contracts import Store

Make = Callable[..., Awaitable[Store]]


@pytest.fixture(params=["memory", "sqlite"])
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes a fresh store; `kept` is how many changes a watch may lie behind."""
    made: list[Store] = []

    async def one(kept: int = 1000) -> Store:
        store: Store = (
            MemoryStore(kept)
            if request.param == "memory"
            else (await SqliteStore.open(tmp_path / f"{len(made)}.db", kept)).store
        )
        made.append(store)
        return store

    yield one
    for store in made:
        await store.close()


@pytest.fixture
async def store(make: Make) -> Store:
    return await make()
