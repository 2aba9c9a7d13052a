"""The client against agents that answer oddly, late, in part, or not at all."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.cli import client
from tests.cli.conftest import Running

Serve = Callable[[bytes], SimpleNamespace]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Answers one request with exactly these bytes, then hangs up. Returns the client's args."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "standfast.sock"))
    listener.listen()

    def answering(content: bytes) -> SimpleNamespace:
        def act() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(content)

        threading.Thread(target=act, daemon=True).start()
        return SimpleNamespace(run=str(tmp_path))

    yield answering
    listener.close()


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(OK + b'Content-Length: 7\r\n\r\n{"a":1}', id="with its length"),
        pytest.param(
            OK + b'Transfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4;x=y\r\n":1}\r\n0\r\n\r\n', id="in chunks"
        ),
        pytest.param(OK + b'X: y\r\ncontent-length: 7\r\n\r\n{"a":1}more', id="with more behind it"),
    ],
)
def test_reads_an_answer(serve: Serve, content: bytes) -> None:
    assert client.get(serve(content), "/v1/node") == {"a": 1}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1", id="half a line"),
        pytest.param(OK, id="a head that ends early"),
        pytest.param(OK + b'Content-Length: 70\r\n\r\n{"a":1}', id="a body that ends early"),
        pytest.param(OK + b'Transfer-Encoding: chunked\r\n\r\n9\r\n{"a', id="a chunk that ends early"),
        pytest.param(OK + b"Content-Length: 3\r\n\r\n{a}", id="not JSON"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", id="not HTTP"),
    ],
)
def test_an_answer_cut_short_is_said_to_be_that(serve: Serve, content: bytes) -> None:
    with pytest.raises(client.Failed, match="ended while it answered") as failed:
        client.get(serve(content), "/v1/node")
    assert failed.value.code == client.NO_AGENT


@pytest.mark.parametrize(
    ("status", "body", "code", "text"),
    [
        pytest.param(403, '{"error":"no","todo":"ask ops"}', 4, "no: ask ops", id="forbidden"),
        pytest.param(409, '{"error":"git says stopped","todo":""}', 4, "git says stopped", id="refused"),
        pytest.param(404, '{"error":"no service","todo":"ls"}', 1, "no service: ls", id="not there"),
        pytest.param(400, '{"error":"bad","todo":""}', 2, "bad", id="bad request"),
        pytest.param(500, "oops", 1, "oops", id="not even JSON"),
        pytest.param(500, "", 1, "HTTP status 500", id="nothing said"),
        pytest.param(500, "[]", 1, "[]", id="of another shape"),
    ],
)
def test_a_refusal_has_its_code_and_its_words(
    serve: Serve, status: int, body: str, code: int, text: str
) -> None:
    content = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    with pytest.raises(client.Failed) as failed:
        client.get(serve(content), "/v1/node")
    assert (failed.value.code, str(failed.value)) == (code, text)


def test_an_agent_that_hangs_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PATIENCE", 0.05)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "standfast.sock"))
        listener.listen()
        with pytest.raises(client.Failed, match="did not answer within") as failed:
            client.get(SimpleNamespace(run=str(tmp_path)), "/v1/node")
    assert failed.value.code == client.NO_AGENT


def test_events_are_read_across_chunks(serve: Serve) -> None:
    parts = [
        b"event: service\nda",
        b'ta: {"a":1}\n',
        b"\n: heartbeat\n\neve",
        b"nt: event\nid: 7\ndata: {}\n\n",
    ]
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    args = serve(OK + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n")
    assert list(client.stream(args, "/v1/watch")) == [("service", {"a": 1}), ("", None), ("event", {})]


def test_a_stream_that_breaks_says_so(serve: Serve) -> None:
    args = serve(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc")
    with pytest.raises(client.Failed, match="ended the connection"):
        list(client.stream(args, "/v1/watch"))


@pytest.mark.parametrize(
    ("text", "quoted"),
    [("svc1", "svc1"), ("prod/*", "prod/*"), ("a b&c=d?#%", "a%20b%26c%3Dd%3F%23%25"), ("é", "%C3%A9")],
)
def test_quote(text: str, quoted: str) -> None:
    assert client.quote(text) == quoted


def test_odd_names_reach_the_agent_as_they_are(running: Running) -> None:
    with pytest.raises(client.Failed, match="'a b&c=é#%'"):
        client.get(SimpleNamespace(run=str(running.directory)), "/v1/services", {"selector": ["a b&c=é#%"]})


def test_a_very_long_run_directory_is_reached(agent: Any, tmp_path: Path) -> None:
    directory = tmp_path / ("x" * 120)
    directory.mkdir()
    it = Running(agent, directory)
    try:
        assert client.get(SimpleNamespace(run=str(directory)), "/healthz") == {"status": "ok"}
    finally:
        it.close()
