"""What every store promises, whatever keeps it."""

import asyncio

import pytest

from reconciler.contracts import Change, Entry, Store
from reconciler.errors import MayHeal
from tests.store.conftest import Make


async def take(store: Store, revision: int, count: int) -> list[Change]:
    found: list[Change] = []
    async for change in store.watch(revision):
        found.append(change)
        if len(found) == count:
            break
    return found


async def held(store: Store, prefix: str = "") -> dict[str, str]:
    return {key: entry.value for key, entry in (await store.read(prefix)).entries.items()}


async def test_a_fresh_store_is_empty(store: Store) -> None:
    assert (await store.read("")).entries == {}


async def test_what_was_committed_is_read_with_its_revision(store: Store) -> None:
    revision = await store.commit({}, {"a/1": "x", "a/2": "y"})
    assert revision is not None
    assert (await store.read("a/")).entries == {"a/1": Entry("x", revision), "a/2": Entry("y", revision)}


@pytest.mark.parametrize(
    ("prefix", "keys"),
    [
        pytest.param("", ["a", "a/1", "a/2", "ab", "é/😀"], id="the empty prefix reads all"),
        pytest.param("a/", ["a/1", "a/2"], id="a prefix ends at its slash"),
        pytest.param("a", ["a", "a/1", "a/2", "ab"], id="a prefix is text, not a folder"),
        pytest.param("b", [], id="a prefix nobody has"),
        pytest.param("é", ["é/😀"], id="beyond ASCII"),
    ],
)
async def test_reads_by_prefix(store: Store, prefix: str, keys: list[str]) -> None:
    await store.commit({}, dict.fromkeys(["ab", "a", "a/2", "é/😀", "a/1"], "x"))
    assert list((await store.read(prefix)).entries) == keys


async def test_revisions_only_rise(store: Store) -> None:
    seen = [await store.commit({}, {"k": str(n)}) for n in range(5)]
    seen.append(await store.commit({}, {}, ["k"]))
    assert seen == sorted({r for r in seen if r is not None})
    assert (await store.read("")).revision == seen[-1]


@pytest.mark.parametrize(
    ("offset", "accepted"),
    [
        pytest.param(0, True, id="the revision it has: accepted"),
        pytest.param(-1, False, id="an older one: refused"),
        pytest.param(1, False, id="one that never was: refused"),
    ],
)
async def test_compares_the_revision_of_a_key(store: Store, offset: int, accepted: bool) -> None:
    await store.commit({}, {"other": "x"})
    revision = await store.commit({}, {"k": "old"})
    assert revision is not None
    made = await store.commit({"k": revision + offset}, {"k": "new", "side": "x"}, ["other"])
    assert (made is not None) is accepted
    assert await held(store) == ({"k": "new", "side": "x"} if accepted else {"k": "old", "other": "x"})


async def test_zero_compares_with_absence(store: Store) -> None:
    assert await store.commit({"k": 0}, {"k": "first"}) is not None
    assert await store.commit({"k": 0}, {"k": "second"}) is None
    await store.commit({}, {}, ["k"])
    assert await store.commit({"k": 0}, {"k": "third"}) is not None
    assert await held(store) == {"k": "third"}


async def test_one_comparison_that_differs_refuses_all(store: Store) -> None:
    revision = await store.commit({}, {"a": "x"})
    assert revision is not None
    assert await store.commit({"a": revision, "b": 7}, {"c": "x"}) is None
    assert await held(store) == {"a": "x"}


async def test_deleting_what_is_not_there_changes_nothing(store: Store) -> None:
    revision = await store.commit({}, {"k": "x"})
    assert await store.commit({}, {}, ["gone", "gone"]) == revision
    assert await store.commit({}, {}) == revision


async def test_a_put_of_the_same_value_is_a_change(store: Store) -> None:
    first = await store.commit({}, {"k": "x"})
    second = await store.commit({}, {"k": "x"})
    assert first is not None
    assert second is not None
    assert second > first


