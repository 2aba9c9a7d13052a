"""A service as the last pass left it → what is told of each part, and the first thing in the way."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from reconciler.decide.asked import MOST_MOVES, Asked
from reconciler.decide.backoff import Budget
from reconciler.decide.conditions import Stalled, Trouble
from reconciler.decide.explain import Part
from reconciler.decide.placement import FAILED, Decision
from reconciler.decide.situations import Memories
from reconciler.decide.status import ResourceReport
from reconciler.errors import Fault
from reconciler.model import (
    Goal,
    Note,
    Observed,
    Plan,
    Resource,
    Service,
    ServiceGoal,
    State,
    info,
    settled,
)

NOT_SEEN = Observed(State.UNKNOWN)
STUCK = "`standfast stop --force`, `standfast clear`, or reset the node"
_FAULTS = (
    ("two files", Stalled.CONFLICTING_DOCUMENTS),
    ("is not what is in force", Stalled.CONFLICTING_DOCUMENTS),
    ("was removed on", Stalled.CONFLICTING_DOCUMENTS),
    ("is not in force yet", Stalled.WAITS_FOR_STOP),
)
"""How a fault begins that is none of what the file says."""


class Attempt(Protocol):
    """conflict: which check before a start failed, and how. failed: why a start did, a while ago.

    Nothing starts before `conflict_until`, `failed_until` (loop time). stays: why it should move, and
    was moved too often to.
    """

    @property
    def conflict(self) -> str: ...
    @property
    def conflict_until(self) -> float: ...
    @property
    def failed(self) -> str: ...
    @property
    def failed_until(self) -> float: ...
    @property
    def stays(self) -> str: ...


class Passed(Protocol):
    """What is read of it; mappings are by rid. since: wall-clock time of the present state."""

    @property
    def service(self) -> Service: ...
    @property
    def decision(self) -> Decision | None: ...
    @property
    def plan(self) -> Plan: ...
    @property
    def whole(self) -> Mapping[str, Resource]: ...
    @property
    def seen(self) -> Mapping[str, Observed]: ...
    @property
    def goals(self) -> Mapping[str, Goal]: ...
    @property
    def since(self) -> Mapping[str, float]: ...
    @property
    def budgets(self) -> Mapping[str, Budget]: ...
    @property
    def stops(self) -> Mapping[str, Budget]: ...
    @property
    def attempt(self) -> Attempt: ...
    @property
    def faults(self) -> Sequence[Fault]: ...


def wanted(decision: Decision | None) -> ServiceGoal:
    """After a failed start everything is down for a while, and yet nobody wants it so."""
    if decision is None:
        return ServiceGoal.UNTOUCHED
    return ServiceGoal.UP if decision.code in FAILED else decision.goal


def no_session(decision: Decision | None) -> bool:
    """It is left alone for want of a session, not because nobody wants it."""
    return decision is not None and decision.code == "NoSession"


def reports(
    passed: Passed, asked: Asked, running: Collection[str], memories: Memories
) -> list[ResourceReport]:
    """`running`: rids with a job."""
    waiting = {w.rid: w.why for w in passed.plan.waiting}
    made = []
    for rid, resource in (passed.whole or {r.rid: r for r in passed.service.resources}).items():
        seen = passed.seen.get(rid, NOT_SEEN)
        budget, restart = passed.budgets.get(rid), resource.common.restart
        provisioned = seen.provisioned
        if provisioned is None and memories.of(rid).get("provisioned") == "yes":
            provisioned = True
        notes: tuple[Note, ...] = ()
        if budget and budget.failures and not settled(passed.goals.get(rid, Goal.NONE), seen):
            notes = (info(f"failed {budget.failures} times, last: {budget.last}"),)
        made.append(
            ResourceReport(
                resource,
                seen,
                running=rid in running,
                provisioned=provisioned,
                restarts_left=budget.left(restart) if budget else restart,
                stopped_on_purpose=rid in asked.stopped,
                since=passed.since.get(rid, 0.0),
                goal=passed.goals.get(rid, Goal.NONE),
                waiting=waiting.get(rid, ""),
                notes=notes,
                failures=budget.failures if budget else 0,
            )
        )
    return made


def parts(passed: Passed, commands: Mapping[str, str], wall_minus_loop: float) -> dict[str, Part]:
    """As `why` tells of them. `commands`: what runs now, by rid."""
    return {rid: _part(passed, rid, commands.get(rid, ""), wall_minus_loop) for rid in passed.seen}


def _part(passed: Passed, rid: str, command: str, wall_minus_loop: float) -> Part:
    goal = passed.goals.get(rid, Goal.NONE)
    budget = (passed.stops if goal is Goal.DOWN else passed.budgets).get(rid)
    return Part(
        goal,
        passed.seen[rid],
        passed.since.get(rid, 0.0),
        command,
        budget.failures if budget else 0,
        budget.last if budget else "",
        budget.not_before + wall_minus_loop if budget and budget.not_before else 0.0,
    )


def trouble(passed: Passed, store: str) -> Trouble | None:
    """`store`: why nothing can be kept at present, "" when all is well."""
    if stuck := {rid: b for rid, b in passed.stops.items() if passed.goals.get(rid) is Goal.DOWN}:
        rid, budget = next(iter(stuck.items()))
        return Trouble(Stalled.STOP_STUCK, f"{rid} cannot be stopped: {budget.last}; ways out: {STUCK}")
    if passed.attempt.conflict:
        text = f"start aborted due to resource {passed.attempt.conflict}"
        return Trouble(Stalled.PREFLIGHT_CONFLICT, text)
    if passed.decision and passed.decision.code in FAILED:
        return Trouble(Stalled.START_FAILED, passed.attempt.failed)
    if passed.faults:
        reason = next((r for said, r in _FAULTS if passed.faults[0].what.startswith(said)), None)
        reason = reason or Stalled.INVALID_DOCUMENT
        more = f" (and {len(passed.faults) - 1} more)" if len(passed.faults) > 1 else ""
        return Trouble(reason, " ".join(f"{passed.faults[0]}{more}".split()))
    if store:
        return Trouble(Stalled.STORE_UNREACHABLE, store)
    return None


def ways(passed: Passed, now: float) -> tuple[str, ...]:
    """What would take away what is in the way, if that is not what a part waits for. `now`: loop time."""
    name, attempt = passed.service.key.removeprefix("root/"), passed.attempt
    short = any(not settled(passed.goals.get(rid, Goal.NONE), seen) for rid, seen in passed.seen.items())
    found: list[str] = []
    if any(passed.goals.get(rid) is Goal.DOWN for rid in passed.stops):
        found.append(f"a stop is stuck, and nothing that it keeps is given away: {STUCK}")
    if attempt.conflict:
        again = _in(attempt.conflict_until, now)
        found.append(
            f"checked again{again}, and when its document changes; `standfast clear {name}` at once"
        )
    if attempt.failed:
        again = _in(attempt.failed_until, now) or " after a while"
        found.append(f"it may be started here again{again}; `standfast clear {name}` at once")
    if attempt.stays and short:
        found.append(
            f"it was moved {MOST_MOVES} times within the hour by itself, and is repaired where it is: "
            f"`standfast switch {name}` moves it"
        )
    return tuple(found)


def _in(until: float, now: float) -> str:
    return f" in {until - now:.0f} s" if until > now else ""
