"""Stores that the contract is tested on."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from pathlib import Path

import pytest

from reconciler.adapters.store_etcd import EtcdStore
from reconciler.adapters.store_memory import MemoryStore
from reconciler.adapters.store_sqlite import SqliteStore
from reconciler.contracts import Store
from tests.etcd.bed import Bed, needs_etcd

Make = Callable[..., Awaitable[Store]]
KEPT = 1000


class Compacted(EtcdStore):
    """As if its agents compacted after every commit."""

    async def commit(
        self, compare: Mapping[str, int], puts: Mapping[str, str], deletes: Collection[str] = ()
    ) -> int | None:
        made = await super().commit(compare, puts, deletes)
        await self.compact_if_due()
        return made


@pytest.fixture(scope="session")
def etcd() -> Iterator[Bed]:
    """Three members for all tests of the contract; each test has a prefix of its own."""
    with Bed(3) as bed:
        bed.start()
        yield bed


@pytest.fixture(params=["memory", "sqlite", pytest.param("etcd", marks=needs_etcd)])
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes a fresh store; `kept` is how many changes a watch may lie behind."""
    made: list[Store] = []
    with contextlib.ExitStack() as stack:

        async def one(kept: int = KEPT) -> Store:
            store: Store
            if request.param == "memory":
                store = MemoryStore(kept)
            elif request.param == "sqlite":
                store = (await SqliteStore.open(tmp_path / f"{len(made)}.db", kept)).store
            elif kept == KEPT:
                bed = request.getfixturevalue("etcd")
                stack.enter_context(bed.inside())
                store = EtcdStore(bed.settings(f"{tmp_path.name}-{len(made)}/"))
            else:
                bed = stack.enter_context(Bed())
                bed.start()
                stack.enter_context(bed.inside())
                store = Compacted(bed.settings(kept=kept))
            made.append(store)
            return store

        yield one
        for store in made:
            await store.close()


@pytest.fixture
async def store(make: Make) -> Store:
    return await make()