@pytest.mark.parametrize(
    ("puts", "deletes"),
    [
        pytest.param({"k": "x"}, ["k"], id="both put and deleted"),
        pytest.param({"k": "\ud800"}, [], id="a value that is not text"),
        pytest.param({"\ud800": "x"}, [], id="a key that is not text"),
    ],
)
async def test_what_cannot_be_kept_is_refused_and_harms_nothing(
    store: Store, puts: dict[str, str], deletes: list[str]
) -> None:
    with pytest.raises(ValueError):
        await store.commit({}, puts, deletes)
    assert await store.commit({}, {"after": "x"}) is not None
    assert await held(store) == {"after": "x"}


async def test_of_many_at_once_each_has_its_own_result(store: Store) -> None:
    """A hundred ask for the same key at once: one has it."""
    results = await asyncio.gather(*(store.commit({"slot": 0}, {"slot": str(n)}) for n in range(100)))
    winners = [n for n, result in enumerate(results) if result is not None]
    assert len(winners) == 1
    assert await held(store) == {"slot": str(winners[0])}


async def test_a_counter_that_all_raise_at_once_loses_no_step(store: Store) -> None:
    async def raise_it() -> None:
        while True:
            entry = (await store.read("n")).entries.get("n")
            value, revision = (int(entry.value), entry.revision) if entry else (0, 0)
            if await store.commit({"n": revision}, {"n": str(value + 1)}) is not None:
                return

    await asyncio.gather(*(raise_it() for _ in range(20)))
    assert await held(store) == {"n": "20"}


async def test_a_commit_is_seen_by_a_read_that_follows(store: Store) -> None:
    for n in range(50):
        await store.commit({}, {"k": str(n)})
        assert await held(store) == {"k": str(n)}


async def test_a_watch_sees_every_change_in_order(store: Store) -> None:
    start = (await store.read("")).revision
    watching = asyncio.create_task(take(store, start, 4))
    await asyncio.sleep(0)
    first = await store.commit({}, {"a": "1", "b": "1"})
    second = await store.commit({}, {"a": "2"}, ["b"])
    assert first is not None
    assert second is not None
    assert await asyncio.wait_for(watching, 5) == [
        Change("a", "1", first),
        Change("b", "1", first),
        Change("a", "2", second),
        Change("b", None, second),
    ]


async def test_a_watch_begins_after_its_revision(store: Store) -> None:
    await store.commit({}, {"a": "1"})
    middle = await store.commit({}, {"b": "1"})
    last = await store.commit({}, {"c": "1"})
    assert middle is not None
    assert last is not None
    assert await take(store, middle, 1) == [Change("c", "1", last)]


async def test_a_refused_commit_is_not_watched(store: Store) -> None:
    start = (await store.read("")).revision
    await store.commit({"k": 9}, {"k": "refused"})
    made = await store.commit({}, {"k": "accepted"})
    assert made is not None
    assert await take(store, start, 1) == [Change("k", "accepted", made)]


async def test_changes_no_longer_kept_end_the_watch(make: Make) -> None:
    store = await make(kept=10)
    start = (await store.read("")).revision
    for n in range(50):
        await store.commit({}, {"k": str(n)})
    with pytest.raises(MayHeal, match="compacted"):
        await take(store, start, 1)
    now = (await store.read("")).revision
    following = asyncio.create_task(take(store, now, 1))
    await asyncio.sleep(0)
    last = await store.commit({}, {"k": "last"})
    assert last is not None
    assert await following == [Change("k", "last", last)]


async def test_a_watcher_that_is_too_slow_is_told(make: Make) -> None:
    store = await make(kept=10)
    await store.commit({}, {"k": "0"})
    watch = store.watch(0)
    await anext(watch)
    for n in range(50):
        await store.commit({}, {"k": str(n)})
    with pytest.raises(MayHeal, match="read anew"):
        await anext(watch)


async def test_closing_ends_watches_and_refuses_commits(store: Store) -> None:
    watching = asyncio.create_task(take(store, 0, 1))
    await asyncio.sleep(0)
    await store.close()
    with pytest.raises(MayHeal, match="closed"):
        await watching
    with pytest.raises(MayHeal, match="closed"):
        await store.commit({}, {"k": "x"})
    with pytest.raises(MayHeal, match="closed"):
        await store.read("")
    await store.close()


async def test_a_snapshot_stays_as_it_was(store: Store) -> None:
    await store.commit({}, {"k": "old"})
    snapshot = await store.read("")
    await store.commit({}, {"k": "new", "l": "x"})
    assert [entry.value for entry in snapshot.entries.values()] == ["old"]
