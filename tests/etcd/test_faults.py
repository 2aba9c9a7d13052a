"""What the etcd store does when members die, fall silent, forget or are full."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any

import pytest

from reconciler.adapters.etcd_care import Status
from reconciler.adapters.etcd_endpoint import Endpoint, PerhapsDone
from reconciler.adapters.etcd_tending import Tending
from reconciler.adapters.etcd_wire import b64
from reconciler.adapters.store_etcd import EtcdStore
from reconciler.contracts import Change
from reconciler.errors import MayHeal, NeedsPerson, UnknownOutcome
from tests import kernel
from tests.etcd.bed import QUICK, Bed, Proxy, needs_etcd

pytestmark = needs_etcd
SLACK = 0.3  # seconds that a busy machine may add to a bound
_numbers = count()


@pytest.fixture(scope="module")
def members() -> Iterator[Bed]:
    """Three members; each test leaves all of them running."""
    with Bed(3) as bed:
        bed.start()
        yield bed


@pytest.fixture
def bed(members: Bed) -> Iterator[Bed]:
    with members.inside():
        yield members


@contextlib.asynccontextmanager
async def opened(bed: Bed, prefix: str = "", **more: Any) -> AsyncIterator[EtcdStore]:
    store = EtcdStore(bed.settings(prefix or f"test{next(_numbers)}/", **more))
    try:
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def followed(store: EtcdStore, revision: int) -> AsyncIterator[list[Change]]:
    """The changes as they come."""
    found: list[Change] = []

    async def follow() -> None:
        async for change in store.watch(revision):
            found.append(change)  # noqa: PERF401 — they are looked at while they come

    task = asyncio.create_task(follow())
    await asyncio.sleep(0)
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Any, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 — what is waited for has no event of its own
            await asyncio.sleep(0.01)


def following(bed: Bed) -> int:
    leader = bed.leader()
    return next(member for member in bed.members if member != leader)


class Writer:
    """Commits of two keys each, one after another; what was said of each is kept."""

    def __init__(self, store: EtcdStore, name: str) -> None:
        self.store, self.name = store, name
        self.done: set[str] = set()
        self.unknown: set[str] = set()
        self.slowest = 0.0

    async def write(self, more: int) -> None:
        """Until so many more were acknowledged."""
        goal = len(self.done) + more
        for n in count(len(self.done) + len(self.unknown)):
            if len(self.done) >= goal:
                return
            key, begun = f"{self.name}/{n}", time.monotonic()
            try:
                made = await self.store.commit(
                    {f"{key}/a": 0, f"{key}/b": 0}, {f"{key}/a": "x", f"{key}/b": "y"}
                )
                assert made is not None, "our own commit was done twice"
                self.done.add(key)
            except UnknownOutcome:
                self.unknown.add(key)
            except MayHeal:
                with contextlib.suppress(MayHeal):
                    await self._absent(key)
            self.slowest = max(self.slowest, time.monotonic() - begun)

    async def _absent(self, key: str) -> None:
        assert not (await self.store.read(f"{key}/")).entries, "what was refused is there"


async def test_the_leader_killed_again_and_again_during_commits(bed: Bed) -> None:
    """What was acknowledged is there, what is unknown is all there or not at all, nothing is seen twice."""
    async with opened(bed) as store:
        writers = [Writer(store, f"w{n}") for n in range(4)]
        async with followed(store, (await store.read("")).revision) as seen:
            for _ in range(3):
                writing = [asyncio.create_task(writer.write(60)) for writer in writers]
                await until(lambda: any(len(w.done) % 60 > 10 for w in writers))
                leader = await asyncio.to_thread(bed.leader)
                bed.kill(leader)
                await asyncio.gather(*writing)
                await asyncio.to_thread(bed.start, leader)
            held = (await store.read("")).entries
            keys = {key.rpartition("/")[0] for key in held}
            assert len(held) == 2 * len(keys), "half a commit is there"
            done = set().union(*(w.done for w in writers))
            unknown = set().union(*(w.unknown for w in writers))
            assert done <= keys <= done | unknown
            await until(lambda: len(seen) >= len(held))
        assert [(c.key, c.revision) for c in seen] == sorted(
            ((key, entry.revision) for key, entry in held.items()), key=lambda pair: (pair[1], pair[0])
        )
        assert max(w.slowest for w in writers) < 2 * QUICK + SLACK, "a commit and the read after it"


async def test_a_member_that_falls_silent_is_left_within_one_timeout(bed: Bed) -> None:
    async with opened(bed) as store:
        await store.commit({}, {"k": "before"})
        with bed.muted(1):
            begun = time.monotonic()
            with pytest.raises(UnknownOutcome):
                await store.commit({}, {"k": "lost"})
            assert time.monotonic() - begun < QUICK + SLACK
            begun = time.monotonic()
            assert await store.commit({}, {"k": "after"}) is not None
            assert time.monotonic() - begun < SLACK
            assert "did not answer" in str(store._gateway.endpoints[0].trouble)


async def test_a_member_that_never_answered_costs_no_commit(bed: Bed) -> None:
    with bed.muted(1):
        async with opened(bed) as store:
            begun = time.monotonic()
            assert await store.commit({}, {"k": "x"}) is not None
            assert time.monotonic() - begun < QUICK


async def test_a_member_that_is_stopped_and_goes_on(bed: Bed) -> None:
    member = following(bed)
    async with opened(bed, endpoints=(bed.url(member), bed.url(bed.leader()))) as store:
        await store.commit({}, {"k": "x"})
        bed.stop(member)
        try:
            with pytest.raises(MayHeal):
                await store.read("")
            assert await store.commit({}, {"k": "y"}) is not None
        finally:
            bed.go_on(member)
        assert (await store.read("")).entries["k"].value == "y"
    async with opened(bed, endpoints=(bed.url(member), bed.url(bed.leader()))) as late:
        bed.stop(member)
        try:
            assert await late.commit({}, {"k": "x"}) is not None, "it takes connections, but says nothing"
        finally:
            bed.go_on(member)


async def test_without_a_majority_every_call_ends_in_time_and_then_it_heals(bed: Bed) -> None:
    async with opened(bed) as store:
        await store.commit({}, {"k": "x"})
        bed.kill(2)
        bed.kill(3)
        for _ in range(2):
            for call in (store.read(""), store.commit({}, {"k": "y"})):
                begun = time.monotonic()
                with pytest.raises(MayHeal):
                    await call
                assert time.monotonic() - begun < QUICK + SLACK
        assert store.trouble
        await asyncio.to_thread(bed.start, 2, 3)
        assert await store.commit({}, {"k": "z"}) is not None
        assert store.trouble == ""


async def test_the_store_may_come_after_the_agent(bed: Bed) -> None:
    with Bed() as late, late.inside():
        async with opened(late) as store, followed(store, 0) as seen:
            with pytest.raises(MayHeal, match="Connect"):
                await store.read("")
            await asyncio.to_thread(late.start)
            await store.commit({}, {"k": "x"})
            await until(lambda: [c.key for c in seen] == ["k"])


async def test_a_watch_that_is_silent_is_found_out_by_our_own_commit(bed: Bed) -> None:
    """Its connection stands, its member answers all else: only what we wrote ourselves can tell."""
    async with Proxy(1) as way, opened(bed, endpoints=(way.url, bed.url(2)), silence=0.3) as store:
        start = await store.commit({}, {"k": "0"})
        assert start is not None
        async with followed(store, start) as seen:
            await store.commit({}, {"k": "1"})
            await until(lambda: len(seen) == 1)
            way.mute_watches()
            made = [await store.commit({}, {"k": str(n)}) for n in (2, 3)]
            assert store.watched < (made[-1] or 0)
            await until(lambda: len(seen) == 3, 1.0)
            assert [c.value for c in seen] == ["1", "2", "3"]
            assert store.watched == made[-1]


async def test_connections_that_we_end_ourselves_end_a_stream_as_any_fault_does(bed: Bed) -> None:
    """A call that gave the member up ends them all, between two messages of a watch: taken for a bug, that
    ended the membership of a node that was well."""
    endpoint = Endpoint(bed.url(1), lambda: None, QUICK)
    wanted = {"create_request": {"key": b64("a"), "range_end": b64("b")}}
    async with contextlib.aclosing(endpoint.stream("watch", wanted, "", 5.0)) as messages:
        assert (await anext(messages))["created"]
        await endpoint.close()
        with pytest.raises(PerhapsDone, match=r"127\.0\.0\.1"):
            await anext(messages)


async def test_rebuilt_on_request_it_goes_on_without_gap_or_repetition(bed: Bed) -> None:
    async with opened(bed) as store:
        async with followed(store, (await store.read("")).revision) as seen:
            for n in range(30):
                await store.commit({}, {"k": str(n)})
                if n % 5 == 0:
                    store.rebuild()
            await until(lambda: len(seen) >= 30)
        assert [c.value for c in seen] == [str(n) for n in range(30)]


async def test_compaction_does_not_disturb_a_watch_that_is_up_to_date(bed: Bed) -> None:
    async with opened(bed) as store, followed(store, (await store.read("")).revision) as seen:
        for n in range(5):
            revision = await store.commit({}, {"k": str(n)})
            await until(lambda n=n: len(seen) == n + 1)
            bed.ask(1, "/v3/kv/compaction", {"revision": revision})


async def test_compacted_meanwhile_a_watch_says_read_anew(bed: Bed) -> None:
    async with opened(bed) as store, opened(bed) as other:
        start = await store.commit({}, {"k": "x"})
        assert start is not None
        watch = aiter(store.watch(start))
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0.05)
        for _ in range(5):
            revision = await other.commit({}, {"k": "x"})
        bed.ask(1, "/v3/kv/compaction", {"revision": revision})
        store.rebuild()
        with pytest.raises(MayHeal, match=r"compacted.*read anew"):
            await waiting


async def test_of_many_agents_one_compacts_and_none_twice(bed: Bed) -> None:
    async with contextlib.AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(opened(bed, "many/", kept=20)) for _ in range(4)]
        for n in range(50):
            last = await stores[0].commit({}, {"k": str(n)})
        found = await asyncio.gather(*(store.compact_if_due() for store in stores))
        (at,) = [revision for revision in found if revision is not None]
        assert last is not None
        assert last - 25 < at <= last - 19
        assert await asyncio.gather(*(store.compact_if_due() for store in stores)) == [None] * 4
        assert (await stores[1].read("")).entries["k"].value == "49"


async def test_a_store_that_nobody_compacts_is_tended_by_who_uses_it(bed: Bed) -> None:
    async with opened(bed, "tended/", kept=20) as store:
        first = await store.commit({}, {"k": "first"})
        for n in range(50):
            await store.commit({}, {"k": str(n)})
        assert first is not None
        tending = Tending(store)
        await tending.look()
        assert 0 < tending.size < tending.quota
        assert tending.voters == 3
        with pytest.raises(MayHeal, match="compacted"):
            await anext(aiter(store.watch(first)))


async def test_an_answer_that_breaks_off_half_way(bed: Bed) -> None:
    async with Proxy(1) as way, opened(bed, endpoints=(way.url, bed.url(2))) as store:
        await store.commit({}, {"a": "x"})
        for cut in (0, 20, 150):  # nothing, half a header, half a body
            store._gateway._current = store._gateway.endpoints[0]
            way.cut_at = cut
            with pytest.raises(UnknownOutcome, match="did not say"):
                await store.commit({}, {f"half{cut}": "x"})
            way.cut_at = None
        assert len((await store.read("half")).entries) == 3, "here it was done, each time"


async def test_ten_thousand_keys_are_read_at_one_revision(bed: Bed) -> None:
    async with opened(bed) as store:
        for n in range(0, 10_000, 100):
            await store.commit({}, {f"k/{m:05}": str(m) for m in range(n, n + 100)})
        await store.commit({}, {"later": "x"})

        async def disturb() -> None:
            for n in range(20):
                await store.commit({}, {"k/09999": f"new{n}", "k/00000": f"new{n}"})

        disturbing = asyncio.create_task(disturb())
        snapshots = [await store.read("k/") for _ in range(3)]
        await disturbing
        for snapshot in snapshots:
            keys = list(snapshot.entries)
            assert keys == [f"k/{n:05}" for n in range(10_000)]
            first, last = snapshot.entries["k/00000"], snapshot.entries["k/09999"]
            assert first.value == last.value or (first.value, last.value) == ("0", "9999")
            assert max(entry.revision for entry in snapshot.entries.values()) <= snapshot.revision


async def test_large_values_travel_and_too_large_ones_are_refused_by_name(bed: Bed) -> None:
    large = "ü€😀" * 150_000  # 1.35 MB
    async with opened(bed, request_timeout=5.0) as store:
        start = (await store.read("")).revision
        async with followed(store, start) as seen:
            assert await store.commit({}, {"doc": large}) is not None
            assert (await store.read("")).entries["doc"].value == large
            await until(lambda: bool(seen))
            assert seen[0].value == large
        with pytest.raises(NeedsPerson, match=r"doc: .* make it smaller"):
            await store.commit({}, {"doc": large + large, "other": "x"})
        with pytest.raises(ValueError, match="more than 128"):
            await store.commit({}, {str(n): "x" for n in range(129)})
        assert (
            await store.commit({str(n): 0 for n in range(127)}, {str(n): "x" for n in range(128)})
            is not None
        )


async def test_a_full_store_says_so_and_is_seen_to_fill() -> None:
    with Bed(arguments=("--quota-backend-bytes", "2000000")) as small:
        small.start()
        with small.inside():
            async with opened(small) as store:
                await store.commit({}, {"k": "x"})
                (status,) = (await store.statuses()).values()
                assert isinstance(status, Status)
                assert (status.quota, status.leads, status.alarms) == (2_000_000, True, ())
                assert status.version.startswith("3.")
                assert 0 < status.fullness < 0.5
                with pytest.raises(MayHeal, match="space exceeded: compact it, then `etcdctl defrag`"):
                    await filled(store)
                (status,) = (await store.statuses()).values()
                assert isinstance(status, Status)
                assert status.fullness > 0.5
                assert any("NOSPACE" in alarm for alarm in status.alarms)
                assert (await store.read("k")).entries["k"].value == "x"


async def filled(store: EtcdStore) -> None:
    for n in range(30):
        await store.commit({}, {f"large{n}": "x" * 300_000})


async def test_statuses_of_all_members_the_dead_one_too(bed: Bed) -> None:
    member = following(bed)
    bed.kill(member)
    async with opened(bed) as store:
        found = await store.statuses()
        await asyncio.to_thread(bed.start, member)
    alive = [status for status in found.values() if isinstance(status, Status)]
    assert len(alive) == 2
    assert sum(status.leads for status in alive) == 1
    assert "Connect" in str(found[bed.url(member)])


async def test_nothing_is_left_behind(bed: Bed) -> None:
    """Closed in the middle of everything: no task, no connection."""
    before = asyncio.all_tasks()
    async with opened(bed) as store, followed(store, 0):
        await store.commit({}, {"k": "x"})
        store.rebuild()
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == before
    assert not kernel.run(
        "ss -Htn state established '( dport = :2379 )' | grep -v ' 127.0.0.1:2380' || true"
    ).count(f"users:(('python',pid={0}")
