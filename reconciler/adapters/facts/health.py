"""A mount point → whether its filesystem answers, and what it says if not."""

import os
from collections.abc import Callable, Sequence

from reconciler.adapters.facts.source import Base, Subject
from reconciler.adapters.facts.workers import Workers
from reconciler.asks import MountHealth

_MOST = 64


def health(ask: MountHealth) -> str:
    """ "" or the error's text."""
    try:
        os.statvfs(ask.target)
        if ask.read:
            with os.scandir(ask.target) as entries:
                next(entries, None)
    except OSError as fault:
        return fault.strerror or str(fault)
    return ""


class HealthSource(Base):
    """One question at a time for each mount point, each in its own time limit."""

    def __init__(self, every: float, look: Callable[[MountHealth], str] = health) -> None:
        super().__init__(every)
        self._look = look
        self._workers = Workers(_MOST, self.ask_again, domain=lambda subject: subject.ask.target)

    async def look(self, subjects: Sequence[Subject]) -> None:
        await self._workers.run(
            subjects, lambda s: self._look(_ask(s)), lambda s: _ask(s).timeout, self.desk.report
        )


def _ask(subject: Subject) -> MountHealth:
    assert isinstance(subject.ask, MountHealth)
    return subject.ask
