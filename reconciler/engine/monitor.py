"""A monitored resource that is lost too often → what `monitor_action` says, where another node can help."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from reconciler.decide import backoff
from reconciler.decide.asked import Wish
from reconciler.decide.backoff import Budget
from reconciler.decide.plan import Situation
from reconciler.engine.desk import Desk
from reconciler.engine.record import Record
from reconciler.engine.together import Together
from reconciler.model import Goal, settled

GIVEN_AWAY, LONGEST = 60.0, 300.0
"""Seconds, at first and at most, during which a node takes back nothing that it has just lost."""


class Tell(Protocol):
    def __call__(self, text: str, *, reason: str) -> None: ...


def act(
    record: Record, made: Mapping[str, Situation], together: Together, desk: Desk, wall: float, tell: Tell
) -> bool:
    """True when the goal is another one now. `wall`: wall-clock time."""
    action = record.service.monitor_action
    if action == "none" or record.attempt.coming_up or not (why := _lost(made, record)):
        return False
    if not together.others(record):
        return False  # nobody to take it: it is repaired here, for ever
    moved = desk.asked(record.key).moved(wall)
    if moved is None:
        if record.attempt.stays != why:
            record.attempt.stays = why
            tell(f"moved too often, stays here: {why}", reason="MovesSpent")
        return False
    tell(f"monitor_action: {action}: {why}", reason="MonitorAction")
    if action == "freezestop":
        stop = Wish("stop", "standfast", wall, reason=f"monitor_action: freezestop: {why}")
        desk.put_asked(record.key, replace(moved, standing=stop))
        return True
    desk.put_asked(record.key, moved)
    if action in ("reboot", "crash"):
        together.reset(f"{record.key}: monitor_action: {action}: {why}", action == "crash")
    _give_away(record, why)
    return True


def _lost(made: Mapping[str, Situation], record: Record) -> str:
    """The first that was up, is not, and has used up its restarts; with the last reason."""
    for rid, s in made.items():
        common, budget = s.resource.common, record.budgets.get(rid)
        short = s.goal is Goal.UP and not settled(s.goal, s.seen) and not s.running
        if common.monitor and short and budget and budget.spent(common.restart):
            return f"{rid}: {budget.last}"
    return ""


def _give_away(record: Record, why: str) -> None:
    """Down here for a while, whole."""
    attempt = record.attempt
    attempt.failures += 1
    wait = backoff.delay(attempt.failures, GIVEN_AWAY, LONGEST, random.random())
    attempt.failed, attempt.gives_away = why, True
    attempt.failed_until = asyncio.get_running_loop().time() + wait
    record.budgets = {name: Budget() for name in record.budgets}
