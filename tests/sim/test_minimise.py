"""A day that goes wrong becomes the least of it that does; a schedule is lived through again exactly."""

import pytest

from reconciler.testing.days import again, day
from reconciler.testing.minimise import minimised, without_host
from tests.sim.test_canaries import CANARIES, claim_of_an_older_session, forgets_the_ledger

LONG = 6


def wrong(mistake):
    """The first day of many faults that finds it."""
    for seed in range(60):
        made = day(seed, CANARIES[mistake])
        if made.wrong and len(made.schedule.happens) >= LONG:
            return made
    raise AssertionError(f"{mistake.__name__} was not found by a long day")


@pytest.mark.parametrize("mistake", [forgets_the_ledger, claim_of_an_older_session])
def test_few_of_many_faults_are_left_and_break_the_same_rule(mistake):
    with pytest.MonkeyPatch.context() as patch:
        mistake(patch)
        made = wrong(mistake)
        least = minimised(made)
        replayed = again(least.schedule)
        assert replayed.rule == made.rule
        assert replayed.digest == again(least.schedule).digest
    assert 0 < len(least.schedule.happens) <= len(made.schedule.happens) / 2
    assert len(replayed.history.splitlines()) > 5
    assert str(least.schedule).count(" s: ") == len(least.schedule.happens)
    assert not again(least.schedule).wrong, "without the mistake it is no day that goes wrong"


def test_all_of_a_schedule_is_the_same_day():
    for seed in range(8):
        made = day(seed)
        assert again(made.schedule).digest == made.digest, f"seed {seed}"


def test_a_host_may_be_left_out_with_all_that_befell_it():
    befell = (made for made in map(day, range(40)) if len(made.schedule.names) == 3)
    made = next(made for made in befell if any(h.fault.member == "n3" for h in made.schedule.happens))
    less = again(without_host(made.schedule, "n3"))
    assert not less.wrong
    assert sum(less.faults.values()) < sum(made.faults.values())
