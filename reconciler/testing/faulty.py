"""A store, and what the network does to one host's way to it → what that host sees of the store.

Several hosts have a way each to one MemoryStore. Like every store it answers within r or raises.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping

from reconciler.contracts import Change, Identity, Snapshot, Store
from reconciler.errors import MayHeal, StoreLost, UnknownOutcome

Asked = Callable[[Mapping[str, int], Mapping[str, str]], bool]


class Way:
    """One host's. Everything can be changed at any time.

    silent   nothing gets there, and no answer comes
    mute     what is sent gets there, and no answer comes
    late     seconds by which commits get there after everybody gave up on them
    refused  why each call fails at once, without being done
    deaf     watches say nothing, though they stand
    lost     why the store is not the one that was known
    slow     seconds each answer takes
    drop     which commits (compared, put) lose their answer, asked for each of them
    """

    def __init__(self, store: Store, request: float, identity: Identity | None = None) -> None:
        self._store, self._request = store, request
        self._identity = identity or Identity("c", "s", 0)
        self.silent = self.mute = self.deaf = False
        self.late: float | None = None
        self.refused = self.lost = ""
        self.slow = 0.001
        self.drop: Asked = lambda compare, puts: False
        self.sent = 0
        self._late: set[asyncio.Task[None]] = set()

    async def identity(self) -> Identity:
        snapshot = await self.read("sessions/")
        return Identity(self._identity.cluster, self._identity.store, snapshot.revision)

    async def read(self, prefix: str) -> Snapshot:
        await self._go()
        found = await self._store.read(prefix)
        await self._back(MayHeal("no answer"))
        return found

    async def commit(
        self, compare: Mapping[str, int], puts: Mapping[str, str], deletes: Collection[str] = ()
    ) -> int | None:
        self.sent += 1
        unknown = UnknownOutcome("no answer to a commit")
        if self.late is not None:
            self._later(self.late, lambda: self._store.commit(compare, puts, deletes))
            await asyncio.sleep(self._request)
            raise unknown
        await self._go(unknown)
        dropped = self.drop(compare, puts)
        revision = await self._store.commit(compare, puts, deletes)
        if dropped:
            await asyncio.sleep(self._request)
            raise unknown
        await self._back(unknown)
        return revision

    async def watch(self, revision: int) -> AsyncIterator[Change]:
        async for change in self._store.watch(revision):
            while self.deaf or self.silent or self.mute:  # noqa: ASYNC110 — tests set these at will
                await asyncio.sleep(self._request)
            if self.lost:
                raise StoreLost(self.lost)
            yield change

    async def close(self) -> None:
        for task in self._late:
            task.cancel()

    async def _go(self, unknown: MayHeal | None = None) -> None:
        if self.lost:
            raise StoreLost(self.lost)
        if self.refused:
            await asyncio.sleep(self.slow)
            raise MayHeal(self.refused)
        if self.silent:
            await asyncio.sleep(self._request)
            raise unknown or MayHeal("no answer")
        await asyncio.sleep(self.slow / 2)

    async def _back(self, none: MayHeal) -> None:
        if self.silent or self.mute or self.slow / 2 > self._request:
            await asyncio.sleep(self._request)
            raise none
        await asyncio.sleep(self.slow / 2)

    def _later(self, seconds: float, commit: Callable[[], Awaitable[int | None]]) -> None:
        async def land() -> None:
            await asyncio.sleep(seconds)
            with contextlib.suppress(MayHeal):  # nobody is there any more to hear of it
                await commit()

        task = asyncio.create_task(land())
        self._late.add(task)
        task.add_done_callback(self._late.discard)
