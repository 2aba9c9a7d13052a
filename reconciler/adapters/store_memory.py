"""Commits → state of this process alone: the store of `--once`, of simulations and of tests."""

from collections.abc import AsyncIterator, Collection, Mapping

from reconciler.adapters.ledger import KEPT, Ledger, well_formed
from reconciler.contracts import Change, Snapshot
from reconciler.errors import MayHeal


class MemoryStore:
    """contracts.Store that forgets with its process. `kept`: changes a watch may lie behind."""

    def __init__(self, kept: int = KEPT) -> None:
        self._ledger = Ledger(kept=kept)
        self._closed = False

    async def read(self, prefix: str) -> Snapshot:
        self._open()
        return self._ledger.read(prefix)

    async def commit(
        self, compare: Mapping[str, int], puts: Mapping[str, str], deletes: Collection[str] = ()
    ) -> int | None:
        self._open()
        well_formed(puts, deletes)
        if not self._ledger.holds(compare):
            return None
        self._ledger.publish(self._ledger.changes(puts, deletes))
        return self._ledger.revision

    def watch(self, revision: int) -> AsyncIterator[Change]:
        return self._ledger.watch(revision)

    async def close(self) -> None:
        self._closed = True
        self._ledger.close("the store is closed")

    def _open(self) -> None:
        if self._closed:
            raise MayHeal("the store is closed")
