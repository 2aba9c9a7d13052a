"""What this node says of its services → the store, on change only, and at most once a second for each.

A full store stops every holder, so what is merely shown is written sparingly, and many together.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from reconciler.contracts import Store
from reconciler.decide import keys
from reconciler.decide.standing import Standing
from reconciler.errors import MayHeal

APART = 1.0
TOGETHER = 0.05  # seconds that one waits for others
MOST, MOST_BYTES = 100, 1_000_000  # in one commit: etcd takes 128 keys and 1.5 MB


class Statuses:
    """`kept`: by service, what the store has of this node already."""

    def __init__(
        self, store: Store, node: str, standing: Callable[[], Standing], kept: Mapping[str, str]
    ) -> None:
        self._store, self._node, self._standing = store, node, standing
        self._wanted: dict[str, str] = {}
        self._kept = dict(kept)
        self._at: dict[str, float] = {}  # loop time of the last write
        self._news = asyncio.Event()
        self._host = self._host_kept = ""
        self._host_at: int | None = None  # revision of what we wrote of this node; None: not for sure
        self._left = False  # this node was taken out of the cluster: it tells nothing more of itself

    def put_host(self, text: str) -> None:
        """What is told of this node itself."""
        self._host = text
        if text != self._host_kept:
            self._news.set()

    def put(self, service: str, text: str) -> None:
        """What it is now; "" when there is nothing more to say of it."""
        self._wanted[service] = text
        if self._kept.get(service, "") != text:
            self._news.set()

    async def run(self) -> None:
        """For ever. While the store is away, or there is no session, the latest waits."""
        while True:
            await self._news.wait()
            await asyncio.sleep(TOGETHER)
            self._news.clear()
            try:
                done = await self._write()
            except MayHeal:
                done = False
            if not done:
                self._news.set()
                await asyncio.sleep(APART / 4)

    async def _write_host(self) -> bool:
        standing, text = self._standing(), self._host
        if not standing.session:
            return False
        key, at = keys.host(self._node), self._host_at
        compare = {keys.session(self._node): standing.revision} | ({} if at is None else {key: at})
        self._host_at = None
        self._host_at = await self._store.commit(compare, {key: text})
        if self._host_at is None:
            self._left = at is not None and await self._was_removed(standing)
            return self._left
        self._host_kept = text
        return True

    async def _was_removed(self, standing: Standing) -> bool:
        """Under this session, what we told of this node: `leave` did, until we are restarted."""
        key, session = keys.host(self._node), keys.session(self._node)
        if (await self._store.read(key)).entries:
            return False
        found = (await self._store.read(session)).entries.get(session)
        return found is not None and found.revision == standing.revision

    async def _write(self) -> bool:
        """Whether nothing is left."""
        now = asyncio.get_running_loop().time()
        if self._host != self._host_kept and not self._left and not await self._write_host():
            return False
        open_ = [service for service, text in self._wanted.items() if self._kept.get(service, "") != text]
        due = self._room([service for service in open_ if now - self._at.get(service, -APART) >= APART])
        standing = self._standing()
        if due and standing.session:
            texts = {service: self._wanted[service] for service in due}
            compare = {keys.session(self._node): standing.revision}
            puts = {keys.status(self._node, service): text for service, text in texts.items() if text}
            gone = [keys.status(self._node, service) for service, text in texts.items() if not text]
            if await self._store.commit(compare, puts, gone) is None:
                return False  # the session is another one now
            for service, text in texts.items():
                self._at[service] = now
                self._kept[service] = text
                if not text and not self._wanted[service]:
                    del self._kept[service], self._wanted[service], self._at[service]
            open_ = [service for service in open_ if service not in texts]
        return not open_

    def _room(self, due: Sequence[str]) -> list[str]:
        """The first of them, as many as go together; one that is larger goes alone."""
        taken, size = list[str](), 0
        for service in due[:MOST]:
            size += len(self._wanted[service].encode())
            if taken and size > MOST_BYTES:
                break
            taken.append(service)
        return taken
