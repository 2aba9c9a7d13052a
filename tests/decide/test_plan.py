"""What is done now, what follows, what waits; and what must never be planned."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import Act, Goal, Observed, State, Trigger, settled, unknown
from tests.decide.build import DOWN, ELSEWHERE, NA, UNKNOWN, UP, WARN, planned, res

IP, DISK, FS, APP = res("ip#0"), res("disk#0"), res("fs#a", "disk#0"), res("app#0", "fs#a")
STACK = [IP, DISK, FS, APP]
UNMADE = Observed(State.DOWN, provisioned=False)


def now(plan):
    return [f"{step.act} {step.rid}" for step in plan.now]


def then(plan):
    return [f"{step.act} {step.rid}" for step in plan.then]


def waiting(plan):
    return {w.rid: w.why for w in plan.waiting}


@pytest.mark.parametrize(
    ("ip", "app", "goal", "ready", "waits"),
    [
        pytest.param(DOWN, DOWN, Goal.UP, ["start ip#0"], ["app#0"], id="going up: the address first"),
        pytest.param(UP, DOWN, Goal.UP, ["start app#0"], [], id="its neighbour was seen in place"),
        pytest.param(UP, UP, Goal.UP, [], [], id="settled: nothing to do"),
        pytest.param(UP, UP, Goal.DOWN, ["stop app#0"], ["ip#0"], id="going down: the other way round"),
        pytest.param(DOWN, UP, Goal.UP, ["start ip#0"], [], id="drift: only what is missing"),
        pytest.param(UNKNOWN, DOWN, Goal.UP, [], ["ip#0", "app#0"], id="unknown: nothing goes up"),
        pytest.param(ELSEWHERE, DOWN, Goal.UP, [], ["ip#0", "app#0"], id="held elsewhere: nothing goes up"),
        pytest.param(ELSEWHERE, UP, Goal.DOWN, ["stop app#0"], [], id="elsewhere is down here"),
        pytest.param(
            WARN, DOWN, Goal.UP, ["start ip#0"], ["app#0"], id="degraded is mended before the next"
        ),
        pytest.param(NA, DOWN, Goal.UP, ["start app#0"], [], id="n/a never blocks"),
        pytest.param(DOWN, UP, Goal.NONE, [], [], id="untouched: nothing at all"),
        pytest.param(
            UP, UNKNOWN, Goal.DOWN, ["stop app#0"], ["ip#0"], id="what is unknown is stopped blindly"
        ),
    ],
)
def test_what_is_ready(ip, app, goal, ready, waits):
    """A step is ready only when its neighbours were seen in place."""
    made = planned([IP, res("app#0")], {"ip#0": ip, "app#0": app}, goal)
    assert now(made) == ready
    assert list(waiting(made)) == waits


def test_the_whole_way_is_foretold():
    made = planned(STACK, dict.fromkeys(("ip#0", "disk#0", "fs#a", "app#0"), DOWN))
    assert now(made) == ["start ip#0"]
    assert then(made) == ["start disk#0", "start fs#a", "start app#0"]


def test_the_way_down_is_the_way_up_reversed():
    seen = dict.fromkeys(("ip#0", "disk#0", "fs#a", "app#0"), UP)
    made = planned(STACK, seen, Goal.DOWN)
    assert now(made) + then(made) == ["stop app#0", "stop fs#a", "stop disk#0", "stop ip#0"]


def test_checks_come_before_everything_and_all_at_once():
    made = planned([IP, res("ip#1"), DISK], dict.fromkeys(("ip#0", "ip#1", "disk#0"), DOWN), preflight=True)
    assert now(made) == ["preflight ip#0", "preflight ip#1"]
    assert then(made) == ["start ip#0", "start ip#1", "start disk#0"]
    assert waiting(made) == {"disk#0": "waits for the checks before a start"}


def test_without_checks_a_start_is_a_start():
    assert now(planned([DISK], {"disk#0": DOWN}, preflight=True)) == ["start disk#0"]


def test_a_running_job_is_left_alone_and_its_end_awaited():
    seen = {"ip#0": DOWN, "app#0": DOWN}
    made = planned([IP, res("app#0")], seen, **{"ip#0": {"running": True}})
    assert now(made) == []
    assert waiting(made) == {"app#0": "waits for ip#0"}
    assert then(made) == ["start app#0"]


def test_a_hold_says_why():
    made = planned([IP], {"ip#0": DOWN}, **{"ip#0": {"hold": "tried again shortly"}})
    assert (now(made), waiting(made)) == ([], {"ip#0": "tried again shortly"})


def test_what_cannot_succeed_is_not_tried():
    made = planned([IP], {"ip#0": replace(DOWN, blocked="device br0 does not exist")})
    assert (now(made), waiting(made)) == ([], {"ip#0": "device br0 does not exist"})


def test_a_missing_device_that_a_step_will_bring_is_foretold():
    seen = {"disk#0": DOWN, "fs#a": replace(DOWN, blocked="device does not exist")}
    made = planned([DISK, FS], seen, **{"fs#a": {"missing": ("{disk#0.exposed_devs[0]}",)}})
    assert (now(made), then(made)) == (["start disk#0"], ["start fs#a"])


@pytest.mark.parametrize(
    ("may_create", "created", "step", "word"),
    [
        pytest.param(True, False, ["provision disk#0"], "", id="the document allows it"),
        pytest.param(False, False, [], "not provisioned", id="only on command"),
        pytest.param(False, True, [], "vanished", id="what was there once is never made anew by itself"),
    ],
)
def test_provisioning(may_create, created, step, word):
    made = planned([DISK], {"disk#0": UNMADE}, **{"disk#0": {"may_create": may_create, "created": created}})
    assert now(made) == step
    assert all(word in why for why in waiting(made).values())
    assert bool(waiting(made)) != bool(step)


def test_what_lies_on_a_new_disk_is_foretold_as_new():
    seen = {"disk#0": UNMADE, "fs#a": Observed(State.DOWN, blocked="no device")}
    may = {"may_create": True}
    made = planned([DISK, FS], seen, **{"disk#0": may, "fs#a": may})
    assert now(made) + then(made) == ["provision disk#0", "start disk#0", "provision fs#a", "start fs#a"]


def test_destroying_goes_down_the_stack_one_by_one():
    there = Observed(State.UP, provisioned=True)
    doom = {"destroy": True}
    made = planned(
        [DISK, FS], {"disk#0": there, "fs#a": there}, Goal.DOWN, **{"disk#0": doom, "fs#a": doom}
    )
    assert now(made) + then(made) == ["stop fs#a", "unprovision fs#a", "stop disk#0", "unprovision disk#0"]


def test_nothing_is_destroyed_without_the_word():
    there = Observed(State.UP, provisioned=True)
    made = planned([DISK, FS], {"disk#0": there, "fs#a": there}, Goal.DOWN)
    assert not [step for step in (*made.now, *made.then) if step.act is Act.DESTROY]


def test_requires_is_a_condition_on_a_state():
    needs = {"start": (("fs#b", frozenset({State.UP})),)}
    made = planned([res("fs#a", requires=needs), res("fs#b")], {"fs#a": DOWN, "fs#b": DOWN})
    assert now(made) == ["start fs#b"]
    assert waiting(made) == {"fs#a": "requires fs#b to be up, it is down"}
    assert then(made) == ["start fs#a"]


@pytest.mark.parametrize(
    ("states", "standby", "ready"),
    [
        pytest.param({State.STANDBY_UP}, True, True, id="as the tree shows it"),
        pytest.param({State.UP}, True, True, id="up is up"),
        pytest.param({State.STANDBY_UP}, False, False, id="it is no standby resource"),
    ],
)
def test_a_required_state_is_what_the_tree_shows(states, standby, ready):
    needs = {"start": (("fs#b", frozenset(states)),)}
    made = planned([res("fs#a", requires=needs), res("fs#b", standby=standby)], {"fs#a": DOWN, "fs#b": UP})
    assert (now(made) == ["start fs#a"]) is ready


@pytest.mark.parametrize(
    ("ip", "refs", "ready", "waits"),
    [
        pytest.param(Goal.DOWN, (), ["start disk#0"], {}, id="what merely comes before it stays down here"),
        pytest.param(Goal.UP, (), ["start ip#0"], {"disk#0": "waits for ip#0"}, id="it is to be up, too"),
        pytest.param(Goal.DOWN, ("ip#0",), [], {"disk#0": "waits for ip#0"}, id="it stands on it"),
    ],
)
def test_what_is_standby_comes_up_where_the_service_does_not(ip, refs, ready, waits):
    resources = [IP, res("disk#0", *refs, standby=True)]
    goals = {"ip#0": {"goal": ip}, "disk#0": {"goal": Goal.STANDBY}}
    made = planned(resources, {"ip#0": DOWN, "disk#0": DOWN}, **goals)
    assert (now(made), waiting(made)) == (ready, waits)


def test_provisioning_has_conditions_of_its_own():
    needs = {"provision": (("fs#b", frozenset({State.UP})),)}
    seen = {"disk#0": UNMADE, "fs#b": DOWN}
    made = planned([res("disk#0", requires=needs), res("fs#b")], seen, **{"disk#0": {"may_create": True}})
    assert waiting(made)["disk#0"] == "requires fs#b to be up, it is down"
    assert now(planned([res("disk#0"), res("fs#b")], seen, **{"disk#0": {"may_create": True}}))


def test_what_was_stopped_on_purpose_holds_up_only_what_stands_on_it():
    """app#1 comes after it in order and is repaired all the same; app#2 was told to come after it."""
    seen = {"ip#0": DOWN, "app#0": DOWN, "app#1": DOWN, "app#2": DOWN}
    resources = [IP, res("app#0"), res("app#1"), res("app#2", "app#0")]
    off = {"goal": Goal.DOWN, "on_purpose": True}
    made = planned(resources, seen, **{"ip#0": off, "app#0": off})
    assert now(made) == ["start app#1"]
    assert waiting(made) == {"app#2": "waits for app#0, app#1"}


