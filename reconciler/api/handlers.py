"""One request → the agent's answer as JSON; each method serves one row of the table of routes."""

import asyncio
import json
import logging
import math
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web

from reconciler.api import shapes
from reconciler.api.agent import Agent, Object, Previews, Principal, Role
from reconciler.api.routes import ADMIN_VERBS
from reconciler.api.select import key_of, select, unmatched
from reconciler.api.streams import HEARTBEAT, Streams
from reconciler.decide.what_if import CHANGES
from reconciler.errors import MayHeal, NeedsPerson

PRINCIPAL = web.RequestKey("principal", Principal)
SLICE = 50  # objects written as JSON before the loop has its turn
KEPT = 256  # services whose text is kept until they change: some MiB at most
DAY = 86_400.0

log = logging.getLogger("standfast.api")


class Refusal(Exception):
    """Ends a request with a status and an error object."""

    def __init__(self, status: int, error: str, todo: str = "") -> None:
        super().__init__(error)
        self.status, self.error, self.todo = status, error, todo


class Handlers:
    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._texts: dict[str, tuple[Object, str]] = {}  # by key: an object as last listed, and its text
        self.streams = Streams(agent)

    async def health(self, request: web.Request) -> web.StreamResponse:
        return _json({"status": "ok"})

    async def openapi(self, request: web.Request) -> web.StreamResponse:
        return _json(shapes.openapi())

    async def services(self, request: web.Request) -> web.StreamResponse:
        return await _list(request, self._selected(request), self._text)

    async def service(self, request: web.Request) -> web.StreamResponse:
        return _json(self._named(request)[1])

    async def plan(self, request: web.Request) -> web.StreamResponse:
        return _json(await self._agent.plan(self._named(request)[0]))

    async def why(self, request: web.Request) -> web.StreamResponse:
        return _json(await self._agent.why(self._named(request)[0]))

    async def wish(self, request: web.Request) -> web.StreamResponse:
        wish = await _wish(request)
        key, _ = self._named(request)
        return _json(await self._agent.ask(key, wish, request[PRINCIPAL]), 202)

    async def node(self, request: web.Request) -> web.StreamResponse:
        return _json(self._agent.node())

    async def node_wish(self, request: web.Request) -> web.StreamResponse:
        wish = await _wish(request)
        return _json(await self._agent.ask_node(wish, request[PRINCIPAL]), 202)

    async def what_if(self, request: web.Request) -> web.StreamResponse:
        change = request.query.get("change", "down")
        if change not in CHANGES:
            raise Refusal(400, f"change: {change!r} is none of {', '.join(CHANGES)}")
        return _json(self._agent.what_if(request.query.get("node", ""), change))

    async def decisions(self, request: web.Request) -> web.StreamResponse:
        return await _list(request, await self._agent.decisions(request.query.get("service", "")))

    async def documents(self, request: web.Request) -> web.StreamResponse:
        found = self._agent.documents()
        if request.query.get("faulty", "") == "true":
            found = [document for document in found if not document["valid"]]
        return await _list(request, found)

    async def preview(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request, "preview")
        if not isinstance(self._agent, Previews):
            raise Refusal(501, "this agent cannot preview documents")
        return _json(await self._agent.preview(body["path"], body["content"]))

    async def prune(self, request: web.Request) -> web.StreamResponse:
        return _json(await self._agent.prune(request[PRINCIPAL]))

    async def events(self, request: web.Request) -> web.StreamResponse:
        seconds, service, limit, after = _events_query(request)
        beat = _heartbeat(request)
        if "text/event-stream" in request.headers.get("Accept", ""):
            if last := request.headers.get("Last-Event-ID", ""):
                after, seconds = int(_number("Last-Event-ID", last)), math.inf
            return await self.streams.events(request, min(seconds, 1e10), service, limit, after, beat)
        return await _list(request, await self._agent.events(seconds, service, limit, after))

    async def watch(self, request: web.Request) -> web.StreamResponse:
        return await self.streams.watch(request, request.query.getall("selector", []), _heartbeat(request))

    def _text(self, service: Object) -> str:
        """An object that changes is another object: what it was written as can be kept beside it."""
        key = key_of(service)
        kept = self._texts.get(key)
        if kept is None or kept[0] is not service:
            if kept is None and len(self._texts) >= KEPT:
                self._texts.pop(next(iter(self._texts)))
            kept = self._texts[key] = service, dumps(service)
        return kept[1]

    def _named(self, request: web.Request) -> tuple[str, Object]:
        key = f"{request.match_info['namespace']}/{request.match_info['name']}"
        found = self._agent.service(key)
        if found is None:
            nothing = unmatched(self._agent.services(), [key])
            raise Refusal(404, f"there is no service {key}", nothing[1] if nothing else "")
        return key, found

    def _selected(self, request: web.Request) -> list[Object]:
        selectors = request.query.getall("selector", [])
        services = self._agent.services()
        if nothing := unmatched(services, selectors):
            raise Refusal(404, f"no service matches {nothing[0]!r}", nothing[1])
        return select(services, selectors)


