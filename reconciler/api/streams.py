"""What changes in the agent → server-sent events, until the reader leaves or the agent ends."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence

from aiohttp import web

from reconciler.api.agent import Agent, Object
from reconciler.api.select import key_of, matches, select

HEARTBEAT = 15.0  # seconds of silence before a sign of life, by default


class Streams:
    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Let every reader go: the agent ends."""
        self._ending.set()

    async def watch(
        self, request: web.Request, selectors: Sequence[str], heartbeat: float
    ) -> web.StreamResponse:
        """All that is selected, then "ready", then what changes."""
        changes = self._agent.subscribe()
        response = _fresh()
        try:
            await response.prepare(request)
            for service in select(self._agent.services(), selectors):
                await _send(response, "service", service)
            await _send(response, "ready", {})
            async for kind, object in self._live(response, changes, heartbeat):
                if _concerns(kind, object, selectors):
                    await _send(response, kind, object)
        except ConnectionResetError:
            pass  # the reader has left
        finally:
            await _leave(changes)
        return response

    async def events(
        self, request: web.Request, seconds: float, service: str, limit: int, after: int, heartbeat: float
    ) -> web.StreamResponse:
        """Those that were, then those that come; none twice, none left out."""
        changes = self._agent.subscribe()
        response = _fresh()
        try:
            await response.prepare(request)
            sent = after
            for event in await self._agent.events(seconds, service, limit, after):
                await _send(response, "event", event, event["number"])
                sent = event["number"]
            async for kind, object in self._live(response, changes, heartbeat):
                if kind == "event" and object["number"] > sent and service in ("", object["service"]):
                    await _send(response, "event", object, object["number"])
        except ConnectionResetError:
            pass  # the reader has left
        finally:
            await _leave(changes)
        return response

    async def _live(
        self, response: web.StreamResponse, changes: AsyncIterator[tuple[str, Object]], heartbeat: float
    ) -> AsyncIterator[tuple[str, Object]]:
        """Changes as they come, with heartbeats between; ends with the agent."""
        ending = asyncio.ensure_future(self._ending.wait())
        waiting: asyncio.Future[tuple[str, Object]] | None = None
        try:
            while not self._ending.is_set():
                waiting = waiting or asyncio.ensure_future(_next(changes))
                await asyncio.wait(
                    (waiting, ending), timeout=heartbeat, return_when=asyncio.FIRST_COMPLETED
                )
                if waiting.done():
                    try:
                        change = waiting.result()
                    except StopAsyncIteration:
                        return
                    waiting = None
                    yield change
                elif not ending.done():
                    await response.write(b": heartbeat\n\n")
        finally:
            for task in (ending, waiting):
                if task is not None and not task.done():
                    task.cancel()


async def _next(changes: AsyncIterator[tuple[str, Object]]) -> tuple[str, Object]:
    return await anext(changes)


async def _leave(changes: AsyncIterator[tuple[str, Object]]) -> None:
    if (close := getattr(changes, "aclose", None)) is not None:
        with contextlib.suppress(RuntimeError):  # a generator that is still running ends by itself
            await close()


def _fresh() -> web.StreamResponse:
    return web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})


async def _send(response: web.StreamResponse, kind: str, object: Object, number: int | None = None) -> None:
    identity = "" if number is None else f"id: {number}\n"
    data = json.dumps(object, ensure_ascii=False, separators=(",", ":"))  # one line: no raw line breaks
    await response.write(f"event: {kind}\n{identity}data: {data}\n\n".encode())


def _concerns(kind: str, object: Object, selectors: Sequence[str]) -> bool:
    if not selectors or kind == "node":
        return True
    key = object["service"] if kind == "event" else key_of(object)
    return any(matches(one, key) for one in selectors)
