"""What the floors above may ask of the outside: Host, FactHub, Driver, Store, Guard, Recorder, Clock.

The engine knows these Protocols only; `adapters/` implements them for Linux, `testing/` in memory.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from reconciler.asks import Ask, Facts, Failed, NotYet
from reconciler.guard.lines import Line
from reconciler.model import Goal, Observed, Outcome, Owner
from reconciler.operations import Operation

T = TypeVar("T")
Spec = Mapping[str, Any]


class Driver(Protocol):
    """One module of `resources/`. Pure: facts in, operations out; see CONTRIBUTING."""

    KIND: str

    def asks(self, spec: Spec) -> tuple[Ask[Any], ...]:
        """Everything `observe` may read."""
        ...

    def observe(self, spec: Spec, facts: Facts) -> Observed:
        """State off the facts. May raise Unanswered; the caller makes it `unknown`."""
        ...

    def operations(self, spec: Spec, seen: Observed, goal: Goal) -> tuple[Operation, ...]:
        """What closes the gap; empty exactly when `settled(goal, seen)`. Never creates or destroys."""
        ...


class Creates(Driver, Protocol):
    """A driver of something that is provisioned: the only functions that may touch data."""

    def create(self, spec: Spec, seen: Observed) -> tuple[Operation, ...]: ...

    def destroy(self, spec: Spec, seen: Observed) -> tuple[Operation, ...]: ...


class Preflights(Driver, Protocol):
    def preflight(self, spec: Spec, seen: Observed) -> tuple[Operation, ...]:
        """Checks that must all pass before anything of a down instance is touched."""
        ...


class Excludes(Driver, Protocol):
    def exclusive(self, spec: Spec) -> tuple[str, ...]:
        """Things only one service may name ("address 192.0.2.10", "mount point /data")."""
        ...


class Host(Protocol):
    """The one door to this machine."""

    async def perform(self, operation: Operation, owner: Owner) -> Outcome:
        """Do it, within `operation.timeout`. A failure is an Outcome, never an exception.

        Cancelled, it stops an interruptible operation and what it started before it returns.
        """
        ...


Asking = Callable[[], Mapping[Owner, Iterable[Ask[Any]]]]
"""What each owner of a service asks; called when it matters only."""


class FactHub(Protocol):
    """Answers of all sources, shared by all services, kept fresh by events and periodic looks."""

    def known(self, owner: Owner, ask: Ask[T]) -> T | Failed | NotYet:
        """What is known now, without waiting."""
        ...

    async def answer(self, owner: Owner, asks: Iterable[Ask[Any]], acts: bool = True) -> None:
        """Return once each of them is answered (value or Failed) within its own time limit.

        `acts`: whoever waits acts on what it reads then, and need not be told that it differs.
        """
        ...

    def follow(self, owner: Owner, asks: Sequence[Ask[Any]]) -> None:
        """From now on a change in the answer to any of these puts `owner.service` in the queue.

        Replaces what the owner followed before; with () it follows nothing and is forgotten.
        """
        ...

    def touched(self, owner: Owner, touches: Iterable[str]) -> None:
        """An operation of the owner touched these: the next `answer` looks anew."""
        ...

    def begin(self, service: str, asks: Asking) -> Callable[[Owner], None]:
        """What was touched of a service is looked at all at once, for `answer` to find it.

        Returns what is to be called for each owner as soon as its answers were read: until then nobody
        is told that they differ.
        """
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    value: str
    revision: int


@dataclass(frozen=True)
class Snapshot:
    revision: int
    entries: Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class Change:
    """One key as of a revision; value None when it was deleted."""

    key: str
    value: str | None
    revision: int


class Store(Protocol):
    """A small linearizable key-value store. Every call is bounded in time and may raise MayHeal.

    A store that several hosts share also raises UnknownOutcome (by `commit`), StoreLost, and
    NeedsPerson when it refuses us (credentials, certificates, versions).
    """

    async def read(self, prefix: str) -> Snapshot: ...

    async def commit(
        self,
        compare: Mapping[str, int],
        puts: Mapping[str, str],
        deletes: Collection[str] = (),
    ) -> int | None:
        """All or nothing: the new revision, or None when a compared revision differs (0: absent)."""
        ...

    def watch(self, revision: int) -> AsyncIterator[Change]:
        """Every change after `revision`, in order. Ends by raising MayHeal: read anew then."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Identity:
    """Which store it is, and how far it was.

    cluster   etcd's cluster id; alike in all clusters that were set up with the same names and addresses
    store     the random id that we wrote at init, new at every recovery; "" when there is none
    revision  the highest seen
    """

    cluster: str
    store: str
    revision: int


