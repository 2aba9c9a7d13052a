"""A set of states → one: its properties, and OpenSVC's own table as the other opinion."""

from itertools import combinations_with_replacement, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.decide.status import displayed, merge
from reconciler.model import State
from reconciler.model import State as S

states = st.lists(st.sampled_from(State), max_size=8)


@pytest.mark.parametrize(
    ("given_states", "wanted"),
    [
        pytest.param([], S.NA, id="nothing is n/a"),
        pytest.param([S.UP, S.UP], S.UP, id="one kind is itself"),
        pytest.param([S.UP, S.NA], S.UP, id="n/a is neutral"),
        pytest.param([S.UP, S.STANDBY_UP], S.UP, id="up with stdby up is up"),
        pytest.param([S.DOWN, S.STANDBY_DOWN], S.STANDBY_DOWN, id="down with stdby down is stdby down"),
        pytest.param([S.DOWN, S.STANDBY_UP], S.STANDBY_UP, id="down with stdby up is stdby up"),
        pytest.param([S.STANDBY_UP, S.STANDBY_DOWN], S.WARN, id="standby half up is warn"),
        pytest.param([S.UP, S.DOWN], S.WARN, id="up and down is warn"),
        pytest.param([S.UP, S.DOWN, S.STANDBY_UP], S.WARN, id="three kinds are warn"),
        pytest.param([S.UNKNOWN, S.NA], S.UNKNOWN, id="only unknown is unknown"),
        pytest.param([S.UNKNOWN, S.DOWN], S.WARN, id="unknown with others is warn"),
        pytest.param([S.ELSEWHERE], S.DOWN, id="elsewhere alone is down"),
        pytest.param([S.ELSEWHERE, S.DOWN], S.DOWN, id="elsewhere with down is down"),
        pytest.param([S.ELSEWHERE, S.UP], S.WARN, id="elsewhere with up is warn"),
        pytest.param([S.ELSEWHERE, S.STANDBY_UP], S.STANDBY_UP, id="elsewhere with stdby up is stdby up"),
    ],
)
def test_merge(given_states, wanted):
    assert merge(given_states) is wanted


@given(states, st.randoms(use_true_random=False))
def test_neither_order_nor_number_matters(some, chance):
    shuffled = some * 2
    chance.shuffle(shuffled)
    assert merge(shuffled) is merge(some)


@given(states)
def test_na_is_neutral(some):
    assert merge([*some, S.NA]) is merge(some)


@given(states)
def test_is_never_elsewhere_and_up_needs_something_up(some):
    merged = merge(some)
    assert merged is not S.ELSEWHERE
    assert merged is not S.UP or S.UP in some


# OpenSVC's pairwise table; "su+u" and "su+d" are its inner values, printed `up` and `stdby up`.
OPENSVC = {
    ("up", "down"): "warn",
    ("up", "stdby up"): "su+u",
    ("up", "stdby down"): "warn",
    ("up", "su+u"): "su+u",
    ("up", "su+d"): "warn",
    ("down", "stdby up"): "su+d",
    ("down", "stdby down"): "stdby down",
    ("down", "su+u"): "warn",
    ("down", "su+d"): "su+d",
    ("stdby up", "stdby down"): "warn",
    ("stdby up", "su+u"): "su+u",
    ("stdby up", "su+d"): "su+d",
    ("stdby down", "su+u"): "warn",
    ("stdby down", "su+d"): "warn",
    ("su+u", "su+d"): "warn",
}


def opensvc(some):
    merged = "n/a"
    for state in map(str, some):
        if merged == state or "n/a" in (merged, state):
            merged = state if merged == "n/a" else merged
        else:
            merged = OPENSVC.get((merged, state)) or OPENSVC.get((state, merged)) or "warn"
    return State({"su+u": "up", "su+d": "stdby up"}.get(merged, merged))


def test_equals_opensvc_on_the_states_both_have():
    both = (S.UP, S.DOWN, S.WARN, S.NA, S.STANDBY_UP, S.STANDBY_DOWN)
    for count in range(1, 5):
        for some in combinations_with_replacement(both, count):
            assert merge(some) is opensvc(some), some


def test_only_up_and_down_are_renamed_for_standby():
    renamed = {S.UP: S.STANDBY_UP, S.DOWN: S.STANDBY_DOWN}
    for state, standby in product(State, (True, False)):
        assert displayed(state, standby) is (renamed.get(state, state) if standby else state)
