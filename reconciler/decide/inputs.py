"""All that one pass decided on, as one value → the same goal, reason, situations and plan once more.

The engine decides from these very values, in these very steps, and keeps the last of them: a decision that
is in doubt can be taken again, elsewhere and later.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.decide import turn as turns
from reconciler.decide.asked import NOBODY, Asked
from reconciler.decide.holds import NOTHING, Counted, planned
from reconciler.decide.order import Order, order
from reconciler.decide.placement import Decision, Here, decide
from reconciler.decide.plan import Drivers
from reconciler.decide.plan import Situation as Part
from reconciler.decide.situations import Look, Roster, roster, situations
from reconciler.decide.turn import Turn
from reconciler.model import Goal, Plan, Service, nothing


@dataclass(frozen=True, slots=True)
class Inputs:
    """document: as written, of which `service` was made. near: the cluster; None: the host is alone."""

    service: Service
    here: Here
    look: Look
    document: Mapping[str, Any] = field(default_factory=nothing)
    deleted: bool = False
    asked: Asked = NOBODY
    near: turns.Situation | None = None
    counted: Counted = NOTHING


@dataclass(frozen=True, slots=True)
class Decided:
    turn: Turn
    parts: Mapping[str, Part]
    plan: Plan

    @property
    def decision(self) -> Decision:
        return self.turn.decision


def decided(given: Inputs, drivers: Drivers, ahead: bool = False) -> Decided:
    """What the pass decided. `ahead`: its plan with what would follow, as people are shown it."""
    turn = whose(given.service, given.deleted, given.asked, given.here, given.near)
    who = roster(given.service, given.deleted, given.look.applied)
    line = order(who.resources)
    made = parts(given.service, given.deleted, turn, given.look, who, line)
    return Decided(turn, made, planned(made, line, given.counted, unclaimed(turn), drivers, ahead))


def whose(service: Service, deleted: bool, asked: Asked, here: Here, near: turns.Situation | None) -> Turn:
    """The goal here, whose turn it is, and what of all that was asked concerns this node."""
    wanted = decide(service, asked.on(here.node), here, deleted)
    return turns.turn(service, wanted, asked, near) if near else turns.alone(wanted, asked)


def parts(
    service: Service, deleted: bool, turn: Turn, look: Look, who: Roster, line: Order
) -> dict[str, Part]:
    """One situation for each resource of the look."""
    made = situations(service, deleted, turn.asked, turn.decision, look, who, line)
    if turn.decision.code == "StartFailed" and turn.alone:
        # Only what the failed start began is stopped; all of it, where another node may take it.
        kept = look.activated | look.running
        for rid, s in made.items():
            if s.goal is Goal.DOWN and rid not in kept:
                made[rid] = replace(s, goal=Goal.NONE)
    return made


def unclaimed(turn: Turn) -> str:
    """Why nothing may go up here, though it is wanted so."""
    return "" if turn.holds else turn.decision.reason