@dataclass(frozen=True)
class Mark:
    """What of the store is remembered while it is away. `epoch`: the highest seen of any session."""

    identity: Identity | None = None
    epoch: int = 0


class SharedStore(Store, Protocol):
    """A store of several hosts: it tells whether it is still the one that was known."""

    async def identity(self) -> Identity:
        """Of the store that answers. Raises StoreLost as all calls do."""
        ...


class Journal(Protocol):
    """Events for people, kept by days and size."""

    def add(self, event: "Event") -> None: ...

    def since(self, seconds_ago: float, service: str = "", limit: int = 1000) -> Sequence["Event"]: ...


@dataclass(frozen=True)
class Event:
    """Something that happened. `at` is wall-clock time, for people only."""

    at: float
    kind: str  # bounded set: operation, state, wish, document, condition, daemon, …
    service: str = ""
    rid: str = ""
    reason: str = ""
    text: str = ""
    ok: bool = True
    seconds: float = 0.0
    output: str = ""
    number: int = 0  # given by the journal, ascending


class Recorder(Protocol):
    """What happened, told once: events, logs and counters are made of it."""

    def record(self, event: Event) -> None: ...


class Clock(Protocol):
    """Time that is not the loop's."""

    def wall(self) -> float: ...

    def boottime(self) -> float: ...


class Keepsake(Protocol):
    """What outlives the agent: a secret under the run directory, a mark in the state directory.

    What cannot be written raises MayHeal: a disk is full for a while, or read-only.
    """

    def secret(self) -> str:
        """Its digest; whoever has the secret, and this boot, may continue the session."""
        ...

    def new_secret(self) -> None: ...

    def mark(self) -> Mark: ...

    async def keep(self, mark: Mark) -> None: ...


@dataclass(frozen=True)
class GuardSeen:
    """What the guard says of itself.

    phase     idle, held, found, killing or stopping.
    epoch     of the open session, 0 for none. last: none up to this one is ever open again.
    kappa     watchdog periods that may pass after the deadline: 1 if nothing can hold the guard up.
    watchdog  seconds granted, or those of a session it found; None while it is not armed.
    real      a device resets this machine.
    doomed    it pets no more: the machine is about to be reset.
    why       the last session is over.
    lines     what is listed, by number.
    """

    phase: str
    epoch: int
    last: int
    deadline: float | None
    kappa: int
    watchdog: float | None
    real: bool
    doomed: bool
    why: str
    lines: Mapping[int, Line]


class Guard(Protocol):
    """The process that stops what was started here when the agent cannot.

    Every call raises MayHeal when it is refused (with the guard's reason) or the guard is gone. Whoever
    acts towards up awaits `enter` before, and with `lost` set stops renewing at once.
    """

    lost: asyncio.Event

    async def state(self) -> GuardSeen: ...

    async def arm(self, watchdog: float, margin: float) -> float:
        """Before a session, or with another time within it: the seconds that were granted."""
        ...

    async def open(self, epoch: int, deadline: float) -> GuardSeen:
        """A session until that instant of CLOCK_BOOTTIME; or go on with one after a restart."""
        ...

    async def extend(self, deadline: float) -> None: ...

    async def enter(self, lines: Sequence[Line]) -> tuple[int, ...]:
        """Before the operations that these undo; with no lines, before any other towards up."""
        ...

    async def leave(self, numbers: Collection[int]) -> None:
        """They were seen gone."""
        ...

    async def trip(self, why: str) -> None:
        """End the session now: the guard kills us and stops what is listed."""
        ...

    async def reset(self, why: str, crash: bool = False) -> None:
        """Reset the machine: by its watchdog, or at once (`crash`)."""
        ...

    async def close(self) -> None:
        """The session ends with nothing listed."""
        ...


Notify = Callable[[str], None]
"""Puts a service's key in the queue: all that an event may do."""
