"""What the engine knows of one service between passes; everything here may be lost in a crash."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from reconciler.decide.asked import NOBODY, Asked
from reconciler.decide.backoff import Budget
from reconciler.decide.holds import Counted
from reconciler.decide.order import Order, order
from reconciler.decide.placement import Decision
from reconciler.errors import Fault
from reconciler.model import Act, Goal, Observed, Plan, Resource, Service, State, settled

T = TypeVar("T")


def as_before(old: dict[str, T], new: dict[str, T]) -> dict[str, T]:
    """`new`, of which what equals the old stays the old: what lives long is not made anew each pass."""
    if old == new:
        return old
    return {rid: old[rid] if rid in old and old[rid] == value else value for rid, value in new.items()}


@dataclass(slots=True)
class Attempt:
    """A start from nothing, until everything that counts has been up once.

    Instants are loop time, in seconds.
    """

    coming_up: bool = False
    checked: set[str] = field(default_factory=set)  # rids whose check before a start passed, or needs none
    conflict: str = ""
    conflict_until: float = 0.0
    activated: set[str] = field(default_factory=set)  # what this attempt started, or began to
    up_as: str = ""  # the generation that was up whole: what it loses is repaired, not started
    failures: int = 0  # in a row, also over the turns of other nodes; its mark lasts the longer
    whole_since: float | None = None  # up as wanted, with nothing under way
    failed: str = ""
    failed_until: float = 0.0
    blocked: str = ""  # the rid that nothing can be done about here, though all that it needs is there
    blocked_since: float = 0.0
    stays: str = ""  # why it should move, and was moved too often to
    gives_away: bool = False  # it did not fail to start: it was lost too often


@dataclass(slots=True)
class Record:
    key: str
    service: Service
    document: Mapping[str, Any] = field(default_factory=dict)
    deleted: bool = False
    faults: tuple[Fault, ...] = ()  # of the file now in the directory, which is not in force
    lints: tuple[Fault, ...] = ()

    # as of the last pass
    decision: Decision | None = None
    asked: Asked = NOBODY  # what was asked when it was decided
    goals: dict[str, Goal] = field(default_factory=dict)
    turning: set[str] = field(default_factory=set)  # down only to come up again: edited, or started anew
    whole: dict[str, Resource] = field(default_factory=dict)  # incl. what left the document
    seen: dict[str, Observed] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)  # wall-clock, of the present state
    told: dict[str, State] = field(default_factory=dict)  # the states of which events were made
    plan: Plan = field(default_factory=Plan)
    passes: int = 0

    budgets: dict[str, Budget] = field(default_factory=dict)
    stops: dict[str, Budget] = field(default_factory=dict)  # stops that failed: stuck
    started: dict[str, float] = field(default_factory=dict)  # just now, by a job; loop time of its end
    stopped: dict[str, float] = field(default_factory=dict)  # the same of stops
    worked: dict[str, Act] = field(default_factory=dict)  # jobs on data that ended well; to be verified
    settling: dict[str, str] = field(default_factory=dict)  # its command ended well, its check lags behind
    attempt: Attempt = field(default_factory=Attempt)
    forced: frozenset[str] = frozenset()
    fresh: str = ""  # the id of the word after which what was counted until then was forgotten
    handed_over: bool = False  # its last holder gave it back: what it had is surely gone there
    refused: str = ""  # why an operation towards up was refused, until that loop time
    refused_until: float = 0.0

    _order: Order | None = field(default=None, repr=False)
    _ordered: tuple[Resource, ...] = field(default=(), repr=False)

    @property
    def last_order(self) -> Order:
        """The edges among the resources of the last look."""
        return self._order or order(())

    def order(self, resources: tuple[Resource, ...]) -> Order:
        """The edges among these; kept, because they change with the document only."""
        if self._order is None or resources != self._ordered:
            self._order, self._ordered = order(resources), resources
        return self._order

    def counted(self, now: float) -> Counted:
        """What the plan goes by besides what was seen, as a value. `now`: loop time."""
        attempt = self.attempt
        return Counted(
            now,
            dict(self.budgets),
            dict(self.stops),
            dict(self.settling),
            self.forced,
            self.refused,
            self.refused_until,
            attempt.conflict,
            attempt.conflict_until,
            attempt.coming_up,
            frozenset(attempt.checked),
            self.handed_over,
        )

    def up_as_wanted(self) -> bool:
        """Every resource that counts is where its goal wants it, and not on its way to another."""
        if self.turning:
            return False
        for rid, goal in self.goals.items():
            seen = self.seen.get(rid)
            if seen and not settled(goal, seen) and not self.whole[rid].common.optional:
                return False
        return True
