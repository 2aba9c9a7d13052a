"""What became of a start → whether it failed here, for how long that counts, and what begins afresh."""

import random
from collections.abc import Callable, Sequence

from reconciler.decide import backoff
from reconciler.decide.asked import Wish
from reconciler.decide.backoff import Budget
from reconciler.decide.placement import FAILED, Decision, named
from reconciler.decide.plan import UPWARD
from reconciler.engine.record import Attempt, Record
from reconciler.model import Goal, ServiceGoal, State, settled
from reconciler.settings import Settings

START_FAILED_FIRST = 10.0
BLOCKED_LONG = 10.0
"""Seconds that a start waits for what this host lacks, if another node may take the service."""
LOOK_AGAIN = 0.5
NO_FRESH_START = ("freeze", "thaw", "abort")


def judge_attempt(
    record: Record,
    decision: Decision,
    now: float,
    settings: Settings,
    busy: bool = False,
    others: Callable[[], Sequence[str]] = tuple,
) -> str:
    """Follow an attempt to come up; returns why it failed, once, when it just did.

    busy    a job runs, or did when the facts were read.
    others  nodes that may take the service, too.
    """
    attempt = record.attempt
    whole = decision.goal is ServiceGoal.UP and record.up_as_wanted()
    if decision.goal is not ServiceGoal.UP or whole:
        record.handed_over = False  # of the start that follows it alone
    _count_failures(attempt, whole and not (busy or record.started), now, settings)
    if decision.goal is not ServiceGoal.UP:
        if decision.code not in FAILED:
            # Another node's turn: what failed here still counts when it is this one's again.
            record.attempt = Attempt(failures=attempt.failures)
        elif attempt.blocked and not _lacks(record, attempt.blocked):
            # What it lacked is there.
            attempt.failed_until = min(attempt.failed_until, now + LOOK_AGAIN)
        return ""
    up = [rid for rid, goal in record.goals.items() if goal in UPWARD]
    if whole:
        if attempt.coming_up and (busy or record.started):
            return ""  # it has come up when what was started proves to stay
        if attempt.coming_up:
            record.attempt = Attempt(
                failures=attempt.failures, checked=attempt.checked, whole_since=attempt.whole_since
            )
        record.attempt.up_as = record.service.generation
        return ""
    mine = [rid for rid in up if rid in record.seen and record.goals[rid] is Goal.UP]
    alive = any(record.seen[rid].state in (State.UP, State.WARN) for rid in mine)
    lost = attempt.up_as == record.service.generation
    if not attempt.coming_up and not alive and not lost:
        record.attempt = attempt = Attempt(coming_up=True, failures=attempt.failures)
    if not attempt.coming_up or not record.service.rollback:
        return ""
    for rid in up:
        resource, budget = record.whole[rid], record.budgets.get(rid)
        if budget and not resource.common.optional and budget.spent(resource.common.restart):
            attempt.failures += 1
            wait = backoff.delay(attempt.failures, START_FAILED_FIRST, settings.retry_max, random.random())
            return _start_failed(record, f"{rid}: {budget.last}", now + wait)
    return _judge_blocked(record, now, settings, others)


def _count_failures(attempt: Attempt, whole: bool, now: float, settings: Settings) -> None:
    """Starts that failed in a row: one that has stood for a stable time ends the row."""
    since = attempt.whole_since
    if since is not None and now - since >= settings.stable_after:
        attempt.failures = 0
    attempt.whole_since = None if not whole else now if since is None else since


def _judge_blocked(
    record: Record, now: float, settings: Settings, others: Callable[[], Sequence[str]]
) -> str:
    """What nothing can be done about here is waited for, unless another node may take the service."""
    attempt, goals = record.attempt, record.goals
    found = [
        rid
        for rid, goal in goals.items()
        if goal in UPWARD and _lacks(record, rid) and not record.whole[rid].common.optional
        if all(
            settled(goals[n], record.seen[n]) for n in record.last_order.needs.get(rid, ()) if n in goals
        )
    ]
    if not found or record.service.orchestrate != "ha":
        attempt.blocked = ""
        return ""
    if attempt.blocked not in found:
        attempt.blocked, attempt.blocked_since = found[0], now
    if now - attempt.blocked_since < BLOCKED_LONG or not others():
        return ""
    return _start_failed(
        record, f"{attempt.blocked}: {_lacks(record, attempt.blocked)}", now + settings.retry_max
    )


def _lacks(record: Record, rid: str) -> str:
    return record.seen[rid].blocked if rid in record.seen else ""


def _start_failed(record: Record, why: str, until: float) -> str:
    attempt = record.attempt
    attempt.failed, attempt.failed_until, attempt.gives_away = why, until, False
    attempt.coming_up = False
    attempt.checked.clear()
    record.budgets = {name: Budget() for name in record.budgets}
    return attempt.failed


def begin_afresh(record: Record, wish: Wish) -> None:
    """A person's word is a fresh start: old failures are forgotten, of a part if it is about a part."""
    record.fresh = wish.id
    if wish.verb in NO_FRESH_START:
        return
    if wish.verb == "clear" and wish.rids:
        mine = {rid for rid, r in record.whole.items() if named(r, wish.rids)}
        for kept in (record.budgets, record.stops):
            for rid in mine & kept.keys():
                del kept[rid]
        return
    record.budgets = {rid: Budget() for rid in record.budgets}
    record.stops.clear()
    attempt = record.attempt
    attempt.failed, attempt.conflict, attempt.failures = "", "", 0
    attempt.failed_until = attempt.conflict_until = 0.0
    if wish.verb == "clear":
        record.attempt = Attempt()
    elif wish.verb in ("start", "stop") and not (wish.rids or wish.upto or wish.downto):
        record.forced = frozenset(record.whole) if wish.force else frozenset()


def heard_elsewhere(record: Record, wish: Wish | None, node: str) -> None:
    """The same, where somebody asked on another host. A record that is new has nothing to forget."""
    if wish is None or wish.id == record.fresh:
        return
    if record.passes and wish.node in ("", node):
        begin_afresh(record, wish)
    record.fresh = wish.id
