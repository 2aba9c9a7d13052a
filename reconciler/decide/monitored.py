"""A service up here, what it lost, who else could take it → what `monitor_action` says now."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from reconciler.decide.asked import Asked, Wish
from reconciler.decide.backoff import Budget
from reconciler.decide.plan import Situation
from reconciler.model import Goal, Service, settled


@dataclass(frozen=True, slots=True)
class Verdict:
    """asked: what is asked of it from then on; None: it was moved too often, and stays."""

    action: str
    why: str
    asked: Asked | None


def verdict(
    service: Service,
    made: Mapping[str, Situation],
    budgets: Mapping[str, Budget],
    asked: Asked,
    others: Callable[[], Sequence[str]],
    now: float,
) -> Verdict | None:
    """None: it stays, and is repaired here. `others`: nodes that may take it. `now`: wall-clock time.

    Not to be asked of a service on its first way up.
    """
    action = service.monitor_action
    if action == "none" or not (why := _lost(made, budgets)) or not others():
        return None
    moved = asked.moved(now)
    if moved is not None and action == "freezestop":
        stop = Wish("stop", "standfast", now, reason=f"monitor_action: freezestop: {why}")
        moved = replace(moved, standing=stop)
    return Verdict(action, why, moved)


def _lost(made: Mapping[str, Situation], budgets: Mapping[str, Budget]) -> str:
    """The first that was up, is not, and has used up its restarts; with the last reason."""
    for rid, s in made.items():
        common, budget = s.resource.common, budgets.get(rid)
        short = s.goal is Goal.UP and not settled(s.goal, s.seen) and not s.running
        if common.monitor and short and budget and budget.spent(common.restart):
            return f"{rid}: {budget.last}"
    return ""
