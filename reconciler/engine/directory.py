"""The watched directory → its files: content, trust and identity, read without ever blocking the loop."""

import asyncio
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.decide.documents.identity import Flavour, identity
from reconciler.errors import Fault

TOO_BIG = 1 << 20
"""A document of more than 1 MiB is a mistake."""

Signature = tuple[int, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class File:
    """One file. `content` is None when it could not be read or must not be believed: see `fault`."""

    path: str  # as shown
    key: str
    flavour: Flavour
    signature: Signature
    content: bytes | None = None
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """`readable`: the directory exists and was listed whole. `strays`: files that fit no name."""

    readable: bool
    files: Mapping[str, File]
    strays: tuple[Fault, ...] = ()
    real: str = ""  # where the directory is now, symlinks resolved


class Directory:
    """The watched one. `strict`: as `listing` has it."""

    def __init__(self, root: Path, strict: bool) -> None:
        self._root, self._strict = root, strict

    async def listed(self, known: Mapping[str, File]) -> Listing:
        return await asyncio.to_thread(listing, self._root, known, self._strict)

    def remove(self, path: str) -> None:
        """Blocks shortly; raises OSError."""
        os.unlink(path)


def listing(root: Path, known: Mapping[str, File], strict: bool) -> Listing:
    """Blocking; run in a thread. Unchanged files are taken over from `known`.

    `strict`: running as root, files of others or writable by others are not believed.
    """
    files: dict[str, File] = {}
    strays: list[Fault] = []
    real = os.path.realpath(root)
    try:
        for name, path in _candidates(real):
            shown = str(root / name)
            found = identity(name)
            if isinstance(found, Fault):
                strays.append(Fault(shown, 0, "", found.what, found.todo))
            elif found is not None:
                files[name] = _file(path, shown, found[0], found[1], known.get(name), strict)
    except OSError as fault:
        why = Fault(
            str(root), 0, "", f"cannot be listed: {fault.strerror}", "Make it readable for the agent."
        )
        return Listing(False, {}, (why,), real)
    return Listing(True, files, tuple(strays), real)


def _candidates(root: str) -> list[tuple[str, str]]:
    """(name below the root, path) of every file at most one directory deep, sorted."""
    found: list[tuple[str, str]] = []
    for entry in os.scandir(root):
        if entry.name.startswith("."):
            continue
        if _is_directory(entry):
            below = os.scandir(entry.path)
            found += [(f"{entry.name}/{e.name}", e.path) for e in below if not e.name.startswith(".")]
        else:
            found.append((entry.name, entry.path))
    return sorted(found)


def _is_directory(entry: "os.DirEntry[str]") -> bool:
    """A symlink in a circle is a file that cannot be read: it must not hide all the others."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _file(path: str, shown: str, key: str, flavour: Flavour, known: File | None, strict: bool) -> File:
    signature: Signature = (0, 0, 0, 0, 0, 0)
    try:
        # Not to wait for ever on a fifo somebody dropped here.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            signature = _signature(status)
            if known and known.signature == signature:
                return known
            if why := _doubt(status, strict):
                return File(shown, key, flavour, signature, fault=Fault(shown, 0, "", *why))
            content = file.read(TOO_BIG + 1)
    except OSError as fault:
        why = (f"cannot be read: {fault.strerror}", "What was in force before stays in force.")
        return File(shown, key, flavour, signature, fault=Fault(shown, 0, "", *why))
    if len(content) > TOO_BIG:
        why = ("is larger than 1 MiB", "A document describes one service; split it.")
        return File(shown, key, flavour, signature, fault=Fault(shown, 0, "", *why))
    return File(shown, key, flavour, signature, content)


def _signature(status: os.stat_result) -> Signature:
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return (*times, status.st_size, status.st_ino, status.st_uid, status.st_mode)


def _doubt(status: os.stat_result, strict: bool) -> tuple[str, str] | None:
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file", "Only files are documents."
    if not strict:
        return None
    if status.st_uid != 0:
        return (
            f"belongs to uid {status.st_uid}, not to root",
            "chown root it: what it says is run as root.",
        )
    if status.st_mode & stat.S_IWOTH:
        return "is writable by others", "chmod o-w it: what it says is run as root."
    if status.st_mode & stat.S_IWGRP and status.st_gid != 0:
        return f"is writable by group {status.st_gid}", "chmod g-w it: what it says is run as root."
    return None
