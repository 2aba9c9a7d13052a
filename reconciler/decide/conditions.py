"""Reports of one pass → the conditions Ready, Reconciling and Stalled.

Ready        the service is on this host as it is wanted here.
Reconciling  something is being done about the difference, or waits for its turn.
Stalled      it will not get there without a person or a change in the world; the message says why.

Reasons are words of bounded sets, for metrics and alerts; the message is for people.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reconciler.decide.status import OUTSIDE_AVAIL, Instance, ResourceReport
from reconciler.model import GROUPS, ServiceGoal, State, settled


class Ready(StrEnum):
    UP = "Up"
    STANDBY = "Standby"
    STOPPED = "Stopped"
    EMPTY = "Empty"  # nothing of it counts for availability
    DOWN = "Down"
    DEGRADED = "Degraded"
    NOT_STOPPED = "NotStopped"
    NOT_ASKED = "NotAsked"  # orchestrate: no, and nobody asked
    NO_SESSION = "NoSession"  # without one nobody may start it here, and nobody knows who runs it
    CANNOT_LOOK = "CannotLook"
    FROZEN = "Frozen"  # nothing is wanted of it meanwhile


class Reconciling(StrEnum):
    STARTING = "Starting"
    STOPPING = "Stopping"
    WAITING = "Waiting"
    SETTLED = "Settled"
    STALLED = "Stalled"


class Stalled(StrEnum):
    """Why nothing more will happen. The engine names the first ones; the last are seen in reports."""

    INVALID_DOCUMENT = "InvalidDocument"
    CONFLICTING_DOCUMENTS = "ConflictingDocuments"
    WAITS_FOR_STOP = "WaitsForStop"  # the document is fit, and takes what its claim has not
    PREFLIGHT_CONFLICT = "PreflightConflict"
    START_FAILED = "StartFailed"
    STOP_STUCK = "StopStuck"
    WISH_REFUSED = "WishRefused"
    PASS_FAILED = "PassFailed"
    STORE_UNREACHABLE = "StoreUnreachable"
    CANNOT_LOOK = "CannotLook"
    HELD_ELSEWHERE = "HeldElsewhere"
    BLOCKED = "Blocked"
    BUDGET_SPENT = "BudgetSpent"


NOT_STALLED = "NotStalled"


@dataclass(frozen=True)
class Trouble:
    """What the engine knows to be in the way, beyond what the reports show."""

    reason: Stalled
    message: str


def conditions(
    reports: Sequence[ResourceReport],
    here: Instance,
    *,
    goal: ServiceGoal,
    generation: str,
    now: float,
    before: Iterable[Mapping[str, Any]] = (),
    trouble: Trouble | None = None,
    frozen: bool = False,
    no_session: bool = False,
    busy: bool | None = None,
    heard: bool = True,
) -> list[dict[str, Any]]:
    """The three, in the shape of the API. `now` is wall-clock time.

    here    the reports merged.
    before  the conditions of the last report: `since` is kept while status and reason stay.
    frozen  the goal is untouched because somebody froze it, not because nobody asked;
            no_session: because this node has none.
    busy    steps run or are ready; None: as the reports say.
    heard   no word was said that the reports do not know of yet.
    """
    if busy is None:
        busy = any(report.running for report in reports)
    idle = Ready.NO_SESSION if no_session else Ready.NOT_ASKED
    ready = _ready(reports, here, goal, frozen, idle)
    stalled = _stalled(reports, trouble, busy)
    reconciling = _reconciling(reports, goal, busy, stalled[0] == "True")
    if not heard and reconciling[0] == "False":
        reconciling = "True", Reconciling.WAITING, "what was asked last is heard by the next pass"
    known = {condition["type"]: condition for condition in before}
    made = []
    for kind, (status, reason, message) in (
        ("Ready", ready),
        ("Reconciling", reconciling),
        ("Stalled", stalled),
    ):
        last = known.get(kind)
        same = last is not None and (last["status"], last["reason"]) == (status, str(reason))
        since = last["since"] if last is not None and same else now
        made.append(
            {
                "type": kind,
                "status": status,
                "reason": str(reason),
                "message": message,
                "since": since,
                "generation": generation,
            }
        )
    return made


Verdict = tuple[str, str, str]


def _counting(reports: Iterable[ResourceReport]) -> list[ResourceReport]:
    return [
        report
        for report in reports
        if report.looked_at
        and not report.resource.common.optional
        and report.resource.group not in OUTSIDE_AVAIL
    ]


def _unsettled(reports: Iterable[ResourceReport]) -> list[ResourceReport]:
    return [report for report in reports if report.looked_at and not settled(report.goal, report.seen)]


def _each(reports: Iterable[ResourceReport]) -> str:
    return ", ".join(f"{report.resource.rid} is {report.state}" for report in reports)


def _ready(
    reports: Sequence[ResourceReport], here: Instance, goal: ServiceGoal, frozen: bool, idle: Ready
) -> Verdict:
    counting = _counting(reports)
    blind = [report for report in counting if report.seen.state is State.UNKNOWN]
    if blind:
        return "Unknown", Ready.CANNOT_LOOK, _each(blind)
    if goal in (ServiceGoal.UP, ServiceGoal.UNTOUCHED):
        up = _ready_up(counting, here, Ready.DOWN if goal is ServiceGoal.UP else idle)
        return up if up[0] == "True" or not frozen else ("Unknown", Ready.FROZEN, up[2])
    if gap := _unsettled(counting):
        upward = [report.upward for report in gap]  # of a stopped service too: what is standby
        below = all(upward) or (goal is ServiceGoal.STANDBY and any(upward))
        return "False", Ready.DOWN if below else Ready.NOT_STOPPED, _each(gap)
    return "True", Ready.STANDBY if goal is ServiceGoal.STANDBY else Ready.STOPPED, ""


def _ready_up(counting: Sequence[ResourceReport], here: Instance, down: Ready) -> Verdict:
    """`down`: what it is called when nothing of it is up."""
    missing = _each(r for r in counting if r.state not in (State.UP, State.STANDBY_UP, State.NA))
    if here.avail in (State.UP, State.STANDBY_UP) and not missing:
        return "True", Ready.UP, ""
    if here.avail is State.NA:
        return "True", Ready.EMPTY, ""
    if here.some_up:
        return "False", Ready.DEGRADED, missing
    return "False", down, missing


def _reconciling(
    reports: Sequence[ResourceReport], goal: ServiceGoal, busy: bool, stalled: bool
) -> Verdict:
    gap = _unsettled(reports)
    if busy:
        upward = any(r.upward for r in gap) if gap else goal is ServiceGoal.UP
        running = ", ".join(report.resource.rid for report in reports if report.running)
        return "True", Reconciling.STARTING if upward else Reconciling.STOPPING, running
    if stalled and gap:
        return "False", Reconciling.STALLED, _each(gap)
    if gap:
        waits = "; ".join(f"{r.resource.rid}: {r.waiting}" for r in gap if r.waiting)
        return "True", Reconciling.WAITING, waits or _each(gap)
    return "False", Reconciling.SETTLED, ""


def _stalled(reports: Sequence[ResourceReport], trouble: Trouble | None, busy: bool) -> Verdict:
    if trouble:
        return "True", trouble.reason, trouble.message
    gap = _unsettled(reports)
    if busy or not gap:
        return "False", NOT_STALLED, ""
    for report in _frontier(gap):
        rid, seen = report.resource.rid, report.seen
        if seen.state is State.UNKNOWN:
            why = report.log[0].text if report.log else "no answer"
            return "True", Stalled.CANNOT_LOOK, f"{rid}: {why}"
        if report.upward and seen.state is State.ELSEWHERE:
            return "True", Stalled.HELD_ELSEWHERE, f"{rid} is held by {seen.holder or 'another host'}"
        if report.upward and seen.blocked:
            return "True", Stalled.BLOCKED, f"{rid}: {seen.blocked}"
        if report.upward and report.spent:
            return "True", Stalled.BUDGET_SPENT, f"{rid} is {report.state} and its restarts are spent"
    return "False", NOT_STALLED, ""


def _frontier(gap: Sequence[ResourceReport]) -> list[ResourceReport]:
    """Those that wait for none of the others: a filesystem whose disk is not up yet is no obstacle.

    Going up that is the earliest group; going down every resource may be the one in the way.
    """
    missing = {report.resource.rid for report in gap if report.upward}
    first = [r for r in gap if not missing & {*r.resource.refs, *r.resource.common.after}]
    ranks = {group: rank for rank, group in enumerate(GROUPS)}
    earliest = min((ranks.get(r.resource.group, len(ranks)) for r in first if r.upward), default=0)
    return [r for r in first if not r.upward or ranks.get(r.resource.group, len(ranks)) == earliest]
