"""Errors → three families: a person must change something, the world may heal, the program is wrong.

The third family has no class of its own: any other exception is a bug, is reported with its
traceback, and costs only the pass it happened in.
"""

from dataclasses import dataclass


class NeedsPerson(Exception):
    """Nothing changes until a person changes something; trying again is pointless."""


class MayHeal(Exception):
    """The world may heal by itself: try again, more and more slowly."""


class UnknownOutcome(MayHeal):
    """A commit was sent and no answer came: wholly done or not at all. Read before deciding anything."""


class StoreLost(NeedsPerson):
    """The store that answers is not the one we knew, or knows less than it did."""


@dataclass(frozen=True, order=True)
class Fault:
    """One thing wrong in a document: where, what, and what to do.

    `line` counts from 1; 0 means the fault has no line (an unreadable file, say).
    """

    file: str
    line: int
    path: str
    what: str
    todo: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        place = f"{self.path}: " if self.path else ""
        todo = f"\n    {self.todo}" if self.todo else ""
        return f"{where}: {place}{self.what}{todo}"


class Refused(NeedsPerson):
    """A document that is not fit to be in force, with every fault found in it."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults
