"""The store's file as its one thread sees it: opened, set aside when damaged, written anew when lost."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from reconciler.adapters import sqlite_file
from reconciler.contracts import Change, Entry
from reconciler.errors import MayHeal

VERSION = 1
SCHEMA = """
CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE now (id INTEGER PRIMARY KEY CHECK (id = 0), revision INTEGER NOT NULL);
INSERT INTO now VALUES (0, 0)
"""
LOST = "Wishes, freezes and what was remembered are lost: look at `standfast status`"


class Disk:
    """`entries` and `revision` are what was committed; `trouble` and `set_aside` are for people."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, Entry] = {}
        self.revision = 0
        self.trouble = ""
        self.set_aside = ""
        self._connection: sqlite3.Connection | None = None
        self._files: tuple[int, ...] = ()

    def start(self) -> None:
        """Read what is kept. Raises what `SqliteStore.open` says."""
        try:
            self.entries, self.revision = self._open()
        except sqlite_file.InUse:
            raise
        except MayHeal as fault:
            self.trouble = str(fault)
            self._read_copy()
        else:
            if self.set_aside:
                self.trouble = self.set_aside = f"{self.set_aside}. {LOST}"

    def ready(self) -> list[Change]:
        """Be able to write, or raise MayHeal. Returns what the file was found to hold beyond memory.

        That is a commit which failed towards us and reached the disk all the same.
        """
        if self._connection is not None and self._files != self._identity():
            self.close()
        if self._connection is not None:
            return []
        entries, revision = self._open()
        if revision > self.revision:
            gone = [Change(key, None, revision) for key in self.entries.keys() - entries.keys()]
            new = [
                Change(key, e.value, e.revision) for key, e in entries.items() if self.entries.get(key) != e
            ]
            self.entries, self.revision = entries, revision
            return [*sorted(new, key=lambda change: change.revision), *gone]
        if entries != self.entries or revision < self.revision:
            self._write_all()
        return []

    def take(self, change: Change) -> None:
        """Change memory; `write` or `undo` follows."""
        if change.value is None:
            self.entries.pop(change.key, None)
        else:
            self.entries[change.key] = Entry(change.value, change.revision)
        self.revision = change.revision

    def undo(self, before: Mapping[str, Entry | None], revision: int) -> None:
        for key, entry in before.items():
            if entry is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = entry
        self.revision = revision

    def write(self, keys: Iterable[str]) -> None:
        """Put these keys as memory has them, in one transaction, onto the disk."""
        keys = list(keys)
        if not keys or self._connection is None:
            return
        try:
            with sqlite_file.transaction(self._connection):
                self._put(self._connection, keys)
        except sqlite3.Error as fault:
            self._failed(fault)
        self._files = self._identity()
        if not self.set_aside:
            self.trouble = ""

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):  # what matters was committed before
                self._connection.close()
            self._connection = None

    def _open(self) -> tuple[dict[str, Entry], int]:
        """Connect, and what the file holds: nothing when it is new or had to be set aside."""
        try:
            self._connection = sqlite_file.connect(self.path, SCHEMA, VERSION)
            held = _load(self._connection)
        except sqlite_file.Damaged as damage:
            held = self._replace(damage)
        except sqlite3.Error as fault:
            found = sqlite_file.classified(self.path, fault)
            if not isinstance(found, sqlite_file.Damaged):
                self.close()
                raise found from fault
            held = self._replace(found)
        self._files = self._identity()
        return held

    def _replace(self, damage: Exception) -> tuple[dict[str, Entry], int]:
        self.close()
        aside = sqlite_file.set_aside(self.path)
        self.set_aside = self.trouble = (
            f"{self.path} was damaged ({damage}) and was set aside as {aside.name}; a new one was begun"
        )
        self._connection = sqlite_file.connect(self.path, SCHEMA, VERSION)
        return _load(self._connection)

    def _read_copy(self) -> None:
        """A file that cannot be written can still be read, in a copy: its log has to be replayed."""
        if not self.path.exists():
            return
        room = next((place for place in ("/dev/shm", "/run") if os.access(place, os.W_OK)), None)
        with tempfile.TemporaryDirectory(dir=room) as directory:
            copy = Path(directory) / "state.db"
            try:
                for part in ("", "-wal"):
                    with contextlib.suppress(FileNotFoundError):
                        shutil.copyfile(f"{self.path}{part}", f"{copy}{part}")
            except OSError as fault:
                raise MayHeal(sqlite_file.trouble(self.path, fault)) from fault
            try:
                connection = sqlite_file.connect(copy, SCHEMA, VERSION)
                with contextlib.closing(connection):
                    self.entries, self.revision = _load(connection)
            except (sqlite_file.Damaged, sqlite3.Error) as fault:
                self.trouble = f"{self.path} is damaged ({fault}), and {self.trouble}. {LOST}"

    def _put(self, connection: sqlite3.Connection, keys: Iterable[str]) -> None:
        for key in keys:
            if entry := self.entries.get(key):
                row = (key, entry.value, entry.revision)
                connection.execute("INSERT OR REPLACE INTO kv VALUES (?, ?, ?)", row)
            else:
                connection.execute("DELETE FROM kv WHERE key = ?", (key,))
        connection.execute("UPDATE now SET revision = ?", (self.revision,))

    def _write_all(self) -> None:
        assert self._connection is not None
        try:
            with sqlite_file.transaction(self._connection):
                self._connection.execute("DELETE FROM kv")
                self._put(self._connection, list(self.entries))
        except sqlite3.Error as fault:
            self._failed(fault)
        self._files = self._identity()

    def _failed(self, fault: sqlite3.Error) -> None:
        """Whether it reached the disk is not known: the next commit opens and reads the file again."""
        self.close()
        found = sqlite_file.classified(self.path, fault)
        self.trouble = str(found)
        raise MayHeal(self.trouble) from fault

    def _identity(self) -> tuple[int, ...]:
        """Device and inode of the file and of its log: a deleted one takes writes and keeps nothing."""
        seen: list[int] = []
        for part in ("", "-wal"):
            try:
                status = os.stat(f"{self.path}{part}")
            except OSError:
                seen += (0, 0)
            else:
                seen += (status.st_dev, status.st_ino)
        return tuple(seen)


def _load(connection: sqlite3.Connection) -> tuple[dict[str, Entry], int]:
    rows = connection.execute("SELECT key, value, revision FROM kv").fetchall()
    now = connection.execute("SELECT revision FROM now").fetchone()
    if now is None:
        raise sqlite_file.Damaged("its revision is missing")
    return {key: Entry(value, revision) for key, value, revision in rows}, now[0]
