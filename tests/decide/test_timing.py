"""The times of a failover: every set that is made keeps every rule, and every broken rule is named."""

import math
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.decide.timing import (
    CLAIM,
    LONGEST_WATCHDOG,
    PROFILES,
    Timing,
    broken,
    derive,
    rules,
    warnings,
)
from reconciler.errors import NeedsPerson

patient = settings(deadline=None, max_examples=200)
FAST, DEFAULT = PROFILES["fast"], PROFILES["default"]
SECONDS = st.floats(0.1, 4000, allow_nan=False)
TIMES = st.one_of(st.sampled_from(sorted(PROFILES)), SECONDS)
GRANTED = st.one_of(st.none(), st.integers(-1, 700))


@pytest.mark.parametrize(
    ("name", "wait", "deadline", "watchdog", "periods", "reset", "renew", "request_", "etcd", "stop"),
    [
        ("fast", 7, 3.8, 2, 1, 1, 0.5, 0.5, (0.05, 0.5), 1),
        ("default", 18.5, 8, 8, 1, 2, 1.5, 1, (0.1, 1), 6.5),
        ("conservative", 57, 20, 16, 2, 4, 4, 3, (0.2, 2), 14),
    ],
)
def test_the_profiles_are_the_table(
    name, wait, deadline, watchdog, periods, reset, renew, request_, etcd, stop
):
    made = derive(name)
    assert (made.wait, made.deadline, made.watchdog, made.stop) == (wait, deadline, watchdog, stop)
    assert (made.periods, made.reset, made.renew, made.request) == (periods, reset, renew, request_)
    assert (made.heartbeat, made.election) == pytest.approx(etcd)
    assert made.drift == 0.005


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_keep_every_rule_and_their_safety_rule_is_nearly_tight(name):
    made = PROFILES[name]
    assert broken(made) == ()
    assert 0 < rules(made)[0].slack < 0.45
    assert rules(made)[1].slack == pytest.approx({"fast": 1.3, "default": 2.5, "conservative": 6}[name])
    assert made.silent <= made.deadline, "not even if each request takes all of its time"
    assert rules(made)[2].slack == 0, "all of the watchdog's time but its margin is for the stop"


def outcome(failover_time, granted, locked):
    try:
        return derive(failover_time, granted, locked)
    except NeedsPerson as refused:
        return str(refused)


@patient
@given(TIMES, GRANTED, st.booleans())
@example("fast", 3, True)
@example(7.5, None, False)
def test_what_is_derived_keeps_every_rule(failover_time, granted, locked):
    """Written out once more, by hand: a slip in `rules` must not hide one in `derive`."""
    t = outcome(failover_time, granted, locked)
    if isinstance(t, str):
        return
    assert broken(t) == ()
    slow, quick = 1 + t.drift, 1 - t.drift
    assert t.deadline + t.periods * t.watchdog + t.reset <= t.wait * quick / slow + 1e-9
    assert t.renew + 2 * t.election + 2 * t.request <= t.deadline + 1e-9
    assert t.stop <= t.watchdog - t.margin + 1e-9
    assert t.margin >= 1
    assert t.stop >= 0.5
    assert 2 * t.election + t.renew + 2 * t.request < t.wait
    assert isinstance(t.watchdog, int)
    assert t.periods == 2 or (locked and failover_time != "conservative")
    if granted is not None:
        assert t.watchdog == granted
    if not isinstance(failover_time, str):
        assert t.failover <= failover_time + 1e-3


@patient
@given(st.floats(9, 4000, allow_nan=False), st.booleans())
def test_nothing_of_the_failover_time_is_given_away(seconds, locked):
    """What is left of the safety rule is less than the step that the deadline is rounded down to."""
    t = derive(seconds, locked=locked)
    step = 0.2 if t.wait < 18.5 else 0.5 if t.wait < 57 else 1
    assert rules(t)[0].slack < step + 1e-6
    assert t.watchdog <= LONGEST_WATCHDOG


@patient
@given(st.floats(9, 1000, allow_nan=False), st.floats(0, 500, allow_nan=False), st.booleans())
def test_more_time_never_leaves_less_for_a_stop(seconds, more, locked):
    """But for rounding: whole seconds of the watchdog, tenths of intervals."""
    assert derive(seconds + more, locked=locked).stop >= derive(seconds, locked=locked).stop - 1.1


@patient
@given(st.floats(12, 4000, allow_nan=False), st.booleans())
def test_with_time_enough_two_elections_stop_nobody(seconds, locked):
    t = derive(seconds, locked=locked)
    assert t.renew + 4 * t.election + 2 * t.request <= t.deadline + 1e-9
    assert not any("elections" in text for text in warnings(t))


@patient
@given(TIMES, GRANTED, st.booleans())
def test_what_is_refused_says_what_would_do(failover_time, granted, locked):
    said = outcome(failover_time, granted, locked)
    if isinstance(said, Timing) or "is no such time" in said:
        return
    if "choose at least " in said:
        least = float(said.partition("choose at least ")[2].partition("s")[0])
        assert broken(derive(least, granted, locked)) == ()
        shorter = outcome(least - 0.5, granted, locked)
        assert isinstance(shorter, str) or isinstance(failover_time, str)
    else:
        assert granted is not None
        assert granted < 3, "only a watchdog that leaves no time for a stop suits nobody"


