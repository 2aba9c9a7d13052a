"""A node's session, told to all who act → whether they may; and the terms that it is renewed by."""

import math
from dataclasses import dataclass, replace

from reconciler.decide.sessions import Level, Session
from reconciler.decide.timing import Timing

FOREVER = 1e9  # seconds; a guard's deadline is a number


@dataclass(frozen=True)
class Terms:
    """T, D, I and the safety level that a session promises. T without end: maintenance."""

    wait: float
    limit: float
    every: float
    level: Level

    @classmethod
    def of(cls, timing: Timing, level: Level) -> "Terms":
        return cls(timing.wait, timing.deadline, timing.renew, level)

    @property
    def maintenance(self) -> "Terms":
        return replace(self, wait=math.inf, limit=FOREVER)


@dataclass(frozen=True)
class Standing:
    """How this node stands, as it is told to all who act.

    session    under which it may claim and start until `deadline` (boot time); None: it may not
    revision   of its record: what every commit under it compares
    why        there is none, or what is wrong with it
    duplicate  another node lives under this name
    """

    session: Session | None = None
    revision: int = 0
    deadline: float = 0.0
    why: str = ""
    duplicate: bool = False

    def current(self, now: float) -> Session | None:
        """The session, while towards up anything may be done at all."""
        return self.session if self.session and now < self.deadline else None
