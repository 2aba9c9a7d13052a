"""What was counted so far of a service's parts → what of it is held back for now, and its plan."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.decide.backoff import Budget
from reconciler.decide.order import Order
from reconciler.decide.plan import UPWARD, Drivers, Situation, plan
from reconciler.model import Goal, Plan, State, nothing, settled


@dataclass(frozen=True, slots=True)
class Counted:
    """What earlier passes and jobs leave to this one, the losses of this pass counted.

    Instants are loop time, in seconds, as `now`.

    budgets      starts that failed and losses, by rid; stops: stops that failed.
    settling     by rid: its command ended well, and its check lags behind.
    forced       a person had the waiting after a failed stop passed over, once.
    refused      why an operation towards up was refused, until `refused_until`.
    conflict     which check before a start failed, and how; nothing starts before `conflict_until`.
    coming_up    a start from nothing is under way.
    checked      rids whose check before a start passed.
    handed_over  its last holder gave it back: what it had is surely gone there.
    """

    now: float = 0.0
    budgets: Mapping[str, Budget] = field(default_factory=nothing)
    stops: Mapping[str, Budget] = field(default_factory=nothing)
    settling: Mapping[str, str] = field(default_factory=nothing)
    forced: frozenset[str] = frozenset()
    refused: str = ""
    refused_until: float = 0.0
    conflict: str = ""
    conflict_until: float = 0.0
    coming_up: bool = False
    checked: frozenset[str] = frozenset()
    handed_over: bool = False


NOTHING = Counted()


def planned(
    made: Mapping[str, Situation],
    order: Order,
    counted: Counted,
    unclaimed: str,
    drivers: Drivers,
    ahead: bool = False,
) -> Plan:
    """`unclaimed`: why nothing may go up here, though it is wanted so. `ahead`: see `plan`."""
    judged = dict(made)
    for rid, s in made.items():
        why = _hold(s, counted, unclaimed)
        unchecked = s.seen.state is State.DOWN and rid not in counted.checked and not counted.handed_over
        if why or unchecked:
            judged[rid] = replace(s, hold=why, unchecked=unchecked)
    nothing_up = counted.coming_up and not any(
        s.seen.state in (State.UP, State.WARN) for s in made.values() if s.goal is Goal.UP
    )
    return plan(judged, order, drivers, preflight=nothing_up, ahead=ahead)


def _hold(s: Situation, counted: Counted, unclaimed: str) -> str:
    """Why it is left alone for now; without figures that change by themselves."""
    rid, common, now = s.resource.rid, s.resource.common, counted.now
    if rid in counted.settling:
        return counted.settling[rid]
    if s.goal is Goal.DOWN:
        stop = counted.stops.get(rid)
        if stop and now < stop.not_before and rid not in counted.forced:
            return f"stuck: {stop.last}"
        return ""
    if s.goal not in UPWARD or settled(s.goal, s.seen):
        return ""
    if unclaimed and not common.standby:
        return unclaimed
    if now < counted.refused_until:
        return counted.refused
    if now < counted.conflict_until:
        return f"start aborted due to resource {counted.conflict}"
    budget = counted.budgets.get(rid)
    if budget and budget.failures:
        if common.restart == 0 and not counted.coming_up:
            return f"lost, and restart: 0 says not to repair it: {budget.last}"
        if now < budget.not_before:
            return f"tried again shortly, after {budget.failures} failures: {budget.last}"
    return ""
