"""Who is dead, who may say so, and whose session it is."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.decide.sessions import (
    Answers,
    Level,
    Renewal,
    Session,
    Still,
    answered,
    continues,
    dead,
    level,
    may_judge,
    outside,
    read,
    renewal,
    takeover,
    watched,
    written,
)

N1 = Session("n1", 7, "boot", "secret", wait=10.0, level=Level.LEASE)


def but(**fields) -> Session:
    return Session(**{**vars(N1), **fields})


@pytest.mark.parametrize(
    ("session", "still", "is_dead"),
    [
        pytest.param(N1, Still(5, 90.0), True, id="unchanged for its T"),
        pytest.param(N1, Still(5, 90.1), False, id="a moment less"),
        pytest.param(but(wait=57.0), Still(5, 90.0), False, id="its own T counts, not the observer's"),
        pytest.param(but(wait=math.inf), Still(5, 0.0), False, id="maintenance is never dead"),
        pytest.param(but(open=False), Still(5, 0.0), False, id="a closed one is not dead, but closed"),
        pytest.param(None, Still(5, 0.0), False, id="a record nobody understands is never dead"),
        pytest.param(N1, None, False, id="a beat nobody has seen"),
    ],
)
def test_dead(session, still, is_dead):
    assert dead(session, still, 100.0) is is_dead


def test_the_clock_belongs_to_a_revision():
    stills = watched({}, {"n1": 5, "n2": 9}, 100.0)
    stills = watched(stills, {"n1": 5, "n2": 10}, 103.0)  # n1 is still, n2 has moved
    assert stills == {"n1": Still(5, 100.0), "n2": Still(10, 103.0)}
    assert watched(stills, {"n1": 5, "n2": 10}, 190.0) == stills  # a resync after a long silence


@pytest.mark.parametrize(
    ("committed", "found", "means"),
    [
        pytest.param(True, None, Renewal.MINE, id="taken"),
        pytest.param(False, None, Renewal.UNKNOWN, id="no answer: the deadline stands"),
        pytest.param(
            False, (N1, "t1"), Renewal.MINE, id="refused, but my own token stands: the reply was lost"
        ),
        pytest.param(False, (N1, "t0"), Renewal.LOST, id="another token: another me"),
        pytest.param(False, (but(open=False), "t1"), Renewal.LOST, id="closed"),
        pytest.param(False, (but(epoch=8), "t1"), Renewal.LOST, id="a later epoch"),
        pytest.param(False, (but(secret="clone"), "t1"), Renewal.LOST, id="a clone under my name"),
        pytest.param(False, (None, "t1"), Renewal.LOST, id="the record is gone"),
        pytest.param(False, (but(fencing="n2"), "t1"), Renewal.LOST, id="somebody is about to fence me"),
    ],
)
def test_renewal(committed, found, means):
    assert renewal(committed, N1, "t1", found) is means


@pytest.mark.parametrize(
    ("record", "boot_id", "secret", "goes_on"),
    [
        pytest.param(N1, "boot", "secret", True, id="the same boot with the secret"),
        pytest.param(N1, "boot", "other", False, id="a clone has not the secret"),
        pytest.param(N1, "reboot", "secret", False, id="after a reboot nothing is up"),
        pytest.param(but(open=False), "boot", "secret", False, id="it was closed meanwhile"),
        pytest.param(but(fencing="n2"), "boot", "secret", False, id="somebody is about to shoot"),
        pytest.param(None, "boot", "secret", False, id="there is none"),
    ],
)
def test_a_new_agent_goes_on_with_its_session(record, boot_id, secret, goes_on):
    assert continues(record, boot_id, secret) is goes_on


def test_after_a_silence_of_the_store_nobody_is_judged_for_as_long():
    gap = 2.5
    answers = None
    for now in (100.0, 101.0, 102.0):
        answers = answered(answers, now, gap)
    assert not may_judge(answers, 102.0, gap)  # it has answered for 2 s only
    answers = answered(answers, 103.0, gap)
    assert may_judge(answers, 103.0, gap)
    assert not may_judge(answers, 106.0, gap)  # silent again
    answers = answered(answers, 110.0, gap)
    assert answers == Answers(110.0, 110.0)
    assert not may_judge(answers, 110.0, gap)


@pytest.mark.parametrize(
    ("had", "needed", "confirmed", "may"),
    [
        (Level.LEASE, Level.LEASE, False, True),
        (Level.WATCHDOG, Level.LEASE, False, True),
        (Level.LEASE, Level.WATCHDOG, False, False),
        (Level.LEASE, Level.WATCHDOG, True, True),
        (Level.NONE, Level.LEASE, False, False),
        (Level.FENCED, Level.WATCHDOG, False, True),
    ],
)
def test_takeover_needs_the_level_or_a_word(had, needed, confirmed, may):
    assert (takeover(had, needed, confirmed) == "") is may


@pytest.mark.parametrize(
    ("levels", "fenced", "said"),
    [
        pytest.param({"a": Level.WATCHDOG, "b": Level.FENCED}, [], [], id="surely ended"),
        pytest.param({"b": Level.LEASE, "a": Level.LEASE}, [], ["a, b: level lease"], id="no watchdog"),
        pytest.param({"a": Level.LEASE, "b": Level.LEASE}, ["b"], ["a: level lease"], id="one has a fence"),
        pytest.param(
            {"a": Level.NONE, "b": Level.LEASE}, ["a"], ["a: level none", "b: level lease"], id="no group"
        ),
    ],
)
def test_whose_level_leaves_something_outside_the_promise(levels, fenced, said):
    found = outside(levels, fenced)
    assert [text[: len(words)] for text, words in zip(found, said, strict=True)] == said


SESSIONS = st.builds(
    Session,
    st.text(),
    st.integers(0),
    st.text(),
    st.text(),
    st.one_of(st.just(math.inf), st.floats(0.1, 1e6)),
    st.sampled_from(Level),
    st.booleans(),
    st.text(),
)


@given(SESSIONS)
def test_a_record_survives_the_store(session):
    assert read(written(session)) == session


@given(st.text())
def test_whatever_stands_there_is_no_crash(text):
    assert read(text) is None or isinstance(read(text), Session)


@pytest.mark.parametrize(
    "text", ['{"format": 2}', "[]", "null", written(N1).replace('"open": true', '"open": "no"')]
)
def test_what_is_not_understood_is_none(text):
    assert read(text) is None


@given(st.lists(st.tuples(st.integers(1, 4), st.floats(0, 5)), max_size=20))
def test_a_resync_neither_restarts_nor_shortens(steps):
    """However often and late a revision is read, its clock began when it was first seen."""
    stills: dict[str, Still] = {}
    now, revision, first = 0.0, 0, {}
    for step, pause in steps:
        now += pause
        revision += step // 4  # now and then it beats
        first.setdefault(revision, now)
        stills = watched(stills, {"n1": revision}, now)
        assert stills["n1"].since == first[revision]


@pytest.mark.parametrize(
    ("guarded", "watchdog", "groups", "wanted"),
    [
        pytest.param(True, True, True, Level.WATCHDOG, id="a guard with a watchdog"),
        pytest.param(True, False, True, Level.LEASE, id="a guard alone"),
        pytest.param(True, True, False, Level.NONE, id="programs may escape: nothing is sure"),
        pytest.param(False, False, True, Level.NONE, id="no guard"),
    ],
)
def test_the_level_of_a_session(guarded, watchdog, groups, wanted):
    assert level(guarded, watchdog, groups) is wanted
