"""A monitored resource that is lost too often → its service given away, as `monitor_action` says."""

import asyncio
import random
from collections.abc import Mapping
from functools import partial
from typing import Protocol

from reconciler.decide import backoff
from reconciler.decide.backoff import Budget
from reconciler.decide.monitored import verdict
from reconciler.decide.plan import Situation
from reconciler.engine.desk import Desk
from reconciler.engine.record import Record
from reconciler.engine.together import Together

GIVEN_AWAY, LONGEST = 60.0, 300.0
"""Seconds, at first and at most, during which a node takes back nothing that it has just lost."""


class Tell(Protocol):
    def __call__(self, text: str, *, reason: str) -> None: ...


def act(
    record: Record, made: Mapping[str, Situation], together: Together, desk: Desk, wall: float, tell: Tell
) -> bool:
    """True when the goal is another one now. `wall`: wall-clock time."""
    if record.attempt.coming_up:
        return False
    asked = desk.asked(record.key)
    able = partial(together.elsewhere.able, record)
    found = verdict(record.service, made, record.budgets, asked, able, wall)
    if found is None:
        return False
    if found.asked is None:
        if record.attempt.stays != found.why:
            record.attempt.stays = found.why
            tell(f"moved too often, stays here: {found.why}", reason="MovesSpent")
        return False
    tell(f"monitor_action: {found.action}: {found.why}", reason="MonitorAction")
    desk.put_asked(record.key, found.asked)
    if found.action == "freezestop":
        return True
    if found.action in ("reboot", "crash"):
        why = f"{record.key}: monitor_action: {found.action}: {found.why}"
        together.reset(why, found.action == "crash")
    _give_away(record, found.why)
    return True


def _give_away(record: Record, why: str) -> None:
    """Down here for a while, whole."""
    attempt = record.attempt
    attempt.failures += 1
    wait = backoff.delay(attempt.failures, GIVEN_AWAY, LONGEST, random.random())
    attempt.failed, attempt.gives_away = why, True
    attempt.failed_until = asyncio.get_running_loop().time() + wait
    record.budgets = {name: Budget() for name in record.budgets}
