"""Commits → a SQLite file that survives a kill or a loss of power at any point: the store of one host.

One thread writes; commits that wait together share one transaction, and so one fsync. Reads and
watches are served from memory, so the loop never waits for the disk. Memory is the truth while
the process lives: a file that is damaged, deleted or replaced meanwhile is written anew from it.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.adapters.history import History, changes, holds, well_formed
from reconciler.adapters.store_sqlite_disk import Disk
from reconciler.contracts import Change, Entry, Snapshot
from reconciler.errors import MayHeal

LIMIT = 10.0  # seconds for one commit
TOGETHER = 1000  # commits in one transaction, at most
KEPT = 500
"""Changes kept for a watch that lies behind: only this process watches, and it is never far behind."""

Result = int | None | BaseException


@dataclass(frozen=True)
class _Request:
    compare: Mapping[str, int]
    puts: Mapping[str, str]
    deletes: Collection[str]
    answer: "asyncio.Future[int | None]"


@dataclass(frozen=True)
class Opened:
    """The store, and what people must be told: what was set aside; why it cannot write now."""

    store: "SqliteStore"
    set_aside: str | None = None
    trouble: str | None = None


class SqliteStore:
    """contracts.Store on one file. Made by `open`."""

    def __init__(self, disk: Disk, kept: int) -> None:
        self._disk = disk
        self._history = History(disk.revision, disk.entries, kept)
        self._loop = asyncio.get_running_loop()
        self._inbox: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._ended = self._loop.create_future()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()

    @classmethod
    async def open(cls, path: Path, kept: int = KEPT) -> Opened:
        """Open or create it; a damaged file is set aside and the message says where.

        A directory that is full or read-only is no obstacle: what is kept there is read, and
        commits raise MayHeal until there is room. Raises MayHeal when the file cannot even be read
        or another process uses it, NeedsPerson when a later version wrote it.
        """
        disk = Disk(path)
        await asyncio.to_thread(disk.start)
        return Opened(cls(disk, kept), disk.set_aside or None, disk.trouble or None)

    @property
    def trouble(self) -> str:
        """Why the last commit could not be written, or what was set aside; "" when all is well."""
        return self._disk.trouble

    async def read(self, prefix: str) -> Snapshot:
        self._check()
        return self._history.read(prefix)

    async def commit(
        self, compare: Mapping[str, int], puts: Mapping[str, str], deletes: Collection[str] = ()
    ) -> int | None:
        """After MayHeal it may or may not have happened: read again before deciding anything."""
        self._check()
        well_formed(puts, deletes)
        answer: asyncio.Future[int | None] = self._loop.create_future()
        self._inbox.put(_Request(dict(compare), dict(puts), tuple(deletes), answer))
        try:
            return await asyncio.wait_for(answer, LIMIT)
        except TimeoutError:
            raise MayHeal(f"{self._disk.path} could not be written within {LIMIT:g} s") from None

    def watch(self, revision: int) -> AsyncIterator[Change]:
        return self._history.watch(revision)

    async def close(self) -> None:
        """Write what was asked for before, and let go of the file."""
        if not self._closed:
            self._closed = True
            self._inbox.put(None)
        await asyncio.shield(self._ended)

    def _check(self) -> None:
        if self._closed:
            raise MayHeal("the store is closed")

    # --- in the thread ----------------------------------------------------------------------

    def _work(self) -> None:
        last = False
        while not last:
            batch = [self._inbox.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < TOGETHER:
                    batch.append(self._inbox.get_nowait())
            last = None in batch
            requests = [request for request in batch if request is not None]
            if requests:
                self._tell(requests, *self._commit(requests))
        self._disk.close()
        with contextlib.suppress(RuntimeError):  # the loop is gone
            self._loop.call_soon_threadsafe(self._end)

    def _commit(self, requests: list[_Request]) -> tuple[list[Result], list[Change]]:
        """One transaction of all; each with the result of its own comparison."""
        disk, made = self._disk, list[Change]()
        before: dict[str, Entry | None] = {}
        revision = disk.revision
        try:
            made += disk.ready()
            revision, results = disk.revision, list[Result]()
            for request in requests:
                if not holds(disk.entries, request.compare):
                    results.append(None)
                    continue
                now = changes(disk.entries, disk.revision + 1, request.puts, request.deletes)
                for change in now:
                    before.setdefault(change.key, disk.entries.get(change.key))
                    disk.take(change)
                made += now
                results.append(disk.revision)
            disk.write(before)
        except BaseException as fault:  # whatever it is, the thread goes on and each asker hears it
            disk.undo(before, revision)
            adopted = [change for change in made if change.revision <= revision]
            return [fault] * len(requests), adopted
        return results, made

    def _tell(self, requests: list[_Request], results: list[Result], made: list[Change]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone, and with it all who asked
            self._loop.call_soon_threadsafe(self._publish, requests, results, made)

    # --- in the loop ------------------------------------------------------------------------

    def _publish(self, requests: list[_Request], results: list[Result], made: list[Change]) -> None:
        self._history.publish(made)
        for request, result in zip(requests, results, strict=True):
            if request.answer.done():
                continue
            if isinstance(result, BaseException):
                request.answer.set_exception(_copy(result))
            else:
                request.answer.set_result(result)

    def _end(self) -> None:
        self._history.close("the store is closed")
        self._ended.set_result(None)


def _copy(fault: BaseException) -> BaseException:
    """One for each asker: a traceback must not grow through those of all others."""
    return MayHeal(str(fault)) if isinstance(fault, MayHeal) else fault
