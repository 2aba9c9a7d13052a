"""The API over its socket: answers, refusals, streams, who may what, and the socket itself."""

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from reconciler.api import shapes
from reconciler.api.routes import ROUTES, Route
from reconciler.api.server import Server
from reconciler.errors import MayHeal, NeedsPerson
from tests.api.conftest import Reader
from tests.api.fake import FakeAgent, document, service

BODIES = {"wish": {"verb": "stop"}, "preview": {"path": "svc1.yaml", "content": "kind: Service"}}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_every_route_answers_in_its_shape(
    http: aiohttp.ClientSession, agent: FakeAgent, route: Route
) -> None:
    agent.happen("mount")
    path = route.path.format(namespace="root", name="svc1")
    body = BODIES[route.body] if route.body else None
    async with http.request(route.method, path, json=body) as response:
        assert response.status == route.status
        if path == "/v1/watch":
            kind, answer, _ = await Reader(response).next()
            assert kind == "service"
        else:
            answer = await response.json()
    assert shapes.fault(route.answer, answer) == ""


async def test_lists_only_faulty_documents_when_asked(
    http: aiohttp.ClientSession, agent: FakeAgent
) -> None:
    agent.files = [document("good.yaml"), document("bad.yaml", ("unknown keyword",))]
    async with http.get("/v1/documents?faulty=true") as response:
        answer = await response.json()
    assert shapes.fault("documents", answer) == ""
    assert [item["path"] for item in answer["items"]] == ["bad.yaml"]


@pytest.mark.parametrize(
    ("selectors", "found"),
    [
        pytest.param([], ["prod/web", "prod/web2", "root/svc1"], id="none: all"),
        pytest.param(["svc1"], ["root/svc1"], id="a name"),
        pytest.param(["prod/web"], ["prod/web"], id="namespace and name"),
        pytest.param(["prod/*"], ["prod/web", "prod/web2"], id="a glob"),
        pytest.param(["*/*b*", "svc1"], ["prod/web", "prod/web2", "root/svc1"], id="several"),
        pytest.param(["*"], ["root/svc1"], id="a star alone stays in namespace root"),
    ],
)
async def test_selects(http: aiohttp.ClientSession, selectors: list[str], found: list[str]) -> None:
    async with http.get("/v1/services", params=[("selector", s) for s in selectors]) as response:
        items = (await response.json())["items"]
    assert [f"{i['metadata']['namespace']}/{i['metadata']['name']}" for i in items] == found


async def test_a_list_has_what_changed_and_what_is_new(
    http: aiohttp.ClientSession, agent: FakeAgent
) -> None:
    async def listed() -> dict[str, str]:
        async with http.get("/v1/services") as response:
            items = (await response.json())["items"]
        return {i["metadata"]["name"]: i["status"]["avail"] for i in items}

    assert await listed() == {"web": "up", "web2": "down", "svc1": "up"}
    agent.objects["root/svc1"] = service("svc1", avail="down")
    agent.objects["root/new"] = service("new")
    del agent.objects["prod/web2"]
    assert await listed() == {"web": "up", "svc1": "down", "new": "up"}


REFUSED: list[Any] = [
    pytest.param(
        "GET", "/v1/services?selector=web", None, 404, "did you mean prod/web?", id="other namespace"
    ),
    pytest.param("GET", "/v1/services?selector=svc", None, 404, "root/svc1", id="a selector mistyped"),
    pytest.param("GET", "/v1/services/root/svc2", None, 404, "root/svc1", id="a name mistyped"),
    pytest.param("GET", "/v1/nowhere", None, 404, "/v1/nowhere", id="no such path"),
    pytest.param("DELETE", "/v1/services", None, 405, "DELETE", id="no such method"),
    pytest.param("POST", "/v1/services/root/svc1/wish", "{", 400, "not JSON", id="not JSON"),
    pytest.param("POST", "/v1/services/root/svc1/wish", "[" * 100_000, 400, "not JSON", id="deep JSON"),
    pytest.param("POST", "/v1/services/root/svc1/wish", "[]", 400, "object", id="not an object"),
    pytest.param("POST", "/v1/services/root/svc1/wish", '{"verb":"fly"}', 400, "fly", id="no such verb"),
    pytest.param(
        "POST", "/v1/services/root/svc1/wish", '{"verb":"stop","for":-1}', 400, "for", id="negative"
    ),
    pytest.param(
        "POST", "/v1/services/root/svc1/wish", '{"verb":"stop","rid":"a"}', 400, "rid", id="mistyped"
    ),
    pytest.param(
        "POST", "/v1/services/root/no/wish", '{"verb":"stop"}', 404, "root/no", id="no such service"
    ),
    pytest.param("GET", "/v1/events?limit=many", None, 400, "many", id="not a number"),
    pytest.param("GET", "/v1/events?seconds=-5", None, 400, "-5", id="a negative number"),
    pytest.param("POST", "/v1/preview", "x" * 2_000_000, 413, "", id="too large"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "words"), REFUSED)
