"""Committed changes → snapshots by prefix and watches: what every store of this process keeps in memory."""

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import AsyncIterator, Collection, Iterable, Mapping

from reconciler.contracts import Change, Entry, Snapshot
from reconciler.errors import MayHeal

KEPT = 10_000  # changes a watch may lie behind before it has to read anew


class History:
    """Keys and values at one revision, and the latest changes. Used from one event loop only."""

    def __init__(
        self, revision: int = 0, entries: Mapping[str, Entry] | None = None, kept: int = KEPT
    ) -> None:
        self.revision = revision
        self._entries = dict(entries or {})
        self._keys = sorted(self._entries)
        self._kept = kept
        self._log: list[Change] = []
        self._dropped = 0  # changes no longer in the log
        self._floor = revision  # revision of the newest of them
        self._closed = ""
        self._watchers: dict[asyncio.Event, None] = {}  # woken in the order they came

    def read(self, prefix: str) -> Snapshot:
        first = bisect_left(self._keys, prefix)
        found: dict[str, Entry] = {}
        for index in range(first, len(self._keys)):
            key = self._keys[index]
            if not key.startswith(prefix):
                break
            found[key] = self._entries[key]
        return Snapshot(self.revision, found)

    def holds(self, compare: Mapping[str, int]) -> bool:
        """Whether every compared key is at its revision (0: absent)."""
        return holds(self._entries, compare)

    def changes(self, puts: Mapping[str, str], deletes: Collection[str]) -> tuple[Change, ...]:
        """What a commit would change at the next revision; () when it would change nothing."""
        return changes(self._entries, self.revision + 1, puts, deletes)

    def publish(self, made: Iterable[Change]) -> None:
        """Take committed changes over, in order, and wake the watches."""
        for change in made:
            self.revision = change.revision
            if change.value is None:
                if self._entries.pop(change.key, None) is not None:
                    del self._keys[bisect_left(self._keys, change.key)]
            else:
                if change.key not in self._entries:
                    insort(self._keys, change.key)
                self._entries[change.key] = Entry(change.value, change.revision)
            self._log.append(change)
        self._trim()
        self._wake()

    def close(self, why: str) -> None:
        """End every watch, now and later."""
        self._closed = why
        self._wake()

    async def watch(self, revision: int) -> AsyncIterator[Change]:
        """Every change after `revision`; MayHeal when they are no longer all known."""
        position: int | None = None
        news = asyncio.Event()
        self._watchers[news] = None
        try:
            while True:
                if self._closed:
                    raise MayHeal(self._closed)
                if position is None and revision >= self._floor:
                    position = self._dropped + bisect_right(self._log, revision, key=lambda c: c.revision)
                if position is None or position < self._dropped:
                    raise MayHeal(f"compacted: changes after {revision} are no longer kept; read anew")
                if position == self._dropped + len(self._log):
                    news.clear()
                    await news.wait()
                    continue
                change = self._log[position - self._dropped]
                position += 1
                revision = change.revision
                yield change
        finally:
            self._watchers.pop(news, None)

    def _trim(self) -> None:
        """Dropped in bulk, so that a change costs nothing on average."""
        if len(self._log) > 2 * self._kept:
            surplus = len(self._log) - self._kept
            self._floor = self._log[surplus - 1].revision
            self._dropped += surplus
            del self._log[:surplus]

    def _wake(self) -> None:
        for news in self._watchers:
            news.set()


def holds(entries: Mapping[str, Entry], compare: Mapping[str, int]) -> bool:
    return all(
        (entry.revision if (entry := entries.get(key)) else 0) == revision
        for key, revision in compare.items()
    )


def changes(
    entries: Mapping[str, Entry], revision: int, puts: Mapping[str, str], deletes: Collection[str]
) -> tuple[Change, ...]:
    """A put counts also when the value is the same; a delete only of what is there."""
    gone = [key for key in deletes if key in entries]
    return (
        *(Change(key, value, revision) for key, value in puts.items()),
        *(Change(key, None, revision) for key in dict.fromkeys(gone)),
    )


def well_formed(puts: Mapping[str, str], deletes: Collection[str]) -> None:
    """Raises ValueError for what no store could keep: both put and deleted, or not UTF-8."""
    if both := puts.keys() & set(deletes):
        raise ValueError(f"put and deleted in one commit: {', '.join(sorted(both))}")
    for key, value in puts.items():
        key.encode()
        value.encode()
