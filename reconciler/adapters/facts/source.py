"""What a fact source is: asks in batches → answers, as they come in, and word of what has changed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from reconciler.asks import Ask
from reconciler.model import Owner

IDLE_SHARE = 4.0  # what events set going leaves four times as long free as it took,
IDLE_MOST = 0.25  # but no more than this many seconds: one look may just have hung


class Subject(NamedTuple):
    """One thing that is looked at once for all who ask: `owner` is None unless the ask is relative."""

    ask: Ask[Any]
    owner: Owner | None = None


def reason(fault: BaseException) -> str:
    """What to tell a person about an exception."""
    if isinstance(fault, OSError) and fault.strerror:
        return f"{fault.filename}: {fault.strerror}" if fault.filename else fault.strerror
    return str(fault) or type(fault).__name__


def called(subject: Any) -> str:
    """The thing a subject asks about, for messages."""
    ask = subject.ask if isinstance(subject, Subject) else subject
    for name in ("path", "target", "name"):
        if text := getattr(ask, name, ""):
            return str(text)
    return type(ask).__name__


class Desk(Protocol):
    """The hub as one source sees it. All calls come from the event loop's own thread."""

    def report(self, answers: Mapping[Subject, Any]) -> None:
        """Answers, values or Failed: of the look under way, or unasked (then nothing gets fresher)."""
        ...

    def changed(self, subjects: Iterable[Subject] | None = None) -> None:
        """An event: the answers to these (None: to all of the source) may no longer hold.

        What is followed is looked at again soon, and whose answer then differs is told.
        """
        ...

    def wanted(self, subject: Subject) -> bool:
        """Somebody follows it and, where it is costly, has read it lately."""
        ...


class Source(Protocol):
    """Answers the asks of one name.

    every  seconds between periodic looks at all that is followed; None: events alone suffice.
    """

    @property
    def every(self) -> float | None: ...

    async def start(self, desk: Desk) -> None:
        """Open what events come through. What is missing degrades to periodic looks, and never fails."""
        ...

    async def look(self, subjects: Sequence[Subject]) -> None:
        """Look now, and `desk.report` an answer for each before returning, in any portions.

        Never called for a subject whose last look has not answered. Each answer has a time limit of
        its own; one that hangs delays no other. Raising makes those not yet reported Failed(why).
        """
        ...

    def distrust(self) -> None:
        """The period is over: the next look must not rest on what events have said so far."""
        ...

    def forget(self, subjects: Iterable[Subject]) -> None:
        """Nobody asks these any more."""
        ...

    def same(self, old: Any, new: Any) -> bool:
        """Whether two answers are equal to those who follow; the newer one is kept either way."""
        ...

    async def close(self) -> None: ...


class Base:
    """Defaults of a source: periodic looks, no events."""

    def __init__(self, every: float | None) -> None:
        self.every = every
        self.desk: Desk = _NOBODY

    async def start(self, desk: Desk) -> None:
        self.desk = desk

    def distrust(self) -> None:
        """Every look is a real one."""

    def forget(self, subjects: Iterable[Subject]) -> None:
        """Nothing is kept per subject."""

    def same(self, old: Any, new: Any) -> bool:
        return bool(old == new)

    def ask_again(self, subjects: Iterable[Subject]) -> None:
        """What was in the way of these answers is gone (see Workers)."""
        self.desk.changed(subjects)

    async def close(self) -> None:
        """Nothing is open."""


class Lookup(Base):
    """A source out of a plain function that never blocks: `Lookup(lambda s: programs.seen(s.owner))`.

    Whoever knows of a change calls `desk.changed` (after `start`).
    """

    def __init__(self, function: Callable[[Subject], Any], every: float | None = None) -> None:
        super().__init__(every)
        self._function = function

    async def look(self, subjects: Sequence[Subject]) -> None:
        self.desk.report({subject: self._function(subject) for subject in subjects})


class _Nobody:
    """The desk before `start`: nobody listens yet."""

    def report(self, answers: Mapping[Subject, Any]) -> None:
        return

    def changed(self, subjects: Iterable[Subject] | None = None) -> None:
        return

    def wanted(self, subject: Subject) -> bool:
        return False


_NOBODY = _Nobody()


@dataclass
class SourceStats:
    """One source's doings since the start. Seconds of duration; `last_success` is wall-clock time."""

    looks: int = 0
    failures: int = 0  # looks with at least one Failed answer
    events: int = 0
    seconds: float = 0.0  # in looks, in all
    last_seconds: float = 0.0
    last_success: float = 0.0  # 0: none yet
    subjects: int = 0  # known now
    failing: int = 0  # of these, without an answer