async def test_a_refusal_is_an_error_object(
    http: aiohttp.ClientSession,
    agent: FakeAgent,
    method: str,
    path: str,
    body: str | None,
    status: int,
    words: str,
) -> None:
    async with http.request(method, path, data=body) as response:
        assert response.status == status
        error = await response.json()
    assert shapes.fault("error", error) == ""
    assert words in error["error"] + error["todo"]
    assert agent.asked == []


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [
        pytest.param(
            NeedsPerson("git says stopped (a.yaml:7)", "start --for 2h overrides"),
            409,
            {"error": "git says stopped (a.yaml:7)", "todo": "start --for 2h overrides"},
            id="a person must act",
        ),
        pytest.param(NeedsPerson("no"), 409, {"error": "no", "todo": ""}, id="and is not told how"),
        pytest.param(MayHeal("no room"), 503, {"error": "no room", "todo": "try again"}, id="it may heal"),
        pytest.param(KeyError("x"), 500, None, id="a bug"),
    ],
)
async def test_failures_of_the_agent(
    http: aiohttp.ClientSession,
    agent: FakeAgent,
    fault: Exception,
    status: int,
    error: dict[str, str] | None,
) -> None:
    agent.fails = fault
    async with http.post("/v1/services/root/svc1/wish", json={"verb": "stop"}) as response:
        assert response.status == status
        said = await response.json()
    assert shapes.fault("error", said) == ""
    assert error is None or said == error
    async with http.get("/healthz") as response:
        assert response.status == 200, "and the agent goes on"


async def test_a_wish_arrives_complete_and_signed(http: aiohttp.ClientSession, agent: FakeAgent) -> None:
    body = {"verb": "stop", "reason": "disk swap", "rids": ["fs#app"]}
    async with http.post("/v1/services/root/svc1/wish", json=body) as response:
        assert (response.status, await response.json()) == (202, {"id": "1"})
    ((key, wish, principal),) = agent.asked
    assert key == "root/svc1"
    assert wish == {
        "verb": "stop",
        "reason": "disk swap",
        "rids": ["fs#app"],
        "upto": "",
        "downto": "",
        "for": None,
        "force": False,
        "local": False,
        "to": "",
        "scope": "node",
        "until_reboot": False,
    }
    assert (principal.uid, str(principal.role)) == (os.geteuid(), "admin")


# --- streams -------------------------------------------------------------------------------------


async def test_a_watch_begins_with_all_and_goes_on_with_changes(
    http: aiohttp.ClientSession, agent: FakeAgent
) -> None:
    async with asyncio.timeout(5), http.get("/v1/watch") as response:
        reader = Reader(response)
        first = [(kind, o["metadata"]["name"]) for kind, o, _ in [await reader.next() for _ in range(3)]]
        assert first == [("service", "web"), ("service", "web2"), ("service", "svc1")]
        assert (await reader.next())[0] == "ready"
        agent.change("root/svc1", avail="down")
        kind, changed, _ = await reader.next()
        assert (kind, changed["status"]["avail"]) == ("service", "down")
        agent.happen("mount")
        assert (await reader.next())[1]["text"] == "mount"
        agent.remove("prod/web")
        assert (await reader.next())[0] == "deleted"


async def test_a_watch_of_one_hears_of_no_other(http: aiohttp.ClientSession, agent: FakeAgent) -> None:
    async with asyncio.timeout(5), http.get("/v1/watch", params={"selector": "svc1"}) as response:
        reader = Reader(response)
        assert (await reader.next())[1]["metadata"]["name"] == "svc1"
        assert (await reader.next())[0] == "ready"
        agent.change("prod/web", avail="down")
        agent.happen("other", "prod/web")
        agent.change("root/svc1", avail="warn")
        assert (await reader.next())[1]["status"]["avail"] == "warn"


