"""A made-up host and its ways to the store → what an agent on it stands on: stores, facts, a recorder."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.asks import NOT_YET, Ask, Failed
from reconciler.contracts import Asking, Change, Event, Identity, Snapshot
from reconciler.errors import MayHeal
from reconciler.model import Owner
from reconciler.testing.faulty import Way
from reconciler.testing.machines import SimHost
from reconciler.testing.processes import elsewhere
from reconciler.testing.things import Seen


class SimStore:
    """One agent's way to the store that all share: what was sent arrives though the sender dies."""

    def __init__(self, way: Way) -> None:
        self._way = way

    async def identity(self) -> Identity:
        return await self._way.identity()

    async def read(self, prefix: str) -> Snapshot:
        return await self._way.read(prefix)

    async def commit(
        self, compare: Mapping[str, int], puts: Mapping[str, str], deletes: Collection[str] = ()
    ) -> int | None:
        return await asyncio.shield(elsewhere(self._way.commit(compare, puts, deletes)))

    def watch(self, revision: int) -> AsyncIterator[Change]:
        return self._way.watch(revision)

    async def close(self) -> None:
        """The way stays as it is."""


class SimDisk:
    """A host's own store: an agent that dies has written it or not."""

    def __init__(self, host: SimHost) -> None:
        self._host, self._store = host, host.disk

    async def read(self, prefix: str) -> Snapshot:
        return await self._store.read(prefix)

    async def commit(
        self, compare: Mapping[str, int], puts: Mapping[str, str], deletes: Collection[str] = ()
    ) -> int | None:
        await asyncio.sleep(0.001)
        if self._host.unkept:
            raise MayHeal(self._host.unkept)
        revision = await self._store.commit(compare, puts, deletes)
        await asyncio.sleep(0.001)
        return revision

    def watch(self, revision: int) -> AsyncIterator[Change]:
        return self._store.watch(revision)

    async def close(self) -> None:
        """It outlives the agent."""


class SimHub:
    """contracts.FactHub: an answer is what was seen when it was asked for, not what is so now."""

    def __init__(self, host: SimHost, news: Callable[[str], None]) -> None:
        self._host, self._news = host, news
        self._answers: dict[tuple[Owner, Ask[Any]], Any] = {}
        self._costly: dict[Owner, list[Ask[Any]]] = {}
        self._followed: dict[str, dict[Owner, None]] = {}

    def known(self, owner: Owner, ask: Any) -> Any:
        return self._answers.get((owner, ask), NOT_YET)

    async def answer(self, owner: Owner, asks: Iterable[Ask[Any]], acts: bool = True) -> None:
        asked = list(asks)
        if not any(ask.costly for ask in asked):  # a new look begins: what costs is asked anew in each
            for old in self._costly.pop(owner, ()):
                self._answers.pop((owner, old), None)
        for ask in asked:
            if ask.costly:
                self._costly.setdefault(owner, []).append(ask)
            thing = self._thing(owner, ask)
            if thing in self._host.blind:
                self._answers[owner, ask] = Failed(f"{thing} does not answer")
            elif isinstance(ask, Seen):
                self._answers[owner, ask] = self._host.look(thing)
            else:
                self._answers[owner, ask] = await self._host.kernel.answer(ask, owner)
        await asyncio.sleep(0.001)

    def _thing(self, owner: Owner, ask: Ask[Any]) -> str:
        return ask.thing if isinstance(ask, Seen) else self._host.parts.thing(owner)

    def follow(self, owner: Owner, asks: Sequence[Ask[Any]]) -> None:
        for owners in self._followed.values():
            owners.pop(owner, None)
        for ask in asks:
            self._followed.setdefault(self._thing(owner, ask), {})[owner] = None

    def touched(self, owner: Owner, touches: Iterable[str]) -> None:
        """Every answer is a new look."""

    def begin(self, service: str, asks: Asking) -> Callable[[Owner], None]:
        return lambda owner: None

    def changed(self, thing: str) -> None:
        for owner in self._followed.get(thing, {}):
            self._news(owner.service)


@dataclass
class SimRecorder:
    """contracts.Recorder."""

    say: Callable[[str], None]

    def record(self, event: Event) -> None:
        if event.kind in ("decision", "wish") or not event.ok:
            self.say(f"{event.service}: {event.kind} {event.rid} {event.text}")
