"""One key for what is asked of a service: what was given up and comes late is too late."""

import asyncio
import json
from dataclasses import replace

from reconciler.adapters.store_memory import MemoryStore
from reconciler.decide import keys
from reconciler.decide.asked import NOBODY, Frozen, written
from reconciler.engine.follow import Follower
from reconciler.engine.shared_wishes import SharedWishes
from reconciler.testing.simloop import SimLoop

KEY, FROZEN = "root/web", replace(NOBODY, frozen=Frozen("alice", 1.0))


def test_what_comes_late_after_everything_was_taken_back_is_too_late():
    """A freeze without an answer was taken back with all else, and stood again later (seed 10521)."""

    async def story() -> None:
        store = MemoryStore()
        follower = Follower(store, (keys.WISHES,), lambda key, entry: None, lambda: None, 1.0)
        wishes = SharedWishes(store, follower, lambda key: None)
        tasks = [asyncio.create_task(follower.run()), asyncio.create_task(wishes.run())]
        await follower.ready.wait()
        late = ({keys.wish(KEY): 0}, {keys.wish(KEY): json.dumps(written(FROZEN))})
        for asked in (FROZEN, NOBODY):
            wishes.put(KEY, asked)
            await wishes.kept(KEY, 1.0)
        assert await store.commit(*late) is None
        await asyncio.sleep(0.1)
        assert wishes.get(KEY) == NOBODY
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    loop = SimLoop()
    try:
        loop.run_until_complete(story())
    finally:
        loop.close()
