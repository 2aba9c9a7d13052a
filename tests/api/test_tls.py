"""The API over TCP: who gets in, what they may, and why nobody is served."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509

from reconciler.api import tls
from reconciler.api.server import LARGEST, Server
from reconciler.errors import MayHeal, NeedsPerson
from reconciler.settings import Api
from tests.api.certificates import Authority
from tests.api.conftest import Reader
from tests.api.fake import FakeAgent

ROLES = {
    "ops laptop": "operator",
    "root laptop": "admin",
    "spiffe://site/watcher": "viewer",
    "w1": "viewer",
}
STOP = {"verb": "stop"}

Files = tuple[Path, Path] | None
Enter = Callable[[Files], Any]


@pytest.fixture
def people(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "people")


@pytest.fixture
def api(people: Authority) -> Api:
    certificate, key = people.server()
    return Api("127.0.0.1:0", str(certificate), str(key), str(people.ca), ROLES)


@pytest.fixture
async def port(server: Server, api: Api) -> int:
    return await server.serve_others(api)


@pytest.fixture
def enter(port: int, people: Authority) -> Enter:
    """A client that shows these files."""

    @asynccontextmanager
    async def entered(files: Files, scheme: str = "https") -> AsyncIterator[aiohttp.ClientSession]:
        trust = ssl.create_default_context(cafile=str(people.ca))
        if files:
            trust.load_cert_chain(*files)
        connector = aiohttp.TCPConnector(ssl=trust)
        async with aiohttp.ClientSession(f"{scheme}://127.0.0.1:{port}", connector=connector) as session:
            yield session

    return entered


async def test_an_operator_is_heard_and_named(enter: Enter, people: Authority, agent: FakeAgent) -> None:
    async with enter(people.issue("ops", "ops laptop")) as http:
        async with http.get("/v1/services") as response:
            assert len((await response.json())["items"]) == 3
        async with http.post("/v1/services/root/svc1/wish", json=STOP) as response:
            assert response.status == 202
    assert agent.asked[-1][-1].name == "ops laptop via TLS"


@pytest.mark.parametrize(
    ("common", "others", "path", "body", "status"),
    [
        ("ops laptop", (), "/v1/services/root/svc1/wish", STOP, 202),
        ("ops laptop", (), "/v1/services/root/svc1/wish", {"verb": "purge"}, 403),
        ("ops laptop", (), "/v1/prune", {}, 403),
        ("root laptop", (), "/v1/services/root/svc1/wish", {"verb": "purge"}, 202),
        ("", ("spiffe://site/watcher",), "/v1/services", None, 200),
        ("", ("spiffe://site/watcher",), "/v1/services/root/svc1/wish", STOP, 403),
        ("", ("w1",), "/v1/services", None, 200),
        ("stranger", ("w1",), "/v1/services", None, 403),  # its common name is its name
        ("stranger", (), "/healthz", None, 200),
        ("", (), "/v1/services", None, 403),
    ],
)
async def test_roles(
    enter: Enter,
    people: Authority,
    common: str,
    others: tuple[str, ...],
    path: str,
    body: Any,
    status: int,
) -> None:
    names = [x509.UniformResourceIdentifier(o) if ":" in o else x509.DNSName(o) for o in others]
    async with (
        enter(people.issue("client", common, *names)) as http,
        http.request("GET" if body is None else "POST", path, json=body) as response,
    ):
        assert response.status == status


async def test_a_refusal_says_what_to_add(enter: Enter, people: Authority) -> None:
    async with enter(people.issue("new", "new laptop")) as http, http.get("/v1/services") as response:
        said = await response.json()
    assert said["error"] == "new laptop via TLS has no role here, and this needs viewer"
    assert said["todo"] == 'add {"new laptop": viewer} to spec.api.roles in node.yaml of this host'


@pytest.mark.parametrize(("path", "status"), [("/v1/services", 200), ("/v1/decisions", 403)])
async def test_who_is_not_named_may_look_if_that_is_said(
    server: Server, api: Api, people: Authority, path: str, status: int
) -> None:
    port = await server.serve_others(replace(api, roles={}, default="viewer"))
    trust = ssl.create_default_context(cafile=str(people.ca))
    trust.load_cert_chain(*people.issue("new", "new laptop"))
    where = f"https://127.0.0.1:{port}{path}"
    async with aiohttp.ClientSession() as http, http.get(where, ssl=trust) as response:
        assert response.status == status


def _foreign(people: Authority, tmp_path: Path) -> Files:
    return Authority(tmp_path / "others").issue("ops", "ops laptop")


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(lambda people, tmp_path: None, id="no certificate"),
        pytest.param(_foreign, id="signed by a stranger of the same name"),
        pytest.param(
            lambda people, _: people.issue("old", "ops laptop", good_for=timedelta(days=-1)), id="expired"
        ),
    ],
)
async def test_nobody_else_gets_in(enter: Enter, people: Authority, tmp_path: Path, files: Any) -> None:
    async with enter(files(people, tmp_path)) as http:
        with pytest.raises(aiohttp.ClientError):
            await http.get("/healthz")
    async with enter(people.issue("ops", "ops laptop")) as http, http.get("/healthz") as response:
        assert response.status == 200  # and nothing of it was left behind


async def test_never_without_tls(enter: Enter) -> None:
    async with enter(None, scheme="http") as http:
        with pytest.raises(aiohttp.ClientError):
            await http.get("/healthz")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_never_with_an_old_tls(port: int, people: Authority) -> None:
    old = ssl.create_default_context(cafile=str(people.ca))
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.load_cert_chain(*people.issue("ops", "ops laptop"))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", port, ssl=old)


async def test_events_stream(enter: Enter, people: Authority, agent: FakeAgent) -> None:
    async with enter(people.issue("ops", "ops laptop")) as http, http.get("/v1/watch") as response:
        reader = Reader(response)
        kinds = [(await reader.next())[0] for _ in range(4)]
        agent.happen("mount")
        kinds.append((await reader.next())[0])
    assert kinds == ["service", "service", "service", "ready", "event"]


async def _read_to_the_end(reader: Reader) -> None:
    with contextlib.suppress(EOFError, aiohttp.ClientError):
        while True:
            await reader.next()


async def test_a_stream_ends_with_the_agent(
    enter: Enter, server: Server, people: Authority, agent: FakeAgent
) -> None:
    async with enter(people.issue("ops", "ops laptop")) as http, http.get("/v1/watch") as response:
        reader = Reader(response)
        await reader.next()
        async with asyncio.timeout(5):
            await server.close()
            await _read_to_the_end(reader)


async def test_limits_are_those_of_the_unix_socket(enter: Enter, people: Authority) -> None:
    async with enter(people.issue("ops", "ops laptop")) as http:
        body = {"verb": "stop", "reason": "x" * LARGEST}
        async with http.post("/v1/services/root/svc1/wish", json=body) as response:
            assert response.status == 413


async def test_what_a_web_page_can_make_a_browser_send_is_refused(
    enter: Enter, people: Authority, agent: FakeAgent
) -> None:
    async with enter(people.issue("ops", "ops laptop")) as http:
        plain = {"Content-Type": "text/plain"}
        async with http.post(
            "/v1/services/root/svc1/wish", data='{"verb":"stop"}', headers=plain
        ) as response:
            assert response.status == 415
    assert not agent.asked


async def test_who_only_connects_keeps_nobody_out_for_long(
    port: int, enter: Enter, people: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE", 0.2)
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(2 * tls.HANDSHAKES)]
    try:
        async with (
            asyncio.timeout(5),
            enter(people.issue("ops", "ops laptop")) as http,
            http.get("/healthz") as response,
        ):
            assert response.status == 200
    finally:
        for one in idle:
            one.close()


async def test_the_unix_socket_asks_for_no_certificate(port: int, http: aiohttp.ClientSession) -> None:
    async with http.get("/v1/services") as response:
        assert response.status == 200


def _mode(mode: int) -> Callable[[Api], Api]:
    def change(api: Api) -> Api:
        Path(api.key).chmod(mode)
        return api

    return change


def _text(field: str, text: str) -> Callable[[Api], Api]:
    def change(api: Api) -> Api:
        Path(getattr(api, field)).write_text(text)
        return api

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda a: replace(a, certificate="server.pem"), "not an absolute path", id="relative"),
        pytest.param(lambda a: replace(a, key="/nowhere/k"), "key: /nowhere/k cannot be read", id="absent"),
        pytest.param(lambda a: replace(a, key="/"), "Is a directory", id="a directory"),
        pytest.param(_mode(0o644), "others may read or write .*chmod 600", id="a key others may read"),
        pytest.param(_text("key", "no key"), "no certificate and its key", id="no key"),
        pytest.param(_text("client_ca", "none"), "client_ca: .* has no certificate", id="no authority"),
        pytest.param(lambda a: replace(a, listen="127.0.0.1:99999"), "not an address", id="no port"),
        pytest.param(lambda a: replace(a, listen="300.0.0.1:9834"), "not an address", id="no address"),
        pytest.param(lambda a: replace(a, listen="192.0.2.77:9834"), "cannot listen", id="not our address"),
    ],
)
async def test_says_why_nobody_is_served(server: Server, api: Api, change: Any, said: str) -> None:
    with pytest.raises((NeedsPerson, MayHeal), match=said):
        await server.serve_others(change(api))


async def test_says_that_the_port_is_taken(server: Server, api: Api) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = replace(api, listen=f"127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(MayHeal, match="Address already in use"):
            await server.serve_others(taken)


async def test_a_key_with_a_password_asks_nobody_at_a_terminal(server: Server, api: Api) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(Path(api.key).read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    Path(api.key).write_bytes(key.private_bytes(*form, locked))
    with pytest.raises(NeedsPerson, match="it has a password"):
        await server.serve_others(api)
