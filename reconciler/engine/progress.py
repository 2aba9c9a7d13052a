"""A pass's outcome → budgets, wishes that are fulfilled, what is remembered."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace

from reconciler.decide import backoff
from reconciler.decide.asked import Asked, Wish
from reconciler.decide.backoff import Budget
from reconciler.decide.order import Order
from reconciler.decide.placement import Decision, in_effect, named, orphaned
from reconciler.decide.plan import UPWARD, Situation, to_destroy
from reconciler.decide.situations import ON_THINGS, STOOD_ON, incarnation
from reconciler.engine.desk import Desk
from reconciler.engine.jobs import Ended
from reconciler.engine.record import Record
from reconciler.model import Act, Goal, Owner, State, settled
from reconciler.settings import Settings

CONFLICT_WAIT = 30.0
YOUNG = 0.5
"""A program that ends within so many seconds after its start has failed to start."""
SETTLE = 10.0
"""Seconds a program may take, after its start or stop command ended well, until its check agrees;
its `start_timeout` or `stop_timeout` where it has one."""
NO_BUDGET = Budget()
FAILURES, UP_AS = "failures", "up as"
"""Memory keys: failures in a row of a resource; the generation that was up whole, of a service."""


def recall(record: Record, desk: Desk) -> None:
    """What an earlier agent counted since this boot: a restart of ours gives nobody a new budget."""
    record.attempt.up_as = desk.memory(Owner(record.key)).get(UP_AS, "")
    for resource in record.service.resources:
        failures = int(desk.memory(Owner(record.key, resource.rid)).get(FAILURES, "0"))
        if failures:
            record.budgets[resource.rid] = Budget(failures, last="before the agent was restarted")


def keep_count(record: Record, desk: Desk) -> None:
    """The other half of `recall`."""
    counts = {rid: budget.failures for rid, budget in record.budgets.items() if rid in record.seen}
    kept = {Owner(record.key, rid): (FAILURES, str(n) if n else "") for rid, n in counts.items()}
    kept[Owner(record.key)] = (UP_AS, record.attempt.up_as)
    memories = desk.memories(record.key)
    for owner, (name, value) in kept.items():
        if memories.of(owner.rid).get(name, "") != value:
            desk.remember(owner, name, value or None, "reboot")


def note_losses(
    record: Record, made: Mapping[str, Situation], now: float, settings: Settings
) -> dict[str, str]:
    """Count what is not up though it was in the last pass, or was just started; in words, by rid."""
    gone: dict[str, str] = {}
    record.settling.clear()
    for rid, s in made.items():
        if s.goal in UPWARD and settled(s.goal, s.seen):
            record.attempt.checked.add(rid)  # it was ours a moment ago: a repair asks nobody
        elif s.goal is Goal.DOWN:
            record.attempt.checked.discard(rid)  # given up: another may have it by the next start
        budget = record.budgets.get(rid, NO_BUDGET)
        if s.goal is Goal.DOWN and settled(s.goal, s.seen) and not to_destroy(s):
            record.stops.pop(rid, None)
        if s.goal not in UPWARD:
            record.started.pop(rid, None)
        elif settled(s.goal, s.seen):
            if s.by_check or not _is_young(record, s, now):
                record.started.pop(rid, None)
            if budget.failures and s.seen.state is not State.NA:
                record.budgets[rid] = backoff.stable(budget, now, settings.stable_after)
        elif _settling(s, record.started, "start_timeout", now):
            record.settling[rid] = "its start ended well; waits until its check agrees"
        elif s.seen.state in (State.DOWN, State.WARN) and not s.running:
            why = s.seen.notes[0].text if s.seen.notes else ""
            wait = (now, s.resource.common.restart_delay, settings.retry_max, random.random())
            if record.started.pop(rid, None) is not None:
                # Its job ended well, and this is what came of it: as good as a start that failed.
                why = why or f"was started, is {s.seen.state}"
                record.budgets[rid] = backoff.failed(budget, why, *wait)
                gone[rid] = f"start failed: {why}"
            elif _was_up(record, rid):
                why = why or f"was up, is {s.seen.state}"
                record.budgets[rid] = backoff.lost(budget, why, *wait)
                gone[rid] = f"lost: {why}"
    return gone


def note_work_on_data(
    record: Record, made: Mapping[str, Situation], now: float, settings: Settings
) -> None:
    """What ended well and yet left no trace has failed: it is not done again at once."""
    for rid, s in made.items():
        if s.running or (act := record.worked.pop(rid, None)) is None:
            continue
        wait = (now, 1.0, settings.retry_max, random.random())
        why = f"its {act} ended well, but it is {'still' if act is Act.DESTROY else 'not'} there"
        if act is Act.CREATE and s.seen.provisioned is False:
            record.budgets[rid] = backoff.failed(record.budgets.get(rid, NO_BUDGET), why, *wait)
        if act is Act.DESTROY and to_destroy(s):
            record.stops[rid] = backoff.failed(record.stops.get(rid, NO_BUDGET), why, *wait)


def note_stops(record: Record, made: Mapping[str, Situation], now: float, settings: Settings) -> None:
    """A stop whose commands ended well is one only when that is seen; otherwise it is stuck."""
    for rid, s in made.items():
        if s.goal is not Goal.DOWN or settled(s.goal, s.seen):
            record.stopped.pop(rid, None)
        elif s.running or rid not in record.stopped:
            continue
        elif _settling(s, record.stopped, "stop_timeout", now):
            record.settling[rid] = "its stop ended well; waits until its check agrees"
        else:
            del record.stopped[rid]
            why = s.seen.notes[0].text if s.seen.notes else f"it is {s.seen.state}"
            old = record.stops.get(rid, NO_BUDGET)
            text = f"its stop ended well, but {why}"
            record.stops[rid] = backoff.failed(old, text, now, 1.0, settings.retry_max, random.random())


def _settling(s: Situation, ended: Mapping[str, float], keyword: str, now: float) -> bool:
    at, patience = ended.get(s.resource.rid), float(s.resource.spec.get(keyword) or SETTLE)
    return at is not None and s.by_check and not s.running and now - at < patience


def _was_up(record: Record, rid: str) -> bool:
    """In the last pass, and wanted so."""
    before = record.seen.get(rid)
    if before is None or before.state is State.NA:
        return False
    return record.goals.get(rid) in UPWARD and settled(Goal.UP, before)


def _is_young(record: Record, s: Situation, now: float) -> bool:
    """A program that was just started may be about to exit; what the kernel has, stays."""
    at = record.started.get(s.resource.rid)
    return at is not None and s.resource.group in ON_THINGS and now - at < YOUNG


def job_ended(record: Record, ended: Ended, now: float, settings: Settings) -> None:
    """What the end of a job says about budgets and the attempt to come up."""
    step, attempt = ended.job.step, record.attempt
    rid = step.rid
    resource = record.whole.get(rid)
    if ended.turned or resource is None:
        return
    common = resource.common
    if step.act is Act.PREFLIGHT:
        if not ended.ok:
            attempt.conflict = f"{rid} {'conflict' if ended.conflict else 'check'}: {ended.why}"
            attempt.conflict_until = now + CONFLICT_WAIT
            attempt.checked.clear()
        else:
            attempt.checked.add(rid)
        return
    if step.act in (Act.STOP, Act.DESTROY):
        old = record.stops.get(rid, NO_BUDGET)
        if ended.ok and step.act is Act.DESTROY:
            record.worked[rid] = step.act
        elif ended.ok:
            # Whether it is stopped is for the next look to say; until then old failures stand.
            record.stopped[rid] = now
        else:
            record.stops[rid] = backoff.failed(
                old, ended.why, now, 1.0, settings.retry_max, random.random()
            )
        return
    if ended.ok:
        if step.act is Act.START:
            record.started[rid] = now
        else:
            record.worked[rid] = step.act
        return
    old = record.budgets.get(rid, NO_BUDGET)
    record.budgets[rid] = backoff.failed(
        old, ended.why, now, common.restart_delay, settings.retry_max, random.random()
    )


def remember_what_is_seen(
    record: Record, made: Mapping[str, Situation], desk: Desk, listed: Callable[[Owner], object]
) -> None:
    """Provisioned, applied, and what an app that was found running stands on.

    `listed`: by the guard still; nobody would look at what is forgotten, and its line would stay for ever.
    """
    applied = desk.applied(record.key)
    memories = desk.memories(record.key)
    for rid, s in made.items():
        owner, observed = Owner(record.key, rid), s.seen
        memory = memories.of(rid)
        # What was seen while a job of it ended may be older than what that remembered.
        if observed.provisioned and not s.running and memory.get("provisioned") != "yes":
            desk.remember(owner, "provisioned", "yes")
        if s.goal in UPWARD and settled(s.goal, observed) and not s.missing:
            desk.put_applied(record.key, rid, s.resource)
            if s.resource.group in ON_THINGS:
                for under in s.resource.refs:
                    name = incarnation(memories, made[under]) if under in made else ""
                    if name and STOOD_ON + under not in memory:
                        desk.remember(owner, STOOD_ON + under, name, "reboot")
        elif rid in applied and _surely_down(s) and not listed(owner):
            desk.put_applied(record.key, rid, None)


def _surely_down(s: Situation) -> bool:
    return s.goal is Goal.DOWN and settled(Goal.DOWN, s.seen) and not s.running


def next_wish(wish: Wish, decision: Decision, made: Mapping[str, Situation], order: Order) -> Wish | None:
    """The wish as it stands after this pass: itself, its next phase, or None: fulfilled."""
    if not in_effect(wish, decision):
        return wish
    mine = [s for s in made.values() if not wish.rids or named(s.resource, wish.rids)]
    if wish.verb == "restart" and wish.phase == "up":  # what went down with a part comes back with it
        under = {s.resource.rid for s in mine}
        mine += [s for rid, s in made.items() if rid not in under and order.stands_on[rid] & under]
    mine = [s for s in mine if s.goal is not Goal.NONE]
    if any(s.running or s.successor for s in mine) or not all(settled(s.goal, s.seen) for s in mine):
        return wish
    match wish.verb:
        case "restart" if wish.phase == "down":
            return replace(wish, phase="up")
        case "restart" if wish.left[1:]:
            return replace(wish, phase="down", left=wish.left[1:])
        case "unprovision" | "purge" if any(to_destroy(s) for s in made.values()):
            return wish
        case "unprovision" | "purge" if not (wish.rids or decision.destroy):
            return wish  # without a session nothing is destroyed
        case _:
            return None


def nothing_left(record: Record, asked: Asked, made: Mapping[str, Situation]) -> bool:
    """Of a deleted service: all is down, and destroyed where its document said so."""
    if orphaned(record.service, record.deleted, asked):
        return True
    return all(settled(Goal.DOWN, s.seen) and not s.running and not to_destroy(s) for s in made.values())