def test_triggers_surround_the_operations():
    triggers = (
        Trigger("post", "start", "mail done"),
        Trigger("pre", "start", "check", blocking=True),
        Trigger("pre", "start", "note"),
        Trigger("pre", "stop", "never"),
    )
    made = planned([res("fs#a", triggers=triggers)], {"fs#a": DOWN})
    assert [str(o) for o in made.now[0].operations] == ["note", "check", "start fs.fake", "mail done"]


def test_an_edited_resource_is_the_old_one_down_and_the_new_one_up():
    from reconciler.decide.plan import Situation

    successor = Situation(res("fs#a"), DOWN, Goal.UP)
    made = planned([res("fs#a")], {"fs#a": UP}, Goal.DOWN, **{"fs#a": {"successor": successor}})
    assert (now(made), then(made)) == (["stop fs#a"], ["start fs#a"])


def test_a_mark_of_a_dead_host_is_taken_over():
    """Otherwise no service with a volume group would ever come back after a crash of its host."""
    seen = {"disk#0": ELSEWHERE}
    assert waiting(planned([res("disk#0")], seen)) == {"disk#0": f"held by {ELSEWHERE.holder}"}
    assert now(planned([res("disk#0")], seen, **{"disk#0": {"stale": True}})) == ["start disk#0"]


