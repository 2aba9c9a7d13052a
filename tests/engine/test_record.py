"""What a record keeps from pass to pass."""

import pytest

from reconciler.engine.record import as_before
from reconciler.model import Observed, State

UP, DOWN = Observed(State.UP, label="a"), Observed(State.DOWN, label="b")


def anew(seen: Observed) -> Observed:
    return Observed(seen.state, label=seen.label)


def test_what_is_as_it_was_is_the_same_object():
    old = {"fs#0": UP, "fs#1": DOWN}
    assert as_before(old, {rid: anew(seen) for rid, seen in old.items()}) is old


@pytest.mark.parametrize(
    "new",
    [{"fs#0": UP, "fs#1": UP}, {"fs#0": UP}, {"fs#0": UP, "fs#1": DOWN, "fs#2": UP}, {"fs#1": UP}],
    ids=["changed", "one left", "one came", "only a change"],
)
def test_a_change_of_one_leaves_the_others(new):
    old = {"fs#0": UP, "fs#1": DOWN}
    kept = as_before(old, {rid: anew(seen) for rid, seen in new.items()})
    assert kept == new
    assert old == {"fs#0": UP, "fs#1": DOWN}
    assert all(kept[rid] is old[rid] for rid in kept.keys() & old.keys() if new[rid] == old[rid])
