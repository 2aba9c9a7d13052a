"""A path of the agent's API → its JSON answer, or one line that says what to do.

Plain sockets and no dataclasses: this module is imported by every command, and a person waits.
"""

import json
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

OK, FAILED, USAGE, NO_AGENT, REFUSED = 0, 1, 2, 3, 4
DEFAULT_RUN = "/run/standfast"
PATIENCE = 30.0  # seconds for one answer
HEARTBEATS = 60.0  # seconds of silence after which a stream is dead
REMOTE = (
    ("server", "URL", "the agent of another host, https://HOST:9834"),
    ("certificate", "FILE", "with --server: who you are"),
    ("key", "FILE", "its key"),
    ("ca", "FILE", "what has signed the agent's certificate"),
)
LONGEST = 107  # bytes in the path of a unix socket

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/*")


class Failed(Exception):
    """Ends the command with an exit code and one line for stderr."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def options(parser: Any) -> None:
    """The options of every command that talks to the agent (`parser` is argparse's)."""
    parser.add_argument(
        "--run", metavar="DIR", help="the agent's run directory (STANDFAST_RUN, /run/standfast)"
    )
    for name, value, text in REMOTE:
        parser.add_argument(f"--{name}", metavar=value, help=f"{text} (STANDFAST_{name.upper()})")
    parser.add_argument(
        "-o", "--output", choices=("table", "json", "yaml"), default="table", help="default: table"
    )


def socket_path(args: Any) -> str:
    run = getattr(args, "run", None) or os.environ.get("STANDFAST_RUN") or DEFAULT_RUN
    return os.path.join(run, "standfast.sock")


def is_remote(args: Any) -> bool:
    """Another host's agent is asked: nothing of this host's files is what it speaks of."""
    return bool(_named(args, "server"))


def here_only(args: Any, what: str) -> None:
    """Raises Failed where another host is asked for what only files of that host can do."""
    if is_remote(args):
        raise Failed(USAGE, f"{what}, so it does not work with --server: run it on that host")


def _named(args: Any, option: str) -> str:
    given = getattr(args, option, None)
    if given and option == "server" and getattr(args, "run", None):
        raise Failed(USAGE, "--run is an agent of this host, --server one of another: name one of them")
    if given or (option == "server" and getattr(args, "run", None)):
        return str(given or "")
    return os.environ.get(f"STANDFAST_{option.upper()}", "")


class _Way:
    """To the agent that `args` names: its socket here, or TLS to another host."""

    def __init__(self, args: Any) -> None:
        self.where, self._remote = socket_path(args), None
        if server := _named(args, "server"):
            from reconciler.cli.remote import Remote

            files = (_named(args, option) for option in ("certificate", "key", "ca"))
            self.where, self._remote = server, Remote(server, *files)

    def connect(self, patience: float) -> socket.socket:
        return self._remote.connect(patience) if self._remote else _connect(self.where, patience)

    def broken(self, fault: Exception, text: str) -> Failed:
        """`text`: what it means on a socket of this host."""
        return self._remote.explained(fault) if self._remote else Failed(NO_AGENT, text)


def get(args: Any, path: str, query: Mapping[str, object] | None = None) -> Any:
    """The answer to a GET, decoded. A list as value of `query` repeats its name. Raises Failed."""
    return _answer(args, "GET", path + _encode(query or {}), None)


def post(args: Any, path: str, body: Mapping[str, object]) -> Any:
    """The answer to a POST, decoded. Raises Failed."""
    return _answer(args, "POST", path, json.dumps(body).encode())


def stream(
    args: Any, path: str, query: Mapping[str, object] | None = None, silence: float = HEARTBEATS
) -> Iterator[tuple[str, Any]]:
    """Server-sent events as (event, data), for ever; ("", None) for a heartbeat. Raises Failed."""
    way = _Way(args)
    connection = way.connect(silence)
    with connection, connection.makefile("rb") as reader:
        try:
            _send(connection, "GET", path + _encode(query or {}), None, "text/event-stream")
            status, headers = _head(reader)
            if status != 200:
                raise _refusal(status, _body(reader, headers))
            yield from _events(_lines(reader, headers))
        except TimeoutError:
            raise Failed(NO_AGENT, f"the agent at {way.where} has gone silent") from None
        except (OSError, ValueError) as fault:
            raise way.broken(fault, f"the agent at {way.where} ended the connection") from None


def quote(text: str) -> str:
    """Text for a path or query of a URL."""
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in text.encode())


def service_path(service: Mapping[str, Any], tail: str = "") -> str:
    meta = service["metadata"]
    return f"/v1/services/{quote(meta['namespace'])}/{quote(meta['name'])}{tail}"


def _encode(query: Mapping[str, object]) -> str:
    pairs = [
        f"{name}={quote(str(one))}"
        for name, value in query.items()
        for one in (value if isinstance(value, list | tuple) else (value,))
    ]
    return "?" + "&".join(pairs) if pairs else ""


def _answer(args: Any, method: str, path: str, body: bytes | None) -> Any:
    way = _Way(args)
    connection = way.connect(PATIENCE)
    with connection, connection.makefile("rb") as reader:
        try:
            _send(connection, method, path, body, "application/json")
            status, headers = _head(reader)
            content = _body(reader, headers)
            if status >= 400:
                raise _refusal(status, content)
            return json.loads(content)
        except TimeoutError:
            raise Failed(
                NO_AGENT, f"the agent at {way.where} did not answer within {PATIENCE:g} s: look at its log"
            ) from None
        except (OSError, ValueError) as fault:
            raise way.broken(
                fault, f"the agent at {way.where} ended while it answered: try again"
            ) from None


def _connect(where: str, patience: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(patience)
    try:
        if len(os.fsencode(where)) <= LONGEST:
            connection.connect(where)
        else:
            directory = os.open(os.path.dirname(where), os.O_PATH)
            try:
                connection.connect(f"/proc/self/fd/{directory}/{os.path.basename(where)}")
            finally:
                os.close(directory)
    except PermissionError:
        connection.close()
        raise Failed(REFUSED, f"no permission to open {where}: ask its owner, or use sudo") from None
    except OSError:
        connection.close()
        raise Failed(
            NO_AGENT,
            f"no agent answers at {where}: start it with `standfast run`, "
            "or name its directory with --run DIR or STANDFAST_RUN",
        ) from None
    return connection


def _send(connection: socket.socket, method: str, path: str, body: bytes | None, accept: str) -> None:
    head = f"{method} {path} HTTP/1.1\r\nHost: standfast\r\nAccept: {accept}\r\nConnection: close\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    connection.sendall(head.encode("ascii") + b"\r\n" + (body or b""))


def _head(reader: BinaryIO) -> tuple[int, dict[str, str]]:
    first = reader.readline().split(b" ", 2)
    if len(first) < 2:
        raise ValueError("cut short")
    status = int(first[1])
    headers: dict[str, str] = {}
    while line := reader.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip().lower()
    return status, headers


def _body(reader: BinaryIO, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding") == "chunked":
        return b"".join(_chunks(reader))
    length = int(headers.get("content-length", "0"))
    content = reader.read(length)
    if len(content) < length:
        raise ValueError("cut short")
    return content


def _chunks(reader: BinaryIO) -> Iterator[bytes]:
    while size := int(reader.readline().partition(b";")[0], 16):
        chunk = reader.read(size)
        if len(chunk) < size:
            raise ValueError("cut short")
        yield chunk
        reader.readline()


def _lines(reader: BinaryIO, headers: Mapping[str, str]) -> Iterator[bytes]:
    """Lines of an endless body; a chunk need not end where a line does."""
    if headers.get("transfer-encoding") != "chunked":
        yield from reader
        return
    rest = b""
    for chunk in _chunks(reader):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines


def _events(lines: Iterator[bytes]) -> Iterator[tuple[str, Any]]:
    kind, data = "message", b""
    for raw in lines:
        line = raw.rstrip(b"\r\n")
        name, _, value = line.partition(b":")
        if name == b"event":
            kind = value.strip().decode()
        elif name == b"data":
            data += value.strip()
        elif not name and line:
            yield "", None
        elif not line and data:
            yield kind, json.loads(data)
            kind, data = "message", b""


def _refusal(status: int, content: bytes) -> Failed:
    """The agent's own words for why it will not."""
    try:
        answer = json.loads(content)
        text, todo = str(answer["error"]), str(answer.get("todo") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        text, todo = content.decode(errors="replace").strip() or f"HTTP status {status}", ""
    code = {400: USAGE, 403: REFUSED, 409: REFUSED}.get(status, FAILED)
    return Failed(code, f"{text}: {todo}" if todo else text)