STATES = st.sampled_from([UP, DOWN, WARN, NA, ELSEWHERE, unknown("x"), UNMADE, replace(DOWN, blocked="no")])
GOALS = st.sampled_from(list(Goal))


@given(st.lists(STATES, min_size=4, max_size=4), st.lists(GOALS, min_size=4, max_size=4), st.booleans())
def test_rules_that_hold_for_every_world(states, goals, preflight):
    """Nothing up on a guess, nothing for what is settled, no order broken, never two jobs for one."""
    seen = dict(zip([r.rid for r in STACK], states, strict=True))
    wanted = dict(zip(seen, goals, strict=True))
    made = planned(
        STACK, seen, preflight=preflight, **{rid: {"goal": goal} for rid, goal in wanted.items()}
    )
    rids = [step.rid for step in made.now]
    assert len(rids) == len(set(rids))
    for step in made.now:
        state, goal = seen[step.rid], wanted[step.rid]
        assert step.operations
        assert goal is not Goal.NONE
        assert not settled(goal, state)
        if goal is not Goal.DOWN:
            assert state.state not in (State.UNKNOWN, State.ELSEWHERE)
        if goal is Goal.DOWN:
            above = [r.rid for r in STACK if step.rid in r.refs]
            assert all(settled(Goal.DOWN, seen[rid]) for rid in above)
    for w in made.waiting:
        assert w.why
        assert w.rid not in rids


@given(
    st.lists(st.sampled_from([UP, DOWN, UNMADE]), min_size=4, max_size=4),
    st.sampled_from([Goal.UP, Goal.DOWN]),
)
def test_then_ends_where_the_goal_is(states, goal):
    """Now and then together bring each resource that can get there to its goal, each exactly once."""
    seen = dict(zip([r.rid for r in STACK], states, strict=True))
    may = {rid: {"may_create": True} for rid in seen}
    made = planned(STACK, seen, goal, **may)
    moved = [step.rid for step in (*made.now, *made.then) if step.act in (Act.START, Act.STOP)]
    assert sorted(moved) == sorted(rid for rid, state in seen.items() if not settled(goal, state))
