"""Flags, instances and services: what was seen, and what is shown of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.decide.status import (
    Instance,
    as_api,
    flags,
    instance,
    provisioned,
    resource_as_api,
    service_status,
)
from reconciler.model import Common, Flex, Goal, Observed, Service, State, error, info, warning
from reconciler.model import State as S
from tests.status.reports import report

OPTIONAL, DISABLED = Common(optional=True), Common(disable=True)


@pytest.mark.parametrize(
    ("common", "more", "wanted"),
    [
        pytest.param(Common(restart=0), {"provisioned": True}, "........", id="nothing to say"),
        pytest.param(Common(restart=0), {"provisioned": False}, ".....P..", id="not provisioned"),
        pytest.param(Common(restart=0, optional=True), {}, "...O./..", id="optional, nothing to provision"),
        pytest.param(Common(restart=0, monitor=True), {}, ".M.../..", id="a monitored app"),
        pytest.param(
            Common(disable=True, standby=True, monitor=True, optional=True, tags=frozenset({"encap"})),
            {"running": True, "provisioned": False, "restarts_left": 2},
            "RMDOEPS2",
            id="all of them",
        ),
        pytest.param(Common(), {"restarts_left": 0}, "...../.0", id="a budget that is spent"),
        pytest.param(Common(restart=12), {"restarts_left": 10}, "...../.+", id="more than nine restarts"),
        pytest.param(Common(restart=0), {"restarts_left": 0}, "...../..", id="no budget at all"),
        pytest.param(
            Common(), {"restarts_left": 3, "stopped_on_purpose": True}, "...../.X", id="stopped on purpose"
        ),
    ],
)
def test_flags(common, more, wanted):
    assert flags(common, **more) == wanted


@given(
    st.booleans(),
    st.none() | st.booleans(),
    st.none() | st.integers(-3, 10**9),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_flags_are_always_eight(running, was_provisioned, left, stopped, restart):
    made = flags(
        Common(restart=restart),
        running=running,
        provisioned=was_provisioned,
        restarts_left=left,
        stopped_on_purpose=stopped,
    )
    assert len(made) == 8
    assert (made[5] == "P") == (was_provisioned is False)


@pytest.mark.parametrize(
    ("reports", "avail", "overall"),
    [
        pytest.param([], S.NA, S.NA, id="no resources"),
        pytest.param([report(), report("ip#0")], S.UP, S.UP, id="all up"),
        pytest.param(
            [report(), report("fs#a", S.DOWN, common=OPTIONAL)],
            S.UP,
            S.WARN,
            id="an optional one is down: available all the same",
        ),
        pytest.param(
            [report(), report("sync#i0", S.DOWN), report("task#a", S.WARN)],
            S.UP,
            S.WARN,
            id="sync and task say nothing about avail",
        ),
        pytest.param(
            [report(), report("ip#0", S.DOWN, common=DISABLED)], S.UP, S.UP, id="a disabled one is n/a"
        ),
        pytest.param(
            [report(), report("ip#0", S.DOWN, common=Common(tags=frozenset({"nostatus"})))],
            S.UP,
            S.UP,
            id="tagged nostatus",
        ),
        pytest.param(
            [report(seen=Observed(S.UP, notes=(warning("no carrier"),)))],
            S.UP,
            S.WARN,
            id="a warning of the driver makes overall warn",
        ),
        pytest.param(
            [report(notes=(error("runs on an earlier fs#app"),))],
            S.UP,
            S.WARN,
            id="so does an error of the engine",
        ),
        pytest.param([report(notes=(info("paused"),))], S.UP, S.UP, id="an info line does not"),
        pytest.param(
            [report(common=DISABLED, notes=(error("old"),)), report("ip#0")],
            S.UP,
            S.UP,
            id="nor does a line of a disabled resource",
        ),
        pytest.param(
            [report("fs#a", common=Common(standby=True)), report(state=S.DOWN)],
            S.STANDBY_UP,
            S.STANDBY_UP,
            id="idle with its standby filesystem up",
        ),
        pytest.param([report(state=S.UNKNOWN)], S.UNKNOWN, S.UNKNOWN, id="could not look"),
        pytest.param(
            [report("disk#0", S.ELSEWHERE, goal=Goal.DOWN), report(state=S.DOWN, goal=Goal.DOWN)],
            S.DOWN,
            S.DOWN,
            id="held elsewhere",
        ),
        pytest.param(
            [report(seen=Observed(S.DOWN, blocked="no such device"), goal=Goal.DOWN)],
            S.DOWN,
            S.DOWN,
            id="blocked, but nobody wants it up",
        ),
        pytest.param(
            [report(seen=Observed(S.DOWN, blocked="no such device"))],
            S.DOWN,
            S.WARN,
            id="blocked, and wanted up",
        ),
    ],
)
def test_instance(reports, avail, overall):
    here = instance(reports)
    assert (here.avail, here.overall) == (avail, overall)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([], "n/a"),
        (["n/a", "True"], "true"),
        (["false", "n/a"], "false"),
        (["true", "false"], "mixed"),
        (["mixed", "mixed"], "mixed"),
    ],
)
def test_provisioned(values, wanted):
    assert provisioned(values) == wanted


def test_provisioned_of_an_instance_leaves_out_what_has_nothing_to_provision():
    reports = [report("fs#a", provisioned=True), report("ip#0"), report("disk#0", provisioned=False)]
    assert instance(reports[:2]).provisioned == "true"
    assert instance(reports).provisioned == "mixed"


UP, DOWN, NA = Instance(S.UP, S.UP, some_up=True), Instance(S.DOWN, S.DOWN), Instance()
HALF = Instance(S.WARN, S.WARN, some_up=True)
IDLE_TROUBLE = Instance(S.WARN, S.WARN)
DOUBT = Instance(S.UNKNOWN, S.UNKNOWN)
STANDBY = Instance(S.STANDBY_UP, S.STANDBY_UP)
FAILOVER = Service("web", nodes=("a", "b", "c"))
FLEX = Service("web", nodes=("a", "b", "c"), topology="flex", flex=Flex(min=2, max=2, target=2))
FREE = Service("web", nodes=("a", "b", "c"), topology="flex", flex=Flex(min=1, max=0, target=1))


@pytest.mark.parametrize(
    ("service", "instances", "wanted"),
    [
        pytest.param(FAILOVER, [], (S.NA, S.NA, "n/a"), id="no instances"),
        pytest.param(FAILOVER, [NA, NA], (S.NA, S.NA, "n/a"), id="nothing that counts"),
        pytest.param(FAILOVER, [UP, DOWN], (S.UP, S.UP, "optimal"), id="up where it should be"),
        pytest.param(FAILOVER, [DOWN, UP], (S.UP, S.UP, "non-optimal"), id="up on the second host"),
        pytest.param(FAILOVER, [UP, UP], (S.WARN, S.WARN, "optimal"), id="up twice: split brain"),
        pytest.param(FAILOVER, [DOWN, HALF], (S.WARN, S.WARN, "n/a"), id="half up somewhere"),
        pytest.param(FAILOVER, [DOWN, IDLE_TROUBLE], (S.DOWN, S.WARN, "n/a"), id="trouble on idle hosts"),
        pytest.param(
            FAILOVER, [UP, IDLE_TROUBLE], (S.UP, S.WARN, "optimal"), id="up, trouble on an idle one"
        ),
        pytest.param(FAILOVER, [DOUBT], (S.UNKNOWN, S.UNKNOWN, "n/a"), id="could not look: not down"),
        pytest.param(FAILOVER, [DOWN, DOUBT], (S.UNKNOWN, S.UNKNOWN, "n/a"), id="may be up on the second"),
        pytest.param(FAILOVER, [UP, DOUBT], (S.UP, S.WARN, "optimal"), id="up, and one could not look"),
        pytest.param(FAILOVER, [STANDBY, DOWN], (S.DOWN, S.DOWN, "n/a"), id="standby alone is not up"),
        pytest.param(FLEX, [UP, UP, DOWN], (S.UP, S.UP, "optimal"), id="flex: as many as wanted"),
        pytest.param(FLEX, [UP, DOWN, DOWN], (S.WARN, S.WARN, "optimal"), id="flex: too few"),
        pytest.param(FLEX, [UP, UP, UP], (S.WARN, S.WARN, "optimal"), id="flex: too many"),
        pytest.param(FLEX, [UP, DOWN, UP], (S.UP, S.UP, "non-optimal"), id="flex: not the leaders"),
        pytest.param(FLEX, [DOWN, HALF, DOWN], (S.WARN, S.WARN, "n/a"), id="flex: none, but half of one"),
        pytest.param(FREE, [UP, UP, UP], (S.UP, S.UP, "optimal"), id="flex: no upper limit"),
    ],
)
def test_service(service, instances, wanted):
    assert service_status(service, dict(zip("abc", instances, strict=False))) == wanted


def test_placement_follows_the_ranking_it_is_given():
    here = {"a": DOWN, "b": UP}
    assert service_status(FAILOVER, here, ranked=("b", "a")).placement == "optimal"


@pytest.mark.parametrize("policy", ["none", "load avg", "score"])
def test_where_no_order_holds_for_what_runs_none_is_told(policy):
    service = replace(FAILOVER, placement=policy)
    assert service_status(service, {"a": DOWN, "b": UP}).placement == "n/a"


@given(st.permutations(["a", "b", "c"]), st.lists(st.sampled_from([UP, DOWN, NA, HALF, DOUBT]), min_size=3))
def test_service_does_not_depend_on_the_order_of_instances(order, some):
    here = dict(zip("abc", some, strict=False))
    assert service_status(FAILOVER, {n: here[n] for n in order}) == service_status(FAILOVER, here)


def test_api_shape():
    one = report(
        "fs#app",
        common=Common(standby=True, restart=2),
        seen=Observed(S.DOWN, label="ext4 /dev/x@/x", blocked="no such device", holder="b"),
        restarts_left=1,
        provisioned=False,
        since=12.5,
        waiting="waits for disk#1",
    )
    made = as_api([one], instance([one]), frozen=True, state="starting", expect="started")
    assert made == {
        "avail": "stdby down",
        "overall": "warn",
        "frozen": True,
        "state": "starting",
        "expect": "started",
        "provisioned": "false",
        "resources": {
            "fs#app": {
                "kind": "fs.flag",
                "state": "stdby down",
                "flags": ".....PS1",
                "label": "ext4 /dev/x@/x",
                "provisioned": False,
                "since": 12.5,
                "goal": "up",
                "optional": False,
                "disable": False,
                "monitor": False,
                "standby": True,
                "restarts_left": 1,
                "running": False,
                "waiting": "waits for disk#1",
                "log": [{"level": "warn", "text": "no such device"}],
            }
        },
    }


def test_a_holder_is_named_and_a_line_said_twice_is_shown_once():
    seen = Observed(S.ELSEWHERE, notes=(warning("tagged @b"), warning("tagged @b")), holder="b")
    log = resource_as_api(report("disk#0", seen=seen))["log"]
    assert [line["text"] for line in log] == ["tagged @b", "held by b"]


@given(st.lists(st.sampled_from(State), max_size=6))
def test_every_state_has_a_shape(some):
    reports = [report(f"app#{n}", state) for n, state in enumerate(some)]
    made = as_api(reports, instance(reports))
    assert {made["avail"], made["overall"]} <= {str(state) for state in State}
