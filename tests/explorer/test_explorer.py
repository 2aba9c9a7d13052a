"""All that may happen in a small world: nothing wrong with times by the rules; a grain less is wrong."""

from dataclasses import replace

import pytest

from reconciler.decide.timing import broken
from reconciler.engine import beats
from reconciler.testing.explorer import explored
from tests.explorer.scopes import ELECTION, GRAIN, MESSAGES, TIGHT, election, scope
from tests.sim.test_canaries import (
    claim_of_an_older_session,
    deadline_after_the_reply,
    everything_is_free,
    pets_for_ever,
)

A_FAILOVER = 10.5
"""Seconds: T, and a little."""


def test_the_times_are_those_of_the_rules_and_none_is_kept_with_room():
    assert not broken(TIGHT)
    assert not broken(ELECTION)
    for less in ({"wait": TIGHT.wait - GRAIN}, {"deadline": TIGHT.deadline - GRAIN}, {"stop": 1.5}):
        assert len(broken(replace(TIGHT, **less))) == 1, less


def test_one_message_or_wish_leads_to_nothing_wrong_however_long_one_looks():
    found = explored(scope((*MESSAGES, "deaf", "give back"), grain=1.0))
    assert not found.wrong, found.history
    assert found.whole
    assert found.states > 1000


def test_a_holder_that_is_cut_off_has_stopped_when_another_begins():
    found = explored(scope(("silent",)), until=A_FAILOVER)
    assert not found.wrong, found.history
    assert found.states > 2000


def test_a_wait_that_is_one_grain_shorter_is_too_short():
    found = explored(scope(("silent",), wait=TIGHT.wait - GRAIN))
    assert found.wrong.startswith("exclusive: it is up on n1 under epoch 1 and on n2 under epoch 2")
    said = found.history.splitlines()
    assert "n1 is CUT OFF from the store" in found.history
    assert "the deadline passed" in found.history
    assert "n2 judge: puts sessions/n1: ok" in said[-5]
    assert len(said) < 40


def test_an_election_stops_no_healthy_holder_and_does_with_a_deadline_one_grain_sooner():
    """Every answer takes all the time that a request may take."""
    found = explored(election(ELECTION, answer=ELECTION.request))
    assert not found.wrong, found.history
    assert found.whole
    sooner = explored(
        election(replace(ELECTION, deadline=ELECTION.deadline - 0.25), answer=ELECTION.request)
    )
    assert "the deadline passed" in sooner.wrong
    assert "the store has NO LEADER" in sooner.history


def test_a_stop_that_takes_longer_than_its_time_ends_in_a_reset():
    in_time = explored(scope(("silent",), in_time=True), until=6.0)
    assert not in_time.wrong, in_time.history
    longer = explored(scope(("silent",), in_time=True, stop=TIGHT.stop + GRAIN))
    assert "not seen gone in time" in longer.wrong


FOR_EVER = 100.0
"""What is cut stays so, and who is dead."""


def own_wait(patch):
    patch.setattr(
        beats,
        "dead",
        lambda session, still, now: bool(session and still and session.open) and now - still.since >= 9.5,
    )


FOUND = {
    deadline_after_the_reply: scope(("slow", "silent"), 2, grain=FOR_EVER),
    own_wait: scope(("silent",), grain=FOR_EVER),
    claim_of_an_older_session: scope(("crash",)),
    everything_is_free: scope((), whom=(0, 1)),
    pets_for_ever: scope(("silent",)),
}


@pytest.mark.parametrize("mistake", FOUND, ids=lambda mistake: mistake.__name__)
def test_a_mistake_is_found(mistake):
    with pytest.MonkeyPatch.context() as patch:
        mistake(patch)
        found = explored(FOUND[mistake], most=40_000, settled=mistake is not everything_is_free)
    assert found.wrong.startswith("exclusive"), str(found)