async def test_events_resume_where_the_client_was(http: aiohttp.ClientSession, agent: FakeAgent) -> None:
    for text in "abc":
        agent.happen(text)
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "1"}
    async with asyncio.timeout(5), http.get("/v1/events", headers=headers) as response:
        reader = Reader(response)
        assert [(await reader.next())[1]["text"] for _ in range(2)] == ["b", "c"]
        agent.happen("d")
        agent.happen("elsewhere", "prod/web")
        assert [(await reader.next())[2] for _ in range(2)] == ["4", "5"]


async def test_silence_is_broken_by_heartbeats(http: aiohttp.ClientSession) -> None:
    headers = {"Accept": "text/event-stream"}
    async with asyncio.timeout(5), http.get("/v1/events?heartbeat=0.1", headers=headers) as response:
        assert await response.content.readline() == b": heartbeat\n"


@pytest.mark.parametrize("path", ["/v1/watch", "/v1/events"])
async def test_a_reader_that_leaves_is_forgotten_without_a_word(
    http: aiohttp.ClientSession, agent: FakeAgent, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    agent.happen("before")
    async with http.get(path, headers={"Accept": "text/event-stream"}) as response:
        await Reader(response).next()
        assert len(agent.fanout) == 1
    async with asyncio.timeout(5):
        while len(agent.fanout):
            agent.happen("written to nobody")
            await asyncio.sleep(0.01)
    assert caplog.messages == []


async def test_closing_ends_the_streams_at_once(
    http: aiohttp.ClientSession, server: Server, agent: FakeAgent
) -> None:
    async with asyncio.timeout(5), http.get("/v1/watch") as response:
        reader = Reader(response)
        for _ in range(4):
            await reader.next()
        await server.close()
        with pytest.raises((EOFError, aiohttp.ClientError)):
            await reader.next()
    assert len(agent.fanout) == 0
    assert not server.path.exists()


# --- who -----------------------------------------------------------------------------------------

ASK = """
import json, os, socket, sys
path, uid, groups, method, url, body = sys.argv[1:]
os.setgroups([int(g) for g in groups.split(",") if g])
os.setgid(int(uid)); os.setuid(int(uid))
s = socket.socket(socket.AF_UNIX); s.connect(path)
s.sendall(f"{method} {url} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n"
          f"Content-Length: {len(body)}\\r\\n\\r\\n{body}".encode())
answer = b""
while part := s.recv(65536): answer += part
head, _, body = answer.partition(b"\\r\\n\\r\\n")
print(head.split()[1].decode(), body.decode())
"""
NOBODY, STRANGERS, VIEWERS, OPERATORS = 65534, "", "60001", "60002"
WISH = ("POST", "/v1/services/root/svc1/wish")

MAY: list[Any] = [
    pytest.param(STRANGERS, "GET", "/healthz", "", 200, id="a stranger: is it alive"),
    pytest.param(STRANGERS, "GET", "/v1/services", "", 403, id="a stranger: nothing else"),
    pytest.param(VIEWERS, "GET", "/v1/services", "", 200, id="a viewer: see"),
    pytest.param(VIEWERS, *WISH, '{"verb":"stop"}', 403, id="a viewer: not ask"),
    pytest.param(OPERATORS, "GET", "/v1/services", "", 200, id="an operator: see"),
    pytest.param(OPERATORS, *WISH, '{"verb":"stop"}', 202, id="an operator: ask"),
    pytest.param(OPERATORS, *WISH, '{"verb":"purge"}', 403, id="an operator: not destroy"),
    pytest.param(OPERATORS, *WISH, '{"verb":"start","force":true}', 403, id="an operator: not by force"),
    pytest.param(OPERATORS, "POST", "/v1/prune", "", 403, id="an operator: not prune"),
    pytest.param(f"{VIEWERS},{OPERATORS}", *WISH, '{"verb":"stop"}', 202, id="of two groups the better"),
]


@pytest.fixture
async def guarded(agent: FakeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server whose groups `ops` and `eyes` exist, at a place everybody can reach."""
    if os.geteuid():
        pytest.skip("being other users needs root")
    import grp

    known = {"eyes": int(VIEWERS), "ops": int(OPERATORS)}
    real = grp.getgrnam

    def getgrnam(name: str) -> Any:
        if name not in known:
            return real(name)
        return grp.struct_group((name, "x", known[name], []))

    monkeypatch.setattr(grp, "getgrnam", getgrnam)
    directory = Path(f"/tmp/standfast-test-{os.getpid()}")
    server = Server(agent, directory / "s.sock", {"eyes": "viewer", "ops": "operator", "ghosts": "admin"})
    await server.start()
    try:
        yield server
    finally:
        await server.close()
        directory.rmdir()


@pytest.mark.root
@pytest.mark.parametrize(("groups", "method", "url", "body", "status"), MAY)
async def test_may(guarded: Server, groups: str, method: str, url: str, body: str, status: int) -> None:
    arguments = [sys.executable, "-c", ASK, guarded.path, str(NOBODY), groups, method, url, body]
    done = await asyncio.to_thread(subprocess.run, arguments, capture_output=True, text=True, check=True)
    said, _, content = done.stdout.partition(" ")
    assert int(said) == status
    if status == 403 and groups == STRANGERS:
        error = json.loads(content)
        assert "eyes" in error["error"], "it names the groups that may"
        assert "ops" in error["error"]


@pytest.mark.root
async def test_without_groups_only_root_may(agent: FakeAgent) -> None:
    if os.geteuid():
        pytest.skip("being other users needs root")
    directory = Path(f"/tmp/standfast-test-{os.getpid()}")
    server = Server(agent, directory / "s.sock", {})
    await server.start()
    try:
        arguments = [sys.executable, "-c", ASK, server.path, str(NOBODY), "", "GET", "/v1/node", ""]
        done = await asyncio.to_thread(
            subprocess.run, arguments, capture_output=True, text=True, check=True
        )
        assert "node.yaml" in done.stdout
    finally:
        await server.close()
        directory.rmdir()


# --- the socket ----------------------------------------------------------------------------------


async def test_everybody_may_connect(server: Server) -> None:
    mode = os.stat(server.path).st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o666


async def test_a_stale_socket_is_replaced(agent: FakeAgent, tmp_path: Path) -> None:
    path = tmp_path / "standfast.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    server = Server(agent, path, {})
    await server.start()
    connector = aiohttp.UnixConnector(str(path))
    async with (
        aiohttp.ClientSession("http://x", connector=connector) as http,
        http.get("/healthz") as answer,
    ):
        assert answer.status == 200
    await server.close()


async def test_where_an_agent_answers_a_second_is_refused(server: Server, agent: FakeAgent) -> None:
    second = Server(agent, server.path, {})
    with pytest.raises(NeedsPerson, match="another agent answers"):
        await second.start()
    await second.close()
    assert server.path.exists(), "and the first keeps its socket"


async def test_a_file_in_the_way_is_not_removed(agent: FakeAgent, tmp_path: Path) -> None:
    path = tmp_path / "standfast.sock"
    path.write_text("precious")
    server = Server(agent, path, {})
    with pytest.raises(NeedsPerson, match="not a socket"):
        await server.start()
    await server.close()
    assert path.read_text() == "precious"


async def test_a_directory_that_cannot_be_used_may_heal(agent: FakeAgent, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    server = Server(agent, tmp_path / "file" / "standfast.sock", {})
    with pytest.raises(MayHeal, match="cannot listen"):
        await server.start()
    await server.close()


async def test_a_very_long_path_serves(agent: FakeAgent, tmp_path: Path) -> None:
    server = Server(agent, tmp_path / ("x" * 120) / "standfast.sock", {})
    await server.start()
    assert server.path.exists()
    await server.close()


async def test_many_services_do_not_hold_the_loop(
    agent: FakeAgent, server: Server, http: aiohttp.ClientSession
) -> None:
    """While 1,000 services of 10 resources are written, the loop has its turn."""
    agent.objects = {f"root/s{n:04}": service(f"s{n:04}", count=10) for n in range(1000)}
    longest = 0.0

    async def measure() -> None:
        nonlocal longest
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0)
            longest = max(longest, loop.time() - before)

    measuring = asyncio.create_task(measure())
    async with http.get("/v1/services") as response:
        content = await response.read()
    measuring.cancel()
    assert len(json.loads(content)["items"]) == 1000
    assert longest < 0.2, f"{longest:.3f} s in one step"
