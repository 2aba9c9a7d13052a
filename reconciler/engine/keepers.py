"""What a session needs beside the store, as Protocols: its guard, what it keeps on disk, and its terms."""

import asyncio
import math
from dataclasses import dataclass, replace
from typing import Protocol

from reconciler.contracts import Identity
from reconciler.decide.sessions import Level, Session
from reconciler.decide.timing import Timing


class GuardSeen(Protocol):
    @property
    def phase(self) -> str:
        """`idle`: no session, nothing listed. `killing`, `stopping`: it ends what is listed."""
        ...

    @property
    def last(self) -> int:
        """No session with an epoch up to this one is ever open again here."""
        ...


class Guard(Protocol):
    """The process that stops what was started here when we cannot. Every call may raise MayHeal."""

    @property
    def lost(self) -> asyncio.Event:
        """It is gone, or has ended the session: renewing stops at once."""
        ...

    async def state(self) -> GuardSeen: ...

    async def open(self, epoch: int, deadline: float) -> object:
        """A session until that boot-time instant; or go on with one after a restart."""
        ...

    async def extend(self, deadline: float) -> None:
        """Also to an earlier one."""
        ...

    async def trip(self, why: str) -> None:
        """End the session now."""
        ...

    async def close(self) -> None:
        """The session ends with nothing listed; MayHeal while something is."""
        ...


@dataclass(frozen=True)
class Mark:
    """What of the store is remembered while it is away. `epoch`: the highest seen of any session."""

    identity: Identity | None = None
    epoch: int = 0


class Keepsake(Protocol):
    """What outlives the agent: a secret under the run directory, a mark in the state directory."""

    def secret(self) -> str:
        """Its digest; whoever has the secret, and this boot, may continue the session."""
        ...

    def new_secret(self) -> None: ...

    def mark(self) -> Mark: ...

    async def keep(self, mark: Mark) -> None: ...


@dataclass(frozen=True)
class Terms:
    """T, D, I and the safety level that a session promises. T and D without end: maintenance."""

    wait: float
    limit: float
    every: float
    level: Level

    @classmethod
    def of(cls, timing: Timing, level: Level) -> "Terms":
        return cls(timing.wait, timing.deadline, timing.renew, level)

    @property
    def maintenance(self) -> "Terms":
        return replace(self, wait=math.inf, limit=math.inf)


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
