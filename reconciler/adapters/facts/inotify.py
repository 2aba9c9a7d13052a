"""inotify by libc → which entry of which directory has changed. Kept to what a file source needs."""

import ctypes
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

_CLOSE_WRITE, _ATTRIB, _MOVED, _CREATE, _DELETE = 0x8, 0x4, 0x40 | 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _UNMOUNT, _OVERFLOW, _IGNORED = 0x400, 0x800, 0x2000, 0x4000, 0x8000
_ONLYDIR, _EXCL_UNLINK = 0x1000000, 0x4000000
_ENTRIES = _CLOSE_WRITE | _ATTRIB | _MOVED | _CREATE | _DELETE
_MASK = _ENTRIES | _DELETE_SELF | _MOVE_SELF | _ONLYDIR | _EXCL_UNLINK
_HEADER = struct.Struct("=iIII")
_libc = ctypes.CDLL(None, use_errno=True)


class Seen(NamedTuple):
    """`gone`: the watched directory itself was deleted, moved or unmounted."""

    watch: int  # -1: events were lost
    name: str
    gone: bool


class Inotify:
    """An instance of the kernel's watch list. Raises OSError where there is none left."""

    def __init__(self) -> None:
        self.file = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.file < 0:
            _raise()

    def watch(self, directory: str) -> int:
        """A number for this directory; the same one for another path to it. May hang in a dead mount."""
        number = int(
            _libc.inotify_add_watch(self.file, os.fsencode(directory), _MASK | _ONLYDIR | _EXCL_UNLINK)
        )
        if number < 0:
            _raise()
        return number

    def unwatch(self, number: int) -> None:
        _libc.inotify_rm_watch(self.file, number)  # gone already: as good

    def read(self) -> Iterator[Seen]:
        """What has happened since; ends when nothing is left for now."""
        try:
            data = os.read(self.file, 1 << 16)
        except BlockingIOError:
            return
        yield from decode(data)

    def close(self) -> None:
        os.close(self.file)


def decode(data: bytes) -> Iterator[Seen]:
    at = 0
    while at < len(data):
        watch, mask, _, length = _HEADER.unpack_from(data, at)
        name = data[at + 16 : at + 16 + length].rstrip(b"\0")
        at += 16 + length
        if mask & _OVERFLOW:
            yield Seen(-1, "", gone=False)
        elif mask & (_DELETE_SELF | _MOVE_SELF | _UNMOUNT | _IGNORED):
            yield Seen(watch, "", gone=True)
        elif name:
            yield Seen(watch, os.fsdecode(name), gone=False)


def _raise() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
