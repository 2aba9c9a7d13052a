"""Service objects, statistics and the account → an HTTP page for Prometheus, on its own listener.

The page is written in slices of a few milliseconds between which the event loop does its work, so a
scrape of 10,000 resources delays nothing; concurrent scrapes wait for each other.
"""

import asyncio
import gzip
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest

from metrics.account import Account
from metrics.figures import Statistics, write_account, write_agent, write_statistics
from metrics.objects import write_service
from metrics.page import CONTENT_TYPE, Page
from reconciler.errors import MayHeal, NeedsPerson

SLICE = 0.003  # seconds of writing before others have their turn
WORTH_PACKING = 4096  # bytes

log = logging.getLogger("standfast.metrics")


class Exporter:
    """`objects` may be a generator: it is consumed in slices, too. Each object must be whole; one
    that is not is left out, counted, and logged once for each reason."""

    def __init__(
        self,
        node: str,
        objects: Callable[[], Iterable[Mapping[str, Any]]],
        statistics: Callable[[], Statistics],
        account: Account,
    ) -> None:
        self._node, self._objects, self._statistics, self._account = node, objects, statistics, account
        self._one_at_a_time = asyncio.Lock()
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._seconds = 0.0
        self._errors = 0
        self._said: set[str] = set()

    async def page(self) -> list[bytes]:
        """The whole page, in pieces."""
        async with self._one_at_a_time:
            started = turn = time.perf_counter()
            page, drivers = Page(), set[str]()
            resources: dict[str, set[str]] = {}
            for service in self._objects():
                self._write(page, service, resources, drivers)
                if time.perf_counter() - turn > SLICE:
                    await asyncio.sleep(0)
                    turn = time.perf_counter()
            self._account.forget_all_but(resources)
            write_account(page, self._account, drivers)
            write_statistics(page, self._statistics())
            write_agent(page, self._node, self._seconds, self._errors)
            pieces = []
            for piece in page.pieces():
                pieces.append(piece)
                await asyncio.sleep(0)
            pieces.append(generate_latest(self._registry))
            self._seconds = time.perf_counter() - started
            return pieces

    def _write(
        self, page: Page, service: Mapping[str, Any], resources: dict[str, set[str]], drivers: set[str]
    ) -> None:
        try:
            key, rids = write_service(page, service, self._node, self._account, drivers)
            resources[key] = rids
        except (KeyError, TypeError, AttributeError, ValueError) as fault:
            # One object that is not of its shape must not take the figures of all others away.
            self._errors += 1
            if repr(fault) not in self._said and len(self._said) < 20:
                self._said.add(repr(fault))
                log.warning("a service could not be written into the metrics", exc_info=fault)


# --- the listener --------------------------------------------------------------------------


@dataclass(frozen=True)
class Listener:
    """`port` is the one in use, also where 0 was asked for."""

    port: int
    _runner: web.AppRunner

    async def close(self) -> None:
        await self._runner.cleanup()


async def serve(exporter: Exporter, listen: str) -> Listener:
    """Answer GET /metrics on `host:port`, `[v6]:port` or `:port`.

    Raises NeedsPerson when that is no address, MayHeal when it cannot be listened on.
    """
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise NeedsPerson(f"metrics_listen: {listen!r} is not an address: write 127.0.0.1:9833")

    async def metrics(request: web.Request) -> web.StreamResponse:
        return await _answer(request, await exporter.page())

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/", _index)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host.strip("[]") or None, int(port)).start()
    except OSError as fault:
        await runner.cleanup()
        raise MayHeal(f"metrics_listen: cannot listen on {listen}: {fault.strerror or fault}") from fault
    return Listener(int(runner.addresses[0][1]), runner)


async def _index(_: web.Request) -> web.Response:
    return web.Response(text='<a href="/metrics">metrics</a> of Standfast\n', content_type="text/html")


async def _answer(request: web.Request, pieces: list[bytes]) -> web.StreamResponse:
    headers = {"Content-Type": CONTENT_TYPE}
    length = sum(map(len, pieces))
    if length > WORTH_PACKING and "gzip" in request.headers.get("Accept-Encoding", ""):
        packed = await asyncio.to_thread(lambda: gzip.compress(b"".join(pieces), 1))
        return web.Response(body=packed, headers={**headers, "Content-Encoding": "gzip"})
    response = web.StreamResponse(headers={**headers, "Content-Length": str(length)})
    await response.prepare(request)
    if request.method != "HEAD":
        for piece in pieces:
            await response.write(piece)
    await response.write_eof()
    return response
