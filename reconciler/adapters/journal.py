"""Events → a SQLite file of what happened, kept by days and megabytes; for people, so never in the way.

A thread writes in batches, so a loss of power may cost the last second. When the file cannot be
written the events wait in memory, then the oldest are dropped and counted.
"""

import contextlib
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler.adapters import sqlite_file
from reconciler.contracts import Event
from reconciler.errors import MayHeal, NeedsPerson

VERSION = 1
SCHEMA = """
CREATE TABLE events (number INTEGER PRIMARY KEY, at REAL, kind TEXT, service TEXT, rid TEXT, reason TEXT,
                     text TEXT, ok INTEGER, seconds REAL, output TEXT);
CREATE INDEX by_service ON events (service, number);
CREATE INDEX by_time ON events (at)
"""
COLUMNS = "at, kind, service, rid, reason, text, ok, seconds, output, number"
EVERY = 1.0  # seconds between two writes
WAITING = 10_000  # events in memory while the file cannot be written
TIDY_EVERY = 60.0  # seconds between two looks at age and size
DAY = 86_400.0

log = logging.getLogger("standfast.journal")


class SqliteJournal:
    """contracts.Journal on one file. Every method may be called from any thread."""

    def __init__(self, path: Path, days: float = 30.0, megabytes: float = 64.0) -> None:
        self.path = path
        self.dropped = 0
        self.trouble = ""  # why it cannot be written now
        self._days, self._bytes = days, int(megabytes * 1_000_000)
        self._lock = threading.Lock()  # guards what follows
        self._waiting: deque[Event] = deque()
        # Numbers rise over restarts also when the last second was lost with the power.
        self._number = int(time.time() * 1000)
        self._followers: tuple[Callable[[Event], None], ...] = ()
        self._disk = threading.Lock()  # guards the connection; taken before the other
        self._connection: sqlite3.Connection | None = None
        self._tidied = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    def add(self, event: Event) -> None:
        """Take it down; it is given its number here. Never waits for the disk, never fails."""
        with self._lock:
            self._number += 1
            event = replace(event, number=self._number)
            self._waiting.append(event)
            if len(self._waiting) > WAITING:
                self._waiting.popleft()
                self.dropped += 1
            followers = self._followers
        for follower in followers:
            follower(event)

    def since(
        self, seconds_ago: float, service: str = "", limit: int = 1000, after: int = 0
    ) -> Sequence[Event]:
        """The newest `limit` events, oldest first; of one service's key; only numbers above `after`.

        Reads the file: call it outside the event loop.
        """
        oldest = time.time() - seconds_ago
        with self._disk:
            rows = self._read(oldest, service, limit, after)
            with self._lock:
                fresh = [
                    event
                    for event in self._waiting
                    if event.at >= oldest and event.number > after and service in ("", event.service)
                ]
        kept = [_event(row) for row in rows]
        return [*kept, *fresh][-limit:] if limit > 0 else []

    def follow(self, follower: Callable[[Event], None]) -> Callable[[], None]:
        """Call it with every event from now on, in the thread that adds; returns how to end that."""
        with self._lock:
            self._followers = (*self._followers, follower)

        def unfollow() -> None:
            with self._lock:
                self._followers = tuple(one for one in self._followers if one is not follower)

        return unfollow

    def flush(self) -> None:
        """Write what waits, now."""
        with self._disk:
            self._write()

    def close(self) -> None:
        """Write what waits and let go of the file."""
        self._stop.set()
        self._thread.join()
        with self._disk:
            self._write()
            self._drop_connection()

    # --- in the thread, under the disk lock ---------------------------------------------------

    def _work(self) -> None:
        while not self._stop.wait(EVERY):
            try:
                self.flush()
            except Exception:  # a bug here must cost events, not the thread that keeps them
                log.exception("the journal failed")

    def _write(self) -> None:
        with self._lock:
            batch = list(self._waiting)
        try:
            connection = self._open()
            if batch:
                with sqlite_file.transaction(connection):
                    marks = ", ".join("?" * 10)
                    connection.executemany(
                        f"INSERT OR REPLACE INTO events ({COLUMNS}) VALUES ({marks})", map(_row, batch)
                    )
            if time.monotonic() - self._tidied > TIDY_EVERY:
                self._tidy(connection)
        except (MayHeal, NeedsPerson, sqlite_file.Damaged) as fault:
            self._failed(str(fault))
            return
        except sqlite3.Error as fault:
            self._failed(str(sqlite_file.classified(self.path, fault)))
            return
        self.trouble = ""
        written = batch[-1].number if batch else 0
        with self._lock:
            while self._waiting and self._waiting[0].number <= written:
                self._waiting.popleft()

    def _read(self, oldest: float, service: str, limit: int, after: int) -> list[tuple[Any, ...]]:
        where, values = "at >= ? AND number > ?", list[Any]((oldest, after))
        if service:
            where, values = f"{where} AND service = ?", [*values, service]
        try:
            rows = (
                self._open()
                .execute(
                    f"SELECT {COLUMNS} FROM events WHERE {where} ORDER BY number DESC LIMIT ?",
                    (*values, limit),
                )
                .fetchall()
            )
        except (MayHeal, NeedsPerson, sqlite_file.Damaged, sqlite3.Error) as fault:
            self._failed(str(fault))
            return []
        return rows[::-1]

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and not self.path.exists():
            self._drop_connection()
        if self._connection is None:
            try:
                self._connection = self._connect()
            except sqlite_file.Damaged as damage:
                aside = sqlite_file.set_aside(self.path)
                log.warning(
                    "%s was damaged (%s): set aside as %s, begun anew", self.path, damage, aside.name
                )
                self._connection = self._connect()
            newest = self._connection.execute("SELECT max(number) FROM events").fetchone()[0]
            with self._lock:
                self._number = max(self._number, newest or 0)
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite_file.connect(self.path, SCHEMA, VERSION)
        connection.execute("PRAGMA synchronous=NORMAL")  # no fsync for each batch
        return connection

    def _tidy(self, connection: sqlite3.Connection) -> None:
        """Remove what is too old, then the oldest tenth until the rest is small enough."""
        self._tidied = time.monotonic()
        connection.execute("DELETE FROM events WHERE at < ?", (time.time() - self._days * DAY,))
        while self._used(connection) > self._bytes:
            removed = connection.execute(
                "DELETE FROM events WHERE number IN (SELECT number FROM events ORDER BY number LIMIT "
                "(SELECT count(*) / 10 + 1 FROM events))"
            ).rowcount
            if removed <= 0:
                break
        if self._free(connection) > self._bytes // 4:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _used(self, connection: sqlite3.Connection) -> int:
        pages, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
        )
        return int(pages * size) - self._free(connection)

    def _free(self, connection: sqlite3.Connection) -> int:
        free, size = (
            connection.execute(f"PRAGMA {n}").fetchone()[0] for n in ("freelist_count", "page_size")
        )
        return int(free * size)

    def _failed(self, why: str) -> None:
        if why != self.trouble:
            log.warning("events are kept in memory only: %s", why)
        self.trouble = why
        self._drop_connection()

    def _drop_connection(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):  # it may be what failed
                self._connection.close()
            self._connection = None


def _row(event: Event) -> tuple[object, ...]:
    """Text of programs may hold what is not UTF-8; it is shown as it can be."""
    texts = (event.kind, event.service, event.rid, event.reason, event.text)
    kind, service, rid, reason, text = (t.encode(errors="replace").decode() for t in texts)
    output = event.output.encode(errors="replace").decode()
    return (event.at, kind, service, rid, reason, text, event.ok, event.seconds, output, event.number)


def _event(row: tuple[Any, ...]) -> Event:
    at, kind, service, rid, reason, text, ok, seconds, output, number = row
    return Event(at, kind, service, rid, reason, text, bool(ok), seconds, output, number)
