"""A path → an open SQLite database of ours; a damaged one is set aside and a new one begun."""

import contextlib
import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from reconciler.errors import MayHeal, NeedsPerson

PARTS = ("", "-wal", "-journal", "-shm")
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Damaged(Exception):
    """The file is not, or no longer, a database that can be trusted."""


class InUse(MayHeal):
    """Another process has the database open."""


def connect(path: Path, schema: str, version: int) -> sqlite3.Connection:
    """Open for writing, in WAL, by us alone; a missing or empty file gets the schema.

    Raises Damaged; MayHeal when the directory is full, read-only or the file in use by another
    process; NeedsPerson when a later version of the program wrote it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if _size(path) == 0 and _size(path.with_name(path.name + "-wal")):
            raise Damaged("it is empty, but has a write-ahead log")
        connection = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as fault:
        raise MayHeal(trouble(path, fault)) from fault
    try:
        _prepare(connection, path, schema, version)
    except BaseException as fault:
        connection.close()
        if isinstance(fault, sqlite3.Error):
            raise classified(path, fault) from fault
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, schema: str, version: int) -> None:
    # Exclusive: no second process may write, and the index of the log lives on our heap, so a
    # full disk cannot take us down through a mapped -shm file.
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA journal_size_limit=4194304")
    connection.execute("PRAGMA cache_size=-512")  # KiB: it is written, and hardly ever read
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > version:
        raise NeedsPerson(
            f"{path} was written by a later version (format {found}, this one knows {version}): "
            "install that version again, or move the file away"
        )
    if found == 0:
        with transaction(connection):
            for statement in schema.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={version}")
        sync_directory(path.parent)
    if found and (said := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise Damaged(str(said))


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, locked for writing from its start."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # what broke it may have rolled it back already
            connection.execute("ROLLBACK")
        raise


def classified(path: Path, fault: sqlite3.Error) -> Exception:
    """Damaged, or MayHeal with a text for people."""
    code = getattr(fault, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGE:
        return Damaged(str(fault))
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return InUse(f"{path} is in use by another process: only one agent may use {path.parent}")
    return MayHeal(trouble(path, fault))


def trouble(path: Path, fault: Exception) -> str:
    """What is wrong with the file and what to do about it."""
    code = getattr(fault, "sqlite_errorcode", 0) & 0xFF
    number = getattr(fault, "errno", 0)
    if code == sqlite3.SQLITE_FULL or number == errno.ENOSPC:
        return f"cannot write {path}: no space left in {path.parent}: make room there"
    if code == sqlite3.SQLITE_READONLY or number == errno.EROFS or _read_only(path.parent):
        return f"cannot write {path}: it is read-only: check the mount of {path.parent} and its permissions"
    if code == sqlite3.SQLITE_CANTOPEN or number:
        return f"cannot open {path}: {fault}: check that {path.parent} exists, is writable and has room"
    return f"cannot write {path}: {fault}: check the disk under {path.parent}"


def set_aside(path: Path) -> Path:
    """Rename the database and its log to NAME.damaged-YYYYMMDDTHHMMSS; returns the new path."""
    stamp = time.strftime("%Y%m%dT%H%M%S")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    try:
        for part in PARTS:
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{path}{part}", f"{aside}{part}")
        sync_directory(path.parent)
    except OSError as fault:
        raise MayHeal(f"{path} is damaged and cannot be set aside: {fault.strerror}") from fault
    return aside


def sync_directory(path: Path) -> None:
    """Make a creation or a rename in it survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _read_only(directory: Path) -> bool:
    """SQLite calls it an I/O error."""
    try:
        return bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
    except OSError:
        return False
