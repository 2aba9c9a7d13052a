"""Reports, goal and trouble → Ready, Reconciling, Stalled."""

import pytest

from reconciler.decide.conditions import Stalled, Trouble, conditions
from reconciler.decide.status import instance
from reconciler.model import Common, Goal, Observed, ServiceGoal
from reconciler.model import State as S
from tests.status.reports import report

UP, DOWN, UNTOUCHED, STANDBY = (
    ServiceGoal.UP,
    ServiceGoal.DOWN,
    ServiceGoal.UNTOUCHED,
    ServiceGoal.STANDBY,
)
MISSING = Observed(S.DOWN, blocked="/dev/sdx does not exist")
OPTIONAL, NEVER = Common(optional=True), Common(restart=0)
INVALID = Trouble(Stalled.INVALID_DOCUMENT, "svc1.yaml:3: …")


def down(rid, state=S.DOWN, **more):
    return report(rid, state, goal=Goal.DOWN, **more)


@pytest.mark.parametrize(
    ("reports", "goal", "more", "wanted"),
    [
        pytest.param([report()], UP, {}, ("Up", "Settled", "NotStalled"), id="up as wanted"),
        pytest.param([], UP, {}, ("Empty", "Settled", "NotStalled"), id="nothing in it"),
        pytest.param(
            [down("app#a")], DOWN, {}, ("Stopped", "Settled", "NotStalled"), id="stopped as wanted"
        ),
        pytest.param(
            [report(state=S.DOWN, waiting="again in 5 s")],
            UP,
            {},
            ("Down", "Waiting", "NotStalled"),
            id="down, tried again soon",
        ),
        pytest.param(
            [report("ip#0"), report(state=S.DOWN, running=True)],
            UP,
            {},
            ("Degraded", "Starting", "NotStalled"),
            id="half up and at work",
        ),
        pytest.param(
            [down("app#a")],
            DOWN,
            {"heard": False},
            ("Stopped", "Waiting", "NotStalled"),
            id="stopped, and asked for something else a moment ago",
        ),
        pytest.param(
            [down("app#a", S.UP, running=True)],
            DOWN,
            {},
            ("NotStopped", "Stopping", "NotStalled"),
            id="being stopped",
        ),
        pytest.param(
            [report(state=S.DOWN, goal=Goal.NONE)],
            UNTOUCHED,
            {},
            ("NotAsked", "Settled", "NotStalled"),
            id="nobody asked for it",
        ),
        pytest.param(
            [report(state=S.DOWN, goal=Goal.NONE)],
            UNTOUCHED,
            {"no_session": True},
            ("NoSession", "Settled", "NotStalled"),
            id="nobody may have it started here",
        ),
        pytest.param(
            [report(state=S.UNKNOWN)],
            UP,
            {},
            ("CannotLook", "Stalled", "CannotLook"),
            id="could not look: neither up nor down",
        ),
        pytest.param(
            [report("fs#a", seen=MISSING)],
            UP,
            {},
            ("Down", "Stalled", "Blocked"),
            id="the device is missing",
        ),
        pytest.param(
            [report("disk#0", S.DOWN, waiting="again in 1 s"), report("fs#a", seen=MISSING)],
            UP,
            {},
            ("Down", "Waiting", "NotStalled"),
            id="the device is missing because its disk is not up yet",
        ),
        pytest.param(
            [report("fs#a", seen=MISSING, refs=["fs#z"]), report("fs#z", S.DOWN)],
            UP,
            {},
            ("Down", "Waiting", "NotStalled"),
            id="what it refers to is not up yet",
        ),
        pytest.param(
            [report("fs#a", seen=MISSING), report("fs#z", S.DOWN, running=True)],
            UP,
            {},
            ("Down", "Starting", "NotStalled"),
            id="blocked, but something is still being done",
        ),
        pytest.param(
            [report("disk#0", S.ELSEWHERE)],
            UP,
            {},
            ("Down", "Stalled", "HeldElsewhere"),
            id="another host's tag on the disk",
        ),
        pytest.param(
            [report(state=S.DOWN, restarts_left=0, failures=4)],
            UP,
            {},
            ("Down", "Stalled", "BudgetSpent"),
            id="restarts are spent",
        ),
        pytest.param(
            [report(state=S.DOWN, restarts_left=0, failures=3, waiting="tried again shortly")],
            UP,
            {},
            ("Down", "Waiting", "NotStalled"),
            id="the last restart is still to come",
        ),
        pytest.param(
            [report(state=S.DOWN, restarts_left=0, common=NEVER, failures=1)],
            UP,
            {},
            ("Down", "Stalled", "BudgetSpent"),
            id="lost, and not to be restarted at all",
        ),
        pytest.param(
            [report(state=S.DOWN, restarts_left=0, common=NEVER, waiting="requires app#b")],
            UP,
            {},
            ("Down", "Waiting", "NotStalled"),
            id="no restarts, but nothing has failed yet",
        ),
        pytest.param(
            [report(state=S.DOWN, goal=Goal.NONE)],
            UNTOUCHED,
            {"frozen": True},
            ("Frozen", "Settled", "NotStalled"),
            id="down and frozen: not judged",
        ),
        pytest.param(
            [report(goal=Goal.NONE)],
            UNTOUCHED,
            {"frozen": True},
            ("Up", "Settled", "NotStalled"),
            id="up and frozen",
        ),
        pytest.param(
            [report()],
            UP,
            {"trouble": INVALID},
            ("Up", "Settled", "InvalidDocument"),
            id="the last good document is in force and up, the new one is not valid",
        ),
        pytest.param(
            [report(), report("fs#x", S.DOWN, common=OPTIONAL)],
            UP,
            {},
            ("Up", "Waiting", "NotStalled"),
            id="an optional one is still to come",
        ),
        pytest.param(
            [report("fs#s", S.DOWN, goal=Goal.STANDBY, common=Common(standby=True)), down("app#a")],
            STANDBY,
            {},
            ("Down", "Waiting", "NotStalled"),
            id="its standby part is missing",
        ),
        pytest.param(
            [report("fs#s", goal=Goal.STANDBY, common=Common(standby=True)), down("app#a")],
            STANDBY,
            {},
            ("Standby", "Settled", "NotStalled"),
            id="standby as wanted",
        ),
        pytest.param(
            [report(), report("app#x", S.DOWN, goal=Goal.DOWN, stopped_on_purpose=True)],
            UP,
            {},
            ("Degraded", "Settled", "NotStalled"),
            id="one part was stopped on purpose",
        ),
    ],
)
def test_conditions(reports, goal, more, wanted):
    made = of(reports, goal=goal, generation="g1", now=5.0, **more)
    assert [c["type"] for c in made] == ["Ready", "Reconciling", "Stalled"]
    assert tuple(c["reason"] for c in made) == wanted
    assert all(c["status"] in ("True", "False", "Unknown") and c["since"] == 5.0 for c in made)


def of(reports, **more):
    return conditions(reports, instance(reports), **more)


def test_since_is_kept_while_unchanged_and_the_rest_is_fresh():
    first = of([report()], goal=UP, generation="g1", now=1.0)
    second = of([report()], goal=UP, generation="g2", now=2.0, before=first)
    third = of([report(state=S.DOWN)], goal=UP, generation="g2", now=3.0, before=second)
    assert [c["since"] for c in second] == [1.0, 1.0, 1.0]
    assert {c["generation"] for c in second} == {"g2"}
    assert [(c["status"], c["since"]) for c in third] == [("False", 3.0), ("True", 3.0), ("False", 1.0)]


def test_a_message_names_the_resource_and_why():
    made = of([report("fs#a", seen=MISSING)], goal=UP, generation="g", now=0.0)
    assert made[0]["message"] == "fs#a is down"
    assert made[2]["message"] == "fs#a: /dev/sdx does not exist"
