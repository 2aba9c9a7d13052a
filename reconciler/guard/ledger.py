"""Records → lines of a file under the run directory, and back: what a guard after this one must know.

One line for each record, `CHECKSUM JSON`, written by one call. A line without its end was never
acknowledged, and is cut off. Any other line that is not what its checksum says is damage, and is kept:
what it was about can never be seen gone. The deadline has a file of its own, written over in place.
"""

import contextlib
import json
import os
import zlib
from collections.abc import Mapping
from typing import Any

from reconciler.guard.records import Loaded, again, loaded

BIGGEST = 1 << 18
"""Bytes after which the file is written anew, if that makes it smaller by half."""


class Ledger:
    """Raises OSError from `write` alone; then nothing of the record is in the file."""

    def __init__(self, directory: str, boot: str) -> None:
        self._path = os.path.join(directory, "ledger")
        self._boot = boot
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        times = os.path.join(directory, "deadline")
        self._times = os.open(times, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = 0

    def load(self) -> Loaded:
        """All that is in it; of an earlier boot nothing is up any more, and it is begun anew."""
        whole = _whole(self._fd)
        end = whole.rfind(b"\n") + 1
        records = [_decoded(line) for line in whole[:end].splitlines()]
        if end < len(whole):
            os.ftruncate(self._fd, end)
        self._size = end
        boots = [record["boot"] for record in records if isinstance(record, dict) and "boot" in record]
        told = [r for r in records if not (isinstance(r, dict) and "boot" in r)]
        if boots and boots[-1] != self._boot:
            # Epochs are never used again, boot or not.
            found = loaded(told)
            state = Loaded(last=max(found.last, found.session.epoch if found.session else 0))
        else:
            state = loaded(told, self._kept())
        self._anew(state)
        return state

    def write(self, record: Mapping[str, Any]) -> None:
        line = _encoded(record)
        try:
            written = os.write(self._fd, line)
            if written < len(line):
                raise OSError(28, os.strerror(28), self._path)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise
        self._size += len(line)
        if self._size > BIGGEST:
            self._shrink()

    def keep(self, deadline: float) -> None:
        """Of fixed length, so that it is written over in place; half of it is none."""
        text = f"{deadline:020.6f}"
        with contextlib.suppress(OSError):
            os.pwrite(self._times, f"{zlib.crc32(text.encode()):08x} {text}\n".encode(), 0)

    def _kept(self) -> float | None:
        with contextlib.suppress(OSError, ValueError):
            checksum, text = os.pread(self._times, 64, 0).decode().split()
            if int(checksum, 16) == zlib.crc32(text.encode()):
                return float(text)
        return None

    def _shrink(self) -> None:
        whole = _whole(self._fd).splitlines()
        told = [r for r in map(_decoded, whole) if not (isinstance(r, dict) and "boot" in r)]
        state = loaded(told)
        if sum(map(len, map(_encoded, again(state)))) < self._size / 2:
            self._anew(state)

    def _anew(self, state: Loaded) -> None:
        """Written beside it and renamed over it; if that cannot be, the old one serves."""
        text = b"".join(map(_encoded, [{"boot": self._boot}, *again(state)]))
        beside = f"{self._path}.new"
        with contextlib.suppress(OSError):
            fd = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                if os.write(fd, text) < len(text):
                    raise OSError(28, os.strerror(28), beside)
                os.rename(beside, self._path)
            except OSError:
                os.close(fd)
                raise
            os.close(self._fd)
            self._fd, self._size = fd, len(text)


def _encoded(record: Mapping[str, Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _decoded(line: bytes) -> dict[str, Any] | str:
    """Text when it is not what its checksum says."""
    checksum, _, text = line.partition(b" ")
    with contextlib.suppress(ValueError):
        if int(checksum, 16) == zlib.crc32(text):
            record = json.loads(text)
            if isinstance(record, dict):
                return record
    return line.decode(errors="replace")


def _whole(fd: int) -> bytes:
    parts: list[bytes] = []
    at = 0
    while part := os.pread(fd, 1 << 20, at):
        parts.append(part)
        at += len(part)
    return b"".join(parts)
