"""What looks like an accident removes nothing."""

import pytest

from reconciler.engine.prune import judge

FIVE = ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("in_force", "missing", "lately", "directory", "removed", "held"),
    [
        pytest.param(FIVE, ["a"], 0, True, {"a"}, "", id="one of five goes"),
        pytest.param(FIVE, ["a", "b"], 0, True, {"a", "b"}, "", id="two of five go"),
        pytest.param(FIVE, ["a", "b", "c"], 0, True, set(), "3 of 5", id="more than half is held"),
        pytest.param(FIVE[:2], ["a"], 0, True, {"a"}, "", id="one of two is half, not more"),
        pytest.param(FIVE, FIVE, 0, True, set(), "emptied", id="an emptied directory is held"),
        pytest.param(["a"], ["a"], 0, True, set(), "emptied", id="the only one is held, too"),
        pytest.param(FIVE, FIVE, 0, False, set(), "gone or unreadable", id="a vanished directory"),
        pytest.param(FIVE[2:], ["c"], 2, True, set(), "3 of 5", id="one by one within seconds is at once"),
        pytest.param(FIVE, [], 0, False, set(), "", id="nothing is missing"),
    ],
)
def test_judge(in_force, missing, lately, directory, removed, held):
    verdict = judge(in_force, missing, lately, directory)
    assert verdict.removed == removed
    assert held in verdict.held
    assert bool(held) == bool(verdict.held)


def test_what_is_held_stays_held_until_all_of_it_is_back():
    assert judge(FIVE, ["a"], 0, True, held=True).held
    assert judge(FIVE, [], 0, True, held=True).held == ""
