"""What this node says of its services → the store, on change only, and at most once a second for each.

A full store stops every holder, so what is merely shown is written sparingly, and many together.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from reconciler.contracts import Entry, Store
from reconciler.decide import keys
from reconciler.decide.standing import Standing
from reconciler.errors import MayHeal

APART = 1.0
TOGETHER = 0.05  # seconds that one waits for others
MOST, MOST_BYTES = 100, 1_000_000  # in one commit: etcd takes 128 keys and 1.5 MB


class Statuses:
    """Only this node writes what it says, each time over what was there; and again what had no answer,
    which may come late.
    """

    def __init__(self, store: Store, node: str, standing: Callable[[], Standing]) -> None:
        self._store, self._node, self._standing = store, node, standing
        self._wanted: dict[str, str] = {}
        self._kept: dict[str, Entry] = {}  # by service, what the store has
        self._at: dict[str, float] = {}  # loop time of the last write
        self._news = asyncio.Event()
        self._host = ""
        self._host_kept: Entry | None = None
        self._sure = False  # what is kept is what the store has
        self._doubtful: set[str] = set()  # keys that were sent, and nobody answered
        self._told = self._left = False  # the host is; it was taken out of the cluster, and tells no more

    def put_host(self, text: str) -> None:
        """What is told of this node itself."""
        self._host = text
        if self._host_untold():
            self._news.set()

    def put(self, service: str, text: str) -> None:
        """What it is now; "" when there is nothing more to say of it."""
        self._wanted[service] = text
        if self._text(service) != text:
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

    async def _learn(self) -> None:
        prefix, key = keys.status(self._node, ""), keys.host(self._node)
        found = (await self._store.read(prefix)).entries
        self._kept = {name.removeprefix(prefix): entry for name, entry in found.items()}
        self._host_kept = (await self._store.read(key)).entries.get(key)
        self._left = self._told and self._host_kept is None  # `leave` did that, until we are restarted
        self._sure = True

    async def _write(self) -> bool:
        """Whether nothing is left."""
        standing = self._standing()
        if not standing.session:
            return not (self._host_untold() or self._open())
        if not self._sure:
            await self._learn()
        if self._host_untold() and not await self._write_host(standing):
            return False
        now = asyncio.get_running_loop().time()
        due = self._room([s for s in self._open() if now - self._at.get(s, -APART) >= APART])
        if due and not await self._write_due(standing, due):
            return False
        for service in due:
            self._at[service] = now
            if not self._wanted[service] and not self._text(service):
                del self._wanted[service], self._at[service]
        return not self._open()

    async def _write_host(self, standing: Standing) -> bool:
        key, kept = keys.host(self._node), self._host_kept
        text, over = self._host, {key: kept.revision if kept else 0}
        revision = await self._commit(standing, over, {key: text})
        if revision is None:
            return False
        self._host_kept, self._told = Entry(text, revision), True
        return True

    async def _write_due(self, standing: Standing, due: Sequence[str]) -> bool:
        names = {service: keys.status(self._node, service) for service in due}
        texts = {service: self._wanted[service] for service in due}
        over = {names[s]: self._kept[s].revision if s in self._kept else 0 for s in due}
        puts = {names[service]: text for service, text in texts.items() if text}
        gone = [names[service] for service, text in texts.items() if not text]
        revision = await self._commit(standing, over, puts, gone)
        if revision is None:
            return False
        for service, text in texts.items():
            if text:
                self._kept[service] = Entry(text, revision)
            else:
                self._kept.pop(service, None)
        return True

    async def _commit(
        self, standing: Standing, over: Mapping[str, int], puts: Mapping[str, str], gone: Sequence[str] = ()
    ) -> int | None:
        """None when the session is another one now, or what was kept is not what the store has."""
        self._sure = False
        compare = {keys.session(self._node): standing.revision, **over}
        before, self._doubtful = self._doubtful, self._doubtful | over.keys()
        revision = await self._store.commit(compare, puts, gone)
        self._sure = revision is not None
        self._doubtful = before - over.keys() if self._sure else before
        return revision

    def _host_untold(self) -> bool:
        if self._left or not self._host:
            return False
        kept = self._host_kept.value if self._host_kept else ""
        return self._host != kept or keys.host(self._node) in self._doubtful

    def _open(self) -> list[str]:
        return [
            service
            for service, text in self._wanted.items()
            if self._text(service) != text or keys.status(self._node, service) in self._doubtful
        ]

    def _text(self, service: str) -> str:
        return self._kept[service].value if service in self._kept else ""

    def _room(self, due: Sequence[str]) -> list[str]:
        """The first of them, as many as go together; one that is larger goes alone."""
        taken, size = list[str](), 0
        for service in due[:MOST]:
            size += len(self._wanted[service].encode())
            if taken and size > MOST_BYTES:
                break
            taken.append(service)
        return taken
