"""What a pass left → the seconds until the next one, should nothing call for it before."""

import random
from collections.abc import Mapping

from reconciler.decide.plan import Situation
from reconciler.engine import attempts, progress
from reconciler.engine.record import Record
from reconciler.model import State

RARELY = 10.0
"""Periods between two passes over a service at rest: should anything ever have been missed."""


def again_in(
    record: Record, period: float, rests: bool, under_way: bool, wish_ends: float | None, now: float
) -> float:
    """`now`, and the instants in the record: loop time. `wish_ends`: seconds until one expires."""
    attempt = record.attempt
    waits = [period * (RARELY if rests else 1.0) * random.uniform(0.9, 1.1)]
    waits += [b.not_before - now for b in (*record.budgets.values(), *record.stops.values())]
    waits += [attempt.conflict_until - now, attempt.failed_until - now, record.refused_until - now]
    if attempt.blocked:
        waits += [attempt.blocked_since + attempts.BLOCKED_LONG - now]
    waits += [o.again_in for o in record.seen.values() if o.again_in]
    waits += [at + progress.YOUNG - now for at in record.started.values()]
    waits += [attempts.LOOK_AGAIN] if record.settling or under_way else []
    waits += [wish_ends] if wish_ends else []
    return min(w for w in waits if w > 0) + 0.001


def at_rest(record: Record, made: Mapping[str, Situation]) -> bool:
    """Nothing is to be done, nothing is counted, and what is seen is watched by itself.

    Its facts are looked at in every period all the same, and call for a pass when they differ;
    but a check runs only while somebody reads it.
    """
    if record.plan.now or record.plan.waiting or not record.up_as_wanted():
        return False
    if any(b.failures for b in (*record.budgets.values(), *record.stops.values())):
        return False
    return not any(s.by_check or s.seen.state is State.UNKNOWN for s in made.values())
