"""Commits → state of this process alone: the store of `--once`, of simulations and of tests."""

from collections.abc import AsyncIterator, Collection, Mapping

from reconciler.adapters.history import KEPT, History, well_formed
from reconciler.contracts import Change, Snapshot
from reconciler.errors import MayHeal


class MemoryStore:
    """contracts.Store that forgets with its process. `kept`: changes a watch may lie behind."""

    def __init__(self, kept: int = KEPT) -> None:
        self._history = History(kept=kept)
        self._closed = False

    async def read(self, prefix: str) -> Snapshot:
        self._open()
        return self._history.read(prefix)

    async def commit(
        self, compare: Mapping[str, int], puts: Mapping[str, str], deletes: Collection[str] = ()
    ) -> int | None:
        self._open()
        well_formed(puts, deletes)
        if not self._history.holds(compare):
            return None
        self._history.publish(self._history.changes(puts, deletes))
        return self._history.revision

    def watch(self, revision: int) -> AsyncIterator[Change]:
        return self._history.watch(revision)

    async def close(self) -> None:
        self._closed = True
        self._history.close("the store is closed")

    def _open(self) -> None:
        if self._closed:
            raise MayHeal("the store is closed")
