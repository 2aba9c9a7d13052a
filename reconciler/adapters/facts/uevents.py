"""Kernel and udev broadcasts → word that block devices have changed."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterable

from reconciler.adapters.facts.source import Subject

_KERNEL, _UDEV = 1, 2  # multicast groups; udev's comes once its links in /dev/disk are made
_AT_ONCE = 200


class Uevents:
    """One socket for all who listen. Where there is none, nobody is told and looks are periodic."""

    def __init__(self, events: bool) -> None:
        self._events = events
        self._socket: socket.socket | None = None
        self._listeners: list[Callable[[str], None]] = []

    def listen(self, changed: Callable[[str], None]) -> None:
        """`changed` is called with the device's name (loop0), "" for any: events were lost."""
        self._listeners.append(changed)

    def start(self) -> None:
        if not self._events or self._socket is not None:
            return
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        try:
            opened = socket.socket(socket.AF_NETLINK, kind, 15)  # NETLINK_KOBJECT_UEVENT
        except OSError:
            return
        try:
            opened.bind((0, _KERNEL | _UDEV))
        except OSError:
            opened.close()
            return
        with contextlib.suppress(OSError):
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket = opened
        asyncio.get_running_loop().add_reader(opened.fileno(), self._heard)

    def close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _heard(self) -> None:
        names: set[str] = set()
        try:
            for _ in range(_AT_ONCE):
                if self._socket is None:
                    break
                name = block_name(self._socket.recv(1 << 16))
                if name:
                    names.add(name)
        except BlockingIOError:
            pass
        except OSError:
            names.add("")
        for name in names:
            for listener in self._listeners:
                listener(name)


def block_name(data: bytes) -> str:
    """The block device a broadcast is about, "" when it is about none. udev's have a binary header."""
    fields = dict(part.partition(b"=")[::2] for part in data.split(b"\0"))
    if fields.get(b"SUBSYSTEM") != b"block":
        return ""
    return os.fsdecode(fields.get(b"DEVPATH", b"").rpartition(b"/")[2])


class Names:
    """Which subjects a device's name concerns: those it was found behind, and those with nothing behind.

    What is asked by a link (LABEL=, /dev/vg/lv) concerns every device: the link may lead elsewhere now.
    """

    def __init__(self) -> None:
        self._behind: dict[Subject, str] = {}

    def asked(self, subjects: Iterable[Subject]) -> None:
        """Before they are looked at: what is told meanwhile may concern them."""
        for subject in subjects:
            self._behind.setdefault(subject, "")

    def found(self, subject: Subject, path: str, real: str) -> None:
        """`real`: the device's path without links, "" when there is none."""
        self._behind[subject] = os.path.basename(real) if path == real else ""

    def forget(self, subjects: Iterable[Subject]) -> None:
        for subject in subjects:
            self._behind.pop(subject, None)

    def of(self, name: str) -> list[Subject]:
        """All, where events were lost: `name` is "" then."""
        return [subject for subject, behind in self._behind.items() if not name or behind in ("", name)]
