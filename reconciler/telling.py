"""What happened → journal, counters, log, and whoever listens."""

import logging
from collections.abc import Callable

from metrics.account import Account
from reconciler.adapters.journal import SqliteJournal
from reconciler.contracts import Event

log = logging.getLogger("standfast")


class Telling:
    """contracts.Recorder: journal, counters, log and whoever listens."""

    def __init__(self, journal: SqliteJournal, account: Account) -> None:
        self._journal, self._account = journal, account
        self.listeners: list[Callable[[Event], None]] = []

    @property
    def dropped(self) -> int:
        """Events that could not be kept."""
        return self._journal.dropped

    def record(self, event: Event) -> None:
        self._journal.add(event)
        self._account.record(event)
        level = logging.INFO if event.ok else logging.WARNING
        if log.isEnabledFor(level):
            # Not log.log(): it walks the stack for a place in our code that no line shows.
            log.handle(log.makeRecord(log.name, level, "", 0, event.text, (), None, extra={"event": event}))
        for listener in self.listeners:
            listener(event)
