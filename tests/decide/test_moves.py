"""Where a move leads, and what is said of one that cannot be: with what to do."""

from dataclasses import replace

import pytest

from reconciler.decide.asked import Asked, Wish
from reconciler.decide.candidates import Peer
from reconciler.decide.moves import passed_over, refusal, still_asked, ways
from reconciler.errors import NeedsPerson
from reconciler.model import Service

WEB = Service("web", nodes=("n1", "n2", "n3"), source="/s/web.yaml", line=4)
HELD = ("n1",)


def wish(verb: str, **more) -> Wish:
    return Wish(verb, "alice", 1.0, **more)


def peers(**changes):
    """Three nodes that are alive."""
    return {name: replace(Peer(name), **changes.get(name, {})) for name in ("n1", "n2", "n3")}


@pytest.mark.parametrize(
    ("verb", "to", "holders", "leads"),
    [
        ("switch", "n3", HELD, ("", "n3")),
        ("switch", "n3", (), ("", "n3")),
        ("switch", "", HELD, ("n1", "")),
        ("takeover", "", HELD, ("", "n2")),
        ("giveback", "", ("n3",), ("", "n1")),
    ],
)
def test_where_it_leads(verb, to, holders, leads):
    assert ways(WEB, wish(verb, to=to), "n2", holders, peers()) == leads


@pytest.mark.parametrize(
    ("verb", "changes", "why"),
    [
        ("switch", {}, "no node holds it; say where to: --to NODE, or `start`"),
        ("giveback", {n: {"alive": False} for n in ("n1", "n2", "n3")}, "no node may run it"),
    ],
)
def test_what_leads_nowhere(verb, changes, why):
    with pytest.raises(NeedsPerson, match=why):
        ways(WEB, wish(verb), "n2", (), peers(**changes))


@pytest.mark.parametrize(
    ("fields", "asked", "changes", "why"),
    [
        ({}, wish("switch", to="n2"), {}, ""),
        ({}, wish("switch", away="n1"), {}, ""),
        ({}, wish("switch", to="n1"), {}, "n1 holds it already"),
        ({}, wish("switch", to="n9"), {}, "n9 is not among its nodes (n1, n2, n3)"),
        ({}, wish("switch", to="n2"), {"n2": {"frozen": "by bob"}}, "n2 is frozen: by bob"),
        (
            {},
            wish("switch", away="n1"),
            {"n2": {"alive": False}, "n3": {"drained": "drained by bob"}},
            "no other node may take it: n2 has no open session: its agent does not run, or does not "
            "reach the store; n3 is drained by bob; `standfast thaw --node` there ends it",
        ),
        ({"nodes": ("n1",)}, wish("switch", away="n1"), {}, "no other node may take it: it has no other"),
        ({"state": "stopped"}, wish("switch", to="n2"), {}, "git says stopped (/s/web.yaml:4)"),
        ({"topology": "flex"}, wish("switch", to="n2"), {}, "it is flex: its instances are not moved"),
        ({"placement": "none"}, wish("switch", to="n2"), {}, ""),  # there a person chooses
        ({"placement": "none"}, wish("switch", to="n2"), {"n2": {"alive": False}}, "n2 has no open"),
        (
            {},
            wish("start", node="n2"),
            {},
            "n1 holds it: `standfast switch root/web --to n2` moves it here",
        ),
        ({"topology": "flex"}, wish("start", node="n2"), {}, ""),
        ({}, wish("start"), {}, ""),
        ({}, wish("stop", node="n2"), {}, ""),
    ],
)
def test_what_cannot_be_is_told_why(fields, asked, changes, why):
    said = refusal(replace(WEB, **fields), asked, "n2", HELD, peers(**changes))
    assert said.startswith(why)
    assert bool(said) is bool(why)


@pytest.mark.parametrize(
    ("dead", "left", "phase"),
    [
        ((), ("n1", "n2", "n3"), "up"),
        (("n2",), ("n1", "n2", "n3"), "up"),  # passed over when it is its turn
        (("n1",), ("n2", "n3"), "down"),
        (("n1", "n2"), ("n3",), "down"),
        (("n1", "n2", "n3"), (), "down"),
    ],
)
def test_a_rolling_restart_goes_on_without_the_dead(dead, left, phase):
    asked = wish("restart", left=("n1", "n2", "n3"), phase="up")
    made = passed_over(asked, peers(**{name: {"alive": False} for name in dead}))
    assert made
    assert (made.left, made.phase) == (left, phase)


@pytest.mark.parametrize(
    ("asked", "holders", "changes", "why"),
    [
        pytest.param(wish("switch", to="n2"), HELD, {}, "", id="on its way"),
        pytest.param(wish("switch", to="n2"), (), {}, "", id="given back"),
        pytest.param(wish("switch", to="n2"), (), {"n2": {"alive": False}}, "n2 has no", id="it died"),
        pytest.param(wish("switch", to="n2"), ("n2",), {"n2": {"frozen": "by bob"}}, "", id="arrived"),
        pytest.param(wish("switch", away="n1"), (), {"n2": {"alive": False}}, "", id="another is left"),
        pytest.param(
            wish("switch", away="n1"),
            (),
            {"n2": {"alive": False}, "n3": {"frozen": "by bob"}},
            "no other node may take it: n2 has no open session",
            id="nobody is left",
        ),
        pytest.param(wish("switch", away="n1"), ("n3",), {"n2": {"alive": False}}, "", id="away"),
    ],
)
def test_a_move_is_over_when_it_leads_nowhere_any_more(asked, holders, changes, why):
    made = still_asked(WEB, Asked(wish=asked), holders, peers(**changes))
    if not why:
        assert made.wish == asked
        return
    assert made.wish is None
    assert made.ended
    assert made.ended.state == "failed"
    assert made.ended.message.startswith(why)


def test_what_does_not_roll_is_left_alone():
    assert passed_over(None, peers()) is None
    assert passed_over(wish("restart"), {}) == wish("restart")
