"""What changed → every subscriber, at its own speed and in bounded memory."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

EVENTS = 1000  # events a slow reader may lie behind; the oldest are dropped


class Fanout:
    """Of an object only its latest state is kept for a reader that is behind."""

    def __init__(self) -> None:
        self._readers: set[_Reader] = set()

    def publish(self, kind: str, object: dict[str, Any]) -> None:
        """Hand it to all: ("event", …) in order, ("service", …) and the like by their latest state."""
        for reader in self._readers:
            reader.put(kind, object)

    def subscribe(self) -> "AsyncIterator[tuple[str, dict[str, Any]]]":
        """Everything published from this call on."""
        reader = _Reader(self)
        self._readers.add(reader)
        return reader

    def leave(self, reader: "_Reader") -> None:
        self._readers.discard(reader)

    def __len__(self) -> int:
        return len(self._readers)


class _Reader:
    def __init__(self, fanout: Fanout) -> None:
        self._fanout = fanout
        self._objects: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {}
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS)
        self._news = asyncio.Event()

    def put(self, kind: str, object: dict[str, Any]) -> None:
        if kind == "event":
            self._events.append(object)
        else:
            meta = object.get("metadata", {})
            identity = (
                "service" if kind == "deleted" else kind,
                f"{meta.get('namespace')}/{meta.get('name')}",
            )
            self._objects.pop(identity, None)  # a deletion must not come before what it deletes
            self._objects[identity] = (kind, object)
        self._news.set()

    def __aiter__(self) -> "_Reader":
        return self

    async def __anext__(self) -> tuple[str, dict[str, Any]]:
        while True:
            if self._objects:
                return self._objects.pop(next(iter(self._objects)))
            if self._events:
                return "event", self._events.popleft()
            self._news.clear()
            await self._news.wait()

    async def aclose(self) -> None:
        self._fanout.leave(self)
