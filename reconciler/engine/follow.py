"""Keys under a few prefixes → the same keys here, kept by a read and a watch, read anew when that ends.

The prefixes are read one after the other, and watched from the earliest of these reads: what was read
already comes again and is passed over.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from reconciler.contracts import Change, Entry, Snapshot, Store
from reconciler.errors import MayHeal, NeedsPerson, StoreLost

Changed = Callable[[str, Entry | None], None]
"""A key as it is now; None: it is gone."""


class Follower:
    """`entries` as of revision `reached`; `ready` once they were read. `heard`: a read was answered."""

    def __init__(
        self,
        store: Store,
        prefixes: Sequence[str],
        changed: Changed,
        heard: Callable[[], None],
        retry: float,
    ) -> None:
        self._store, self._prefixes = store, tuple(prefixes)
        self._changed, self._heard, self._retry = changed, heard, retry
        self.entries: dict[str, Entry] = {}
        self.reached = 0
        self.ready = asyncio.Event()
        self.trouble = ""
        self._gone: dict[str, int] = {}  # deleted by us: what the watch has not caught up with
        self._turn = 0
        self._watching: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """For ever; raises StoreLost."""
        while True:
            self._turn += 1
            self._watching = asyncio.create_task(self._once(), name="follow the store")
            try:
                await asyncio.wait((self._watching,))
            finally:
                self._watching.cancel()
                await asyncio.gather(self._watching, return_exceptions=True)
            fault = None if self._watching.cancelled() else self._watching.exception()
            if isinstance(fault, StoreLost) or (fault and not isinstance(fault, MayHeal | NeedsPerson)):
                raise fault
            if fault:
                self.trouble = str(fault)
                await asyncio.sleep(self._retry)

    def expect(self, revision: int, within: float) -> None:
        """A commit of ours must come back on the watch; one that is silent is read and watched anew."""
        asyncio.get_running_loop().call_later(within, self._came_back, revision, self._turn)

    def own(self, key: str, value: str | None, revision: int) -> None:
        """A commit of ours is seen at once, before the watch brings it; not if the watch is past it."""
        if revision < self.reached:  # what came after it may have taken it away again
            return
        if value is None:
            self._gone[key] = revision
        self._take(Change(key, value, revision))

    async def _once(self) -> None:
        """Read all, then follow until the watch ends."""
        read = [await self._read(prefix) for prefix in self._prefixes]
        found = {key: entry for snapshot in read for key, entry in snapshot.entries.items()}
        for key, entry in found.items():
            self._take(Change(key, entry.value, entry.revision))
        start = min(snapshot.revision for snapshot in read)
        for key in [k for k, entry in self.entries.items() if k not in found and entry.revision <= start]:
            del self.entries[key]
            self._changed(key, None)
        self.reached = max(self.reached, start)
        self.ready.set()
        changes = self._store.watch(start)
        try:
            async for change in changes:
                self.trouble = ""
                self._take(change)
                self.reached = max(self.reached, change.revision)
                if self._gone:
                    self._gone = {key: at for key, at in self._gone.items() if at > self.reached}
        finally:
            close = getattr(changes, "aclose", None)
            if close:
                with contextlib.suppress(MayHeal, NeedsPerson):
                    await close()

    async def _read(self, prefix: str) -> Snapshot:
        snapshot = await self._store.read(prefix)
        self._heard()
        return snapshot

    def _take(self, change: Change) -> None:
        """Unless something later is known of it."""
        key, before = change.key, self.entries.get(change.key)
        if not key.startswith(self._prefixes) or (before and before.revision >= change.revision):
            return
        if self._gone.get(key, 0) > change.revision:
            return
        if change.value is not None:
            self.entries[key] = Entry(change.value, change.revision)
            self._changed(key, self.entries[key])
        elif before:
            del self.entries[key]
            self._changed(key, None)

    def _came_back(self, revision: int, turn: int) -> None:
        if self.reached < revision and self._turn == turn and self._watching:
            self.trouble = f"the watch is silent: revision {revision} has not come"
            self._watching.cancel()
