"""What was asked of a service → the same for all hosts: a key for each, where the first to write wins.

A change is seen here at once and kept when the store took it. If another host wrote first, its word
stands, ours is dropped, and the service is looked at again.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.contracts import Entry, Notify, Store
from reconciler.decide import keys
from reconciler.decide.asked import NOBODY, Asked, read, written
from reconciler.engine.follow import Follower
from reconciler.errors import MayHeal, NeedsPerson, StoreLost

RETRY = 0.5


@dataclass
class _Mine:
    """Put here and not in the store yet. `over`: the revision it replaces."""

    asked: Asked
    over: int


class SharedWishes:
    """`changed` queues a key."""

    def __init__(self, store: Store, follower: Follower, changed: Notify) -> None:
        self._store, self._follower, self._changed = store, follower, changed
        self._mine: dict[str, _Mine] = {}
        self._read: dict[str, tuple[int, Asked]] = {}  # by service: revision, and what it says
        self._lost: set[str] = set()  # whose last word here was not the first to be written
        self._news = asyncio.Event()
        self._written = asyncio.Condition()
        self.failing = ""

    def get(self, service: str) -> Asked:
        if service in self._mine:
            return self._mine[service].asked
        entry = self._entries.get(keys.wish(service))
        if entry is None:
            return NOBODY
        revision, asked = self._read.get(service, (0, NOBODY))
        if revision != entry.revision:
            asked = _understood(entry.value)
            self._read[service] = (entry.revision, asked)
        return asked

    def put(self, service: str, asked: Asked) -> None:
        entry = self._entries.get(keys.wish(service))
        over = entry.revision if entry else 0
        self._mine[service] = _Mine(asked, self._mine[service].over if service in self._mine else over)
        self._lost.discard(service)
        self._news.set()

    async def kept(self, service: str, within: float) -> None:
        """Until the store took what was put. Raises MayHeal; NeedsPerson when another word came first."""
        try:
            async with asyncio.timeout(within), self._written:
                await self._written.wait_for(lambda: service not in self._mine)
        except TimeoutError:
            mine = self._mine.pop(service, None)
            if mine:  # it is not done behind the back of who was told that it is not
                self._changed(service)
            raise MayHeal(f"the store does not take it: {self.failing or 'no answer'}") from None
        if service in self._lost:
            raise NeedsPerson(
                f"{service}: another host wrote what somebody asked at the same moment; ask again"
            )

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            for service in list(self._mine):
                try:
                    await self._write(service)
                    self.failing = ""
                except StoreLost:
                    raise
                except (MayHeal, NeedsPerson) as fault:
                    self.failing = str(fault)
                    self._news.set()
                    await asyncio.sleep(RETRY)
            async with self._written:
                self._written.notify_all()

    async def _write(self, service: str) -> None:
        mine = self._mine.get(service)
        if mine is None:
            return
        # Never deleted: a word that was given up may come late, and a key that is absent is absent again.
        key, text = keys.wish(service), json.dumps(written(mine.asked), sort_keys=True)
        revision = await self._store.commit({key: mine.over}, {key: text})
        if revision is not None:
            self._follower.own(key, text, revision)
        else:  # seen now, so that asking again is of use
            snapshot = await self._store.read(key)
            found = snapshot.entries.get(key)
            value, at = (found.value, found.revision) if found else (None, snapshot.revision)
            self._follower.own(key, value, at)
            if value == text:
                revision = at  # an earlier send of it, whose answer was lost
        if self._mine.get(service) is mine:
            del self._mine[service]
            if revision is None:
                self._lost.add(service)
        elif revision is not None and service in self._mine:
            self._mine[service].over = revision
            self._news.set()
        self._changed(service)

    @property
    def _entries(self) -> Mapping[str, Entry]:
        return self._follower.entries


def _understood(text: str) -> Asked:
    """Of a later version: nothing, rather than half of it."""
    try:
        return read(json.loads(text))
    except (ValueError, TypeError, KeyError):
        return NOBODY
