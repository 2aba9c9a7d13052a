"""What a person asks while something is under way: what ends that, what waits for it, who is told."""

import pytest

from reconciler.decide.asked import NOBODY, Asked, Wish
from reconciler.decide.heard import heard, under_way

SWITCH = Wish("switch", "alice", 1.0, id="s", to="n2")


def wish(verb: str, **more) -> Wish:
    return Wish(verb, "bob", 2.0, id=verb, **more)


@pytest.mark.parametrize("verb", ["start", "restart", "switch", "provision", "unprovision", "purge"])
def test_one_thing_at_a_time(verb):
    why = "asked by alice: switch --to n2 is still under way; wait, or `standfast abort`"
    assert under_way(wish(verb), Asked(wish=SWITCH)) == why
    assert under_way(wish(verb), NOBODY) == ""


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (wish("stop"), "replaced: asked by bob: stop"),
        (wish("stop", rids=("app#0",)), "replaced: asked by bob: stop --rid app#0"),
        (wish("freeze"), "replaced: asked by bob: freeze"),
        (wish("abort"), "replaced: asked by bob: abort"),
    ],
)
def test_who_asked_for_what_is_ended_is_told_by_whom(asked, said):
    assert under_way(asked, Asked(wish=SWITCH)) == ""
    after = heard(asked, Asked(wish=SWITCH), (), (), False)
    assert after.wish != SWITCH
    assert after.ended
    assert (after.ended.wish, after.ended.state, after.ended.message) == (SWITCH, "failed", said)
