"""A unix socket in the run directory → requests of root's or our own processes, one JSON object a line."""

import contextlib
import json
import os
import selectors
import socket
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

from reconciler.guard import kernel
from reconciler.guard.words import Event, Gone, Peer, Reply, Request

MOST = 16
"""Connections at once."""
LONGEST = 1 << 20
"""Bytes of one request."""
MOST_UNSAID = 1 << 23
"""Bytes kept for a caller who does not listen."""
_CREDENTIALS = struct.Struct("=3i")


class Caller(NamedTuple):
    socket: socket.socket
    peer: Peer
    heard: bytearray
    unsaid: bytearray


class Door:
    """Nothing here waits: who does not take an answer is shown out."""

    def __init__(self, path: str, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._callers: dict[int, Caller] = {}
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self._listener.bind(path)
        os.chmod(path, 0o600)
        self._listener.listen(MOST)
        selector.register(self._listener, selectors.EVENT_READ, self.accept)

    def accept(self) -> list[Event]:
        """Only root and the guard's own uid may talk."""
        try:
            caller, _ = self._listener.accept()
        except OSError:
            return []
        caller.setblocking(False)
        try:
            raw = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            pid, uid, _ = _CREDENTIALS.unpack(raw)
            process = kernel.process(pid)
        except OSError:
            process, uid = None, -1
        if process is None or uid not in (0, os.geteuid()) or len(self._callers) >= MOST:
            caller.close()
            return []
        number = caller.fileno()
        self._callers[number] = Caller(caller, Peer(pid, process.start_time), bytearray(), bytearray())
        self._selector.register(caller, selectors.EVENT_READ, lambda: self._ready(number))
        return []

    def _ready(self, number: int) -> list[Event]:
        """Whole requests; Gone when it was the last connection of its process."""
        caller = self._callers.get(number)
        if caller is None:  # shown out a moment ago
            return []
        if caller.unsaid and (ended := self._speak(number, caller)):
            return ended
        try:
            data = caller.socket.recv(1 << 16)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        caller.heard.extend(data)
        events: list[Event] = []
        *lines, rest = bytes(caller.heard).split(b"\n")
        caller.heard[:] = rest
        for line in lines:
            request = _request(number, caller.peer, line)
            if request is None:
                return [*events, *self._show_out(number)]
            events.append(request)
        if not data or len(rest) > LONGEST:
            events += self._show_out(number)
        return events

    def answer(self, reply: Reply) -> list[Event]:
        caller = self._callers.get(reply.connection)
        if caller is None:
            return []
        words: Mapping[str, Any] = {"id": reply.id, "ok": not reply.why, **reply.words}
        text = json.dumps({**words, "why": reply.why} if reply.why else words)
        caller.unsaid.extend(text.encode() + b"\n")
        return self._speak(reply.connection, caller)

    def _speak(self, number: int, caller: Caller) -> list[Event]:
        """What the caller takes now; the rest when it takes more."""
        try:
            del caller.unsaid[: caller.socket.send(caller.unsaid)]
        except BlockingIOError:
            if len(caller.unsaid) > MOST_UNSAID:
                return self._show_out(number)
        except OSError:
            return self._show_out(number)
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if caller.unsaid else 0)
        self._selector.modify(caller.socket, events, lambda: self._ready(number))
        return []

    def _show_out(self, number: int) -> list[Event]:
        caller = self._callers.pop(number)
        self._selector.unregister(caller.socket)
        caller.socket.close()
        if any(other.peer == caller.peer for other in self._callers.values()):
            return []
        return [Gone(caller.peer)]


def _request(number: int, peer: Peer, line: bytes) -> Request | None:
    """None for what is no request at all."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        words = json.loads(line)
        return Request(number, peer, int(words.pop("id")), str(words.pop("do")), words)
    return None