@web.middleware
async def faults_as_json(request: web.Request, handler: Any) -> web.StreamResponse:
    """Every failure is an error object; only a bug is a 500, and it is logged with its traceback."""
    try:
        answer: web.StreamResponse = await handler(request)
    except Refusal as refusal:
        return _error(refusal.status, refusal.error, refusal.todo)
    except NeedsPerson as fault:
        what, todo = (*map(str, fault.args), "", "")[:2]
        return _error(409, what, todo)
    except MayHeal as fault:
        return _error(503, str(fault), "try again")
    except web.HTTPException as fault:
        text = {404: f"there is no {request.path}", 405: f"{request.method} is not for {request.path}"}
        return _error(
            fault.status, text.get(fault.status, fault.reason), "GET /v1/openapi.json lists all paths"
        )
    except Exception:  # a bug costs one answer, not the connection or the agent
        log.exception("%s %s failed", request.method, request.path)
        return _error(500, "the agent failed to answer: this is a bug", "see its log for the traceback")
    return answer


async def _wish(request: web.Request) -> Object:
    wish = shapes.completed("wish", await _body(request, "wish"))
    principal = request[PRINCIPAL]
    if principal.role < Role.ADMIN and (wish["verb"] in ADMIN_VERBS or wish["force"]):
        what = f"{wish['verb']}{' by force' if wish['force'] else ''}"
        raise Refusal(
            403,
            f"{principal.name} may not ask for {what}: that needs the role admin",
            principal.way(Role.ADMIN),
        )
    return wish


async def _body(request: web.Request, shape: str) -> Object:
    try:
        body = json.loads(await request.text())
    except (ValueError, RecursionError) as fault:
        raise Refusal(400, f"the body is not JSON: {fault}", f"send the shape {shape!r}") from None
    if wrong := shapes.fault(shape, body):
        raise Refusal(400, wrong, f"GET /v1/openapi.json has the shape {shape!r}")
    return dict(body)


def _events_query(request: web.Request) -> tuple[float, str, int, int]:
    query = request.query
    seconds = _number("seconds", query.get("seconds", str(DAY)))
    limit = _number("limit", query.get("limit", "1000"))
    after = _number("after", query.get("after", "0"))
    return seconds, query.get("service", ""), min(int(limit), 100_000), int(after)


def _heartbeat(request: web.Request) -> float:
    return max(_number("heartbeat", request.query.get("heartbeat", str(HEARTBEAT))), 0.1)


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1e18:
        raise Refusal(400, f"{name}: {text!r} is not a number from 0", "give a plain number")
    return value


def _json(value: object, status: int = 200) -> web.Response:
    return web.json_response(value, status=status, dumps=dumps)


def _error(status: int, error: str, todo: str = "") -> web.Response:
    return _json({"error": error, "todo": todo}, status)


def dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


async def _list(
    request: web.Request, items: Iterable[Object], text: Callable[[Object], str] = dumps
) -> web.StreamResponse:
    """`{"items": […]}`, written in slices: the loop never waits for a thousand services."""
    texts: list[str] = []
    for number, item in enumerate(items, 1):
        texts.append(text(item))
        if number % SLICE == 0:
            await asyncio.sleep(0)
    body = f'{{"items":[{",".join(texts)}]}}'
    return web.Response(text=body, content_type="application/json")
