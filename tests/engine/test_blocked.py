"""A start that cannot go on here for want of something → it goes elsewhere, if somebody may take it."""

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.decide.placement import Decision
from reconciler.engine.attempts import BLOCKED_LONG, judge_attempt
from reconciler.engine.record import Attempt, Record
from reconciler.model import Common, Goal, Observed, Service, ServiceGoal, State
from reconciler.settings import Settings
from tests.decide.build import UP, res

WANTED = Decision(ServiceGoal.UP, "Wanted", ())
FAILED = Decision(ServiceGoal.DOWN, "StartFailed", ())
LACKS = Observed(State.DOWN, blocked="/dev/sdx does not exist")
HERE = Settings("n1", state=Path("/nowhere"))


def coming(disk=UP, fs=LACKS, **service) -> Record:
    """fs#0 stands on disk#0."""
    resources = res("disk#0"), res("fs#0", "disk#0")
    record = Record("root/web", Service("web", resources=resources, **service))
    record.order(resources)
    record.whole = {one.rid: one for one in resources}
    record.goals = dict.fromkeys(record.whole, Goal.UP)
    record.seen = {"disk#0": disk, "fs#0": fs}
    record.attempt = Attempt(coming_up=True)
    return record


def later(record: Record, *seconds: float, others=("n2",)) -> str:
    """What is judged at these instants; the last of it."""
    said = ""
    for now in seconds:
        said = judge_attempt(record, WANTED, now, HERE, others=lambda: others)
    return said


def test_what_stays_away_is_waited_for_elsewhere():
    record = coming()
    assert later(record, 5.0, 5.0 + BLOCKED_LONG - 0.1) == ""
    assert later(record, 5.0 + BLOCKED_LONG) == "fs#0: /dev/sdx does not exist"
    judge_attempt(record, FAILED, 30.0, HERE)
    assert record.attempt.failed_until == 5.0 + BLOCKED_LONG + HERE.retry_max
    record.seen["fs#0"] = replace(LACKS, blocked="")
    judge_attempt(record, FAILED, 31.0, HERE)
    assert record.attempt.failed_until < 32.0  # it may come back at once


@pytest.mark.parametrize(
    ("record", "others"),
    [
        pytest.param(coming(), (), id="nobody else may take it"),
        pytest.param(coming(disk=Observed(State.DOWN)), ("n2",), id="what it stands on is not up yet"),
        pytest.param(coming(orchestrate="start"), ("n2",), id="it is not failed over"),
        pytest.param(coming(fs=Observed(State.DOWN)), ("n2",), id="it lacks nothing"),
    ],
)
def test_what_is_waited_for_here(record, others):
    assert later(record, 0.0, 100.0, 200.0, others=others) == ""


def test_what_is_optional_holds_up_nobody():
    record = coming()
    record.whole["fs#0"] = replace(record.whole["fs#0"], common=Common(optional=True))
    assert later(record, 0.0, 100.0) == ""


def test_it_is_waited_for_anew_after_it_was_there():
    record = coming()
    later(record, 0.0)
    record.seen["fs#0"] = Observed(State.DOWN)
    later(record, 5.0)
    record.seen["fs#0"] = LACKS
    assert later(record, 6.0, 14.0) == ""
    assert later(record, 16.0)


@pytest.mark.parametrize(("stood", "left"), [(HERE.stable_after - 1, 3), (HERE.stable_after, 0)])
def test_a_row_of_failed_starts_ends_with_one_that_stands(stood, left):
    """Also where no pass came by in the meantime."""
    record = coming(disk=UP, fs=UP)
    record.attempt.failures = 3
    later(record, 10.0)
    record.seen["fs#0"] = Observed(State.DOWN)
    later(record, 10.0 + stood)
    assert record.attempt.failures == left


def test_it_goes_on_over_the_turn_of_another_node():
    record = coming(fs=Observed(State.DOWN))
    record.attempt.failures = 3
    judge_attempt(record, Decision(ServiceGoal.STANDBY, "HeldElsewhere", ()), 10.0, HERE)
    assert record.attempt == Attempt(failures=3)


def test_what_it_lacks_is_no_start_that_failed():
    record = coming()
    later(record, 0.0, BLOCKED_LONG)
    assert record.attempt.failed
    assert record.attempt.failures == 0