@patient
@given(
    st.builds(
        Timing,
        *(st.floats(0.01, 100),) * 2,
        st.integers(0, 60),
        *(st.floats(0, 100),) * 2,
        st.sampled_from([1, 2]),
        *(st.floats(0.01, 20),) * 4,
    )
)
def test_a_set_is_broken_exactly_when_one_of_the_rules_is(t):
    ok = (
        t.deadline + t.periods * t.watchdog + t.reset <= t.wait * (1 - t.drift) / (1 + t.drift) + 1e-9
        and t.renew + 2 * t.election + 2 * t.request <= t.deadline + 1e-9
        and t.stop <= t.watchdog - t.margin + 1e-9
        and t.margin >= 1 - 1e-9
        and t.stop >= 0.5 - 1e-9
        and 2 * t.election + t.renew + 2 * t.request < t.wait
    )
    assert (broken(t) == ()) is ok


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        pytest.param({"wait": 6.8}, "6.8 s and must be at most 6.732 s", id="an observer too hasty"),
        pytest.param({"watchdog": 3}, "7.8 s and must be at most 6.93 s", id="a watchdog too slow"),
        pytest.param({"periods": 2}, "8.8 s and must be at most 6.93 s", id="a guard that may be held up"),
        pytest.param({"drift": 0.02}, "must be at most 6.725 s", id="clocks too wrong"),
        pytest.param({"election": 1.2}, "3.9 s and must be at most 3.8 s", id="etcd elects too slowly"),
        pytest.param({"stop": 1.1}, "1.1 s and must be at most 1 s", id="a stop too long"),
        pytest.param({"margin": 0.9}, "1 s and must be at most 0.9 s", id="no margin"),
        pytest.param({"wait": math.nan}, "must be at most nan", id="not a number"),
        pytest.param({"renew": 0.0}, "must be less than 0 s", id="renewing without a pause"),
    ],
)
def test_a_broken_rule_is_named_with_both_sides(changed, says):
    assert any(says in text for text in broken(replace(FAST, **changed)))


def test_each_rule_alone_can_be_broken():
    found = {
        text.partition(":")[0]
        for changed in (
            {"wait": 6.8},
            {"election": 1.2},
            {"stop": 1.1},
            {"margin": 0.9},
            {"stop": 0.4},
            {"wait": 2.5},
            {"renew": 0.0},
            {"periods": 0},
        )
        for text in broken(replace(FAST, **changed))
    }
    assert found == {rule.words for rule in rules(FAST)}


@pytest.mark.parametrize(
    ("failover_time", "granted", "locked", "deadline", "stop"),
    [
        pytest.param("fast", 2, True, 3.8, 1.0, id="as asked for"),
        pytest.param("fast", 3, True, 2.8, 2.0, id="a longer one: a holder stops earlier"),
        pytest.param("default", 10, True, 6.0, 8.5, id="a longer one again"),
        pytest.param("default", 4, True, 8.0, 2.5, id="a shorter one: a stop has less time"),
        pytest.param("default", None, False, 8.0, 2.5, id="a guard not locked: half the watchdog"),
    ],
)
def test_what_the_watchdog_granted(failover_time, granted, locked, deadline, stop):
    made = derive(failover_time, granted, locked)
    assert (made.deadline, made.stop) == (deadline, stop)


@pytest.mark.parametrize(
    ("failover_time", "granted", "locked", "says"),
    [
        pytest.param(
            "fast", 10, True, "fast with a watchdog of 10 s is refused: choose", id="granted more"
        ),
        pytest.param("fast", 1, True, "no failover_time can be kept so", id="no time for a stop"),
        pytest.param("fast", None, False, "a guard that is not locked in memory", id="not locked"),
        pytest.param(3.0, None, True, "failover_time 3s is refused: choose at least", id="too short"),
        pytest.param(0.5, None, True, "0.5s is no such time", id="nothing left to wait"),
        pytest.param(math.inf, None, True, "is no such time", id="for ever"),
        pytest.param(math.nan, None, True, "is no such time", id="not a number"),
        pytest.param("slow", None, True, "write fast, default, conservative", id="no such profile"),
    ],
)
def test_refused(failover_time, granted, locked, says):
    with pytest.raises(NeedsPerson) as refused:
        derive(failover_time, granted, locked)
    assert says in str(refused.value)


@pytest.mark.parametrize(("name", "seconds"), [("fast", 7.5), ("default", 19.0)])
def test_a_profile_is_what_its_failover_time_gives(name, seconds):
    assert seconds == PROFILES[name].failover == PROFILES[name].wait + CLAIM
    assert derive(seconds) == PROFILES[name]


def test_who_goes_fast_is_warned_of_resets_and_who_goes_faster_of_elections():
    assert len(warnings(FAST)) == 1
    assert "reset" in warnings(FAST)[0]
    slow, two, *_ = warnings(derive(6.5))
    assert "an election may stop a healthy holder if each request takes all of 0.5 s" in slow
    assert "two elections in a row" in two
    assert warnings(DEFAULT) == ()
