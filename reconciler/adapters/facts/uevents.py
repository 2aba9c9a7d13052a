"""Kernel and udev broadcasts → word that block devices have changed."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable

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
