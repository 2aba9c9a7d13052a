"""Keys kept by a read and a watch: what was seen once is never seen older again."""

import asyncio

from reconciler.adapters.store_memory import MemoryStore
from reconciler.contracts import Entry
from reconciler.engine.follow import Follower
from reconciler.testing.faulty import Way
from reconciler.testing.simloop import simulated


class Followed:
    """A follower of `a/` and `b/`, its way to the store, and what it told, in this order."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.way = Way(self.store, 0.5)
        self.seen: list[tuple[str, str | None]] = []
        self.follower = Follower(self.way, ("a/", "b/"), self._changed, lambda: None, 0.1)

    def _changed(self, key: str, entry: Entry | None) -> None:
        self.seen.append((key, entry.value if entry else None))


def play(story) -> None:
    async def whole() -> None:
        followed = Followed()
        await followed.store.commit({}, {"a/1": "old", "b/1": "old", "c/1": "nobody asked"})
        task = asyncio.create_task(followed.follower.run())
        await followed.follower.ready.wait()
        await story(followed)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    simulated(whole())


def test_it_reads_and_then_hears_of_changes():
    async def story(f: Followed) -> None:
        await f.store.commit({}, {"a/1": "new", "a/2": "x", "c/1": "y"}, ["b/1"])
        await asyncio.sleep(0.1)
        assert f.seen == [("a/1", "old"), ("b/1", "old"), ("a/1", "new"), ("a/2", "x"), ("b/1", None)]
        assert set(f.follower.entries) == {"a/1", "a/2"}

    play(story)


def test_a_commit_of_our_own_is_seen_at_once_and_once():
    async def story(f: Followed) -> None:
        f.way.deaf = True
        await f.store.commit({}, {"a/1": "by another"})
        revision = await f.store.commit({}, {"a/1": "mine"})
        f.follower.own("a/1", "mine", revision)
        f.way.deaf = False
        await asyncio.sleep(2)
        assert f.seen[2:] == [("a/1", "mine")]

    play(story)


def test_a_commit_of_our_own_that_was_undone_before_its_answer_came_does_not_come_back():
    """Deleted by another, as the watch had told: every later commit was compared with it (seed 543955)."""

    async def story(f: Followed) -> None:
        revision = await f.store.commit({}, {"a/1": "mine"})
        await f.store.commit({}, {}, ["a/1"])
        await asyncio.sleep(0.1)
        f.follower.own("a/1", "mine", revision)
        assert "a/1" not in f.follower.entries

    play(story)


def test_what_we_deleted_does_not_come_back_with_older_news():
    async def story(f: Followed) -> None:
        f.way.deaf = True
        await f.store.commit({}, {"a/1": "by another"})
        revision = await f.store.commit({}, {}, ["a/1"])
        f.follower.own("a/1", None, revision)
        f.way.deaf = False
        await asyncio.sleep(2)
        assert f.seen[2:] == [("a/1", None)]
        await f.store.commit({}, {"a/1": "anew"})
        await asyncio.sleep(0.1)
        assert f.seen[3:] == [("a/1", "anew")]

    play(story)


def test_what_was_deleted_while_nobody_watched_is_gone_after_the_next_read():
    async def story(f: Followed) -> None:
        f.way.deaf = True
        await f.store.commit({}, {"a/2": "x"}, ["a/1", "b/1"])
        f.follower.expect(2, 0.3)
        await asyncio.sleep(2)
        f.way.deaf = False
        assert set(f.follower.entries) == {"a/2"}
        assert f.follower.trouble.startswith("the watch is silent")
        await f.store.commit({}, {"a/2": "y"})
        await asyncio.sleep(1)
        assert f.follower.trouble == ""

    play(story)
