"""Whose turn a service is: what each situation of the cluster makes of what one host alone would do."""

from dataclasses import replace

import pytest

from reconciler.decide.asked import NOBODY, Asked, Frozen, Wish
from reconciler.decide.candidates import Peer
from reconciler.decide.claims import Claim
from reconciler.decide.placement import Decision
from reconciler.decide.sessions import Level, Session
from reconciler.decide.turn import FAILBACK, STEP_ASIDE, Situation, foreseen, turn
from reconciler.model import Service, ServiceGoal

WEB = Service("web", nodes=("n1", "n2", "n3"), generation="g")
UP = Decision(ServiceGoal.UP, "Wanted", ("the document wants it up",))
STANDBY = Decision(ServiceGoal.STANDBY, "OtherNode", ("belongs to n1",))
DOWN = Decision(ServiceGoal.DOWN, "AskedStop", ("asked by alice: stop",))
RESTART = Decision(ServiceGoal.DOWN, "AskedRestart", ("asked by alice: restart",))
FAILED = Decision(ServiceGoal.DOWN, "StartFailed", ("start failed here",))
DESTROY = Decision(ServiceGoal.ABSENT, "AskedUnprovision", ("asked",), destroy=True)
FROZEN = Decision(ServiceGoal.UNTOUCHED, "Frozen", ("frozen",), Frozen("bob", 1.0))
IDLE = Decision(ServiceGoal.UNTOUCHED, "NotOrchestrated", ("nobody asked",))


def session(node: str, epoch: int = 5, **changes) -> Session:
    return replace(Session(node, epoch, "b", "s", 10.0, Level.LEASE), **changes)


DEAD = session("n2", 6, open=False)


def here(
    me="n1",
    mine=None,
    sure=True,
    claim=None,
    dead=(),
    waited=None,
    no_session="",
    slots=1,
    drained="",
    **peers,
):
    """Three nodes; `claim`: who holds slot 0; `mine`: the slot this node has."""
    nodes = {name: Peer(name, alive=name not in dead) for name in ("n1", "n2", "n3")}
    for name, changes in peers.items():
        nodes[name] = replace(nodes[name], **changes)
    own = None if mine is None else Claim(mine, me, 5)
    claims = {mine: own} if own else ({0: Claim(0, claim, 5)} if claim else {})
    sessions = {name: session(name, 6, open=False) if name in dead else session(name) for name in nodes}
    held = bool(own) and sure
    return Situation(
        me, no_session, claims, slots, sessions, nodes, own, held, waited or {}, drained=drained
    )


def said(service, wanted, asked, situation) -> str:
    """`goal code act holds` in words, and until when it waits."""
    made = turn(service, wanted, asked, situation)
    later = f" again in {made.again_in:g}" if made.again_in else ""
    act = f" {made.act}" if made.act else ""
    return f"{made.decision.goal} {made.decision.code}{act}{' holds' if made.holds else ''}{later}"


def asks(verb: str, **more) -> Asked:
    return Asked(wish=Wish(verb, "alice", 1.0, **more))


@pytest.mark.parametrize(
    ("wanted", "asked", "situation", "answer"),
    [
        # Nobody holds it; n2 did when its session ended, and is back.
        (UP, NOBODY, replace(here("n2"), claims={0: Claim(0, "n2", 4)}), "standby Claims claim"),
        (
            UP,
            NOBODY,
            replace(here(), claims={0: Claim(0, "n2", 4)}),
            f"standby NotFirst again in {STEP_ASIDE:g}",
        ),
        # Nobody holds it.
        (UP, NOBODY, here(), "standby Claims claim"),
        (UP, NOBODY, here("n2"), f"standby NotFirst again in {STEP_ASIDE:g}"),
        (UP, NOBODY, here("n3"), f"standby NotFirst again in {2 * STEP_ASIDE:g}"),
        (UP, NOBODY, here("n2", waited={"free": STEP_ASIDE}), "standby Claims claim"),
        (UP, NOBODY, here("n2", waited={"better": 99}), f"standby NotFirst again in {STEP_ASIDE:g}"),
        (UP, NOBODY, here("n2", dead=("n1",)), "standby Claims claim"),
        (UP, NOBODY, here("n2", n1={"frozen": "by bob"}), "standby Claims claim"),
        (UP, NOBODY, here("n2", n1={"failed": {"root/web": "app#0"}}), "standby Claims claim"),
        (UP, NOBODY, here("n1", drained="drained by bob"), "standby NotCandidate"),
        # Somebody does, or did.
        (UP, NOBODY, here(claim="n2"), "standby Elsewhere"),
        (UP, NOBODY, here(claim="n2", dead=("n2",)), "standby Claims claim"),
        (UP, NOBODY, here("n1", n3={"loose": {"root/web"}}), "standby NotCandidate"),
        (UP, NOBODY, here("n3", n3={"loose": {"root/web"}}), "standby Claims claim"),
        # This node does.
        (UP, NOBODY, here(mine=0), "up Wanted holds"),
        (UP, NOBODY, here(mine=0, sure=False), "up Wanted claim"),
        (STANDBY, NOBODY, here("n2", mine=0), "up Held holds"),
        (STANDBY, NOBODY, here("n2"), "standby OtherNode"),
        (UP, NOBODY, here(mine=0, drained="drained by bob"), "down Drained release"),
        (UP, NOBODY, here("n2", n1={"drained": "drained by bob"}), "standby Claims claim"),
        # Down, frozen, nobody's.
        (DOWN, NOBODY, here(mine=0), "down AskedStop release"),
        (DOWN, NOBODY, here(), "down AskedStop"),
        (FAILED, NOBODY, here(mine=0), "down StartFailed release"),
        (RESTART, asks("restart", phase="down"), here(mine=0), "down AskedRestart"),
        (FROZEN, NOBODY, here(mine=0), "untouched Frozen holds"),
        (IDLE, NOBODY, here(mine=0), "untouched NotOrchestrated release holds"),
        (IDLE, NOBODY, here(claim="n2"), "untouched NotOrchestrated"),
        # Without a session nothing is begun, and everything may be stopped.
        (UP, NOBODY, here(no_session="the store is away"), "untouched NoSession"),
        (DOWN, NOBODY, here(no_session="the store is away"), "down AskedStop"),
        (DESTROY, NOBODY, here(no_session="the store is away"), "absent AskedUnprovision"),
        # Data is destroyed under the claim alone.
        (DESTROY, NOBODY, here(), "absent Claims claim"),
        (DESTROY, NOBODY, here(claim="n2"), "absent Elsewhere"),
        (DESTROY, NOBODY, here(mine=0), "absent AskedUnprovision release holds"),
        # A person moves it.
        (UP, asks("switch", to="n2"), here(mine=0), "down Moves release"),
        (UP, asks("switch", to="n2"), here(), "standby NotCandidate"),
        (UP, asks("switch", to="n2"), here("n2"), "standby Claims claim"),
        (UP, asks("switch", to="n2"), here("n2", mine=0), "up AskedSwitch holds"),
        (UP, asks("switch", to="n3"), here("n3"), "standby Claims claim"),
        (UP, asks("switch", away="n1"), here(mine=0), "down Moves release"),
        (UP, asks("switch", away="n1"), here(), "standby NotCandidate"),
        (UP, asks("switch", away="n1"), here("n2"), "standby Claims claim"),
        (STANDBY, asks("switch", to="n2"), here("n2"), "standby Claims claim"),
        (UP, Asked(Wish("start", "alice", 1.0, node="n2")), here(), "standby NotCandidate"),
        (UP, Asked(Wish("start", "alice", 1.0, node="n2")), here("n2"), "standby Claims claim"),
    ],
)
def test_whose_turn_it_is(wanted, asked, situation, answer):
    assert said(WEB, wanted, asked, situation) == answer


@pytest.mark.parametrize(
    ("fields", "asked", "situation", "answer"),
    [
        # What is not to fail over stays with the node that had it.
        ({"orchestrate": "no"}, NOBODY, here(claim="n2", dead=("n2",)), "standby NotCandidate"),
        (
            {"orchestrate": "no"},
            asks("switch", to="n1"),
            here(claim="n2", dead=("n2",)),
            "standby Claims claim",
        ),
        ({"orchestrate": "no"}, NOBODY, here(), "standby Claims claim"),
        # A better node must be there for a while.
        ({"failback": "auto"}, NOBODY, here("n2", mine=0), f"up Wanted holds again in {FAILBACK:g}"),
        ({"failback": "auto"}, NOBODY, here("n2", mine=0, waited={"better": 31}), "down FailsBack release"),
        ({"failback": "auto"}, NOBODY, here("n1", mine=0, waited={"better": 31}), "up Wanted holds"),
        ({"failback": "auto"}, NOBODY, here("n2", mine=0, dead=("n1",)), "up Wanted holds"),
        ({}, NOBODY, here("n2", mine=0, waited={"better": 31}), "up Wanted holds"),
        # What it would not be given now, it is not asked to give away either.
        (
            {"failback": "auto"},
            NOBODY,
            here("n1", mine=0, waited={"better": 31}, n1={"maintenance": True}),
            "up Wanted holds",
        ),
        (
            {"failback": "auto"},
            NOBODY,
            here("n1", mine=0, waited={"better": 31}, n1={"memory": 1.0}),
            "up Wanted holds",
        ),
        (
            {"failback": "auto"},
            NOBODY,
            here("n2", mine=0, waited={"better": 31}, n2={"maintenance": True}),
            "up Wanted holds",
        ),
        # A load ranks while nobody holds it: what runs is not moved by what it costs.
        (
            {"failback": "auto", "placement": "load avg"},
            NOBODY,
            here("n2", mine=0, waited={"better": 31}, n2={"load": 9.0}),
            "up Wanted holds",
        ),
        (
            {"failback": "auto", "placement": "score"},
            NOBODY,
            here("n2", mine=0, waited={"better": 31}, n1={"score": 9.0}),
            "up Wanted holds",
        ),
        # Without an order a person chooses.
        ({"placement": "none"}, NOBODY, here(), "standby NotCandidate"),
        ({"placement": "none"}, asks("switch", to="n1"), here(), "standby Claims claim"),
        # As many as its target.
        ({"topology": "flex"}, NOBODY, here("n2", slots=2), "standby Claims claim"),
        ({"topology": "flex"}, NOBODY, here("n3", slots=2), f"standby NotFirst again in {STEP_ASIDE:g}"),
        ({"topology": "flex"}, NOBODY, here("n2", claim="n1", slots=2), "standby Claims claim"),
        # Its target was lowered: whose slot is one too many gives it back.
        ({"topology": "flex"}, NOBODY, here("n2", mine=2, slots=2), "down OneTooMany release"),
        ({"topology": "flex"}, NOBODY, here("n2", mine=1, slots=2), "up Wanted holds"),
    ],
)
def test_what_the_document_says_of_it(fields, asked, situation, answer):
    assert said(replace(WEB, **fields), UP, asked, situation) == answer


def test_a_failed_start_is_not_handed_on_by_what_does_not_fail_over():
    service = replace(WEB, orchestrate="no")
    assert said(service, FAILED, NOBODY, here(mine=0)) == "down StartFailed"


@pytest.mark.parametrize(
    ("wish", "mine", "heard"),
    [
        ({"verb": "restart"}, None, False),
        ({"verb": "restart"}, 0, True),
        ({"verb": "stop", "rids": ("fs#a",)}, None, False),
        ({"verb": "stop", "rids": ("fs#a",)}, 0, True),
        ({"verb": "stop", "rids": ("fs#a",), "node": "n1"}, None, True),
        ({"verb": "stop", "rids": ("fs#a",), "node": "n2"}, 0, False),
    ],
)
def test_a_part_is_for_who_holds_it_or_for_the_node_that_was_named(wish, mine, heard):
    asked = Asked(wish=Wish(who="alice", at=1.0, **wish))
    made = turn(WEB, UP, asked, here(mine=mine, claim=None if mine == 0 else "n2"))
    assert (made.asked.wish is not None) is heard


@pytest.mark.parametrize(
    ("wanted", "situation", "goal", "said"),
    [
        pytest.param(UP, here(mine=0), "up", "", id="it is held here"),
        pytest.param(UP, here(claim="n2"), "standby", "n2 holds it", id="it is held elsewhere"),
        pytest.param(UP, here(), "up", "n1 claims it", id="it would be claimed first"),
        pytest.param(UP, here(mine=0, sure=False), "up", "the document wants it up", id="claimed again"),
        pytest.param(
            UP,
            here("n2"),
            "standby",
            "n1 comes first; tried here after 2 s if it is free still",
            id="others come first",
        ),
        pytest.param(UP, here(no_session="no session"), "untouched", "no session", id="nothing is begun"),
        pytest.param(DESTROY, here(), "absent", "n1 claims it", id="data under the claim alone"),
        pytest.param(DESTROY, here(claim="n2"), "absent", "n2 holds it", id="data of who holds it"),
    ],
)
def test_who_only_asks_is_told_what_would_be_done_here(wanted, situation, goal, said):
    made, also = foreseen(WEB, wanted, NOBODY, situation)
    assert (made.decision.goal, also) == (goal, said)
    assert made.decision.destroy is (wanted.destroy and said != "n2 holds it")


def test_why_a_node_waits_is_said():
    made = turn(WEB, UP, NOBODY, here("n2"))
    assert made.decision.reason == "n1 comes first; tried here after 2 s if it is free still"
    assert turn(WEB, UP, NOBODY, here(claim="n3")).decision.reason == "n3 holds it"
    frozen = here("n1", n1={"frozen": "by bob (disk swap)"})
    assert turn(WEB, UP, NOBODY, frozen).decision.reason == (
        "n1 is frozen: by bob (disk swap); `standfast thaw --node` there ends it"
    )


@pytest.mark.parametrize(("me", "answer"), [("n2", "up Wanted holds"), ("n3", "down FailsBack release")])
def test_of_several_instances_the_one_that_comes_last_goes_to_a_better_node(me, answer):
    """They all found that the first node has none, and stopped at once."""
    both = {0: Claim(0, "n2", 5), 1: Claim(1, "n3", 5)}
    mine = next(claim for claim in both.values() if claim.node == me)
    situation = replace(here(me, mine=mine.slot, waited={"better": 31}, slots=2), claims=both)
    assert said(replace(WEB, topology="flex", failback="auto"), UP, NOBODY, situation) == answer


def test_nobody_waits_for_a_node_where_it_was_stopped():
    asked = Asked(standing=Wish("stop", "alice", 1.0, local=True, node="n1"))
    assert said(WEB, UP, asked, here("n2")) == "standby Claims claim"
    assert said(WEB, UP, asked, here("n3")) == f"standby NotFirst again in {STEP_ASIDE:g}"


def test_a_restart_keeps_its_claim():
    down = Decision(ServiceGoal.DOWN, "AskedRestart", ("asked by alice: restart",))
    assert said(WEB, down, asks("restart", phase="down"), here("n2", mine=0)) == "down AskedRestart"


def test_of_a_move_without_an_aim_the_next_candidate_is_first():
    asked = asks("switch", away="n1")
    assert said(WEB, UP, asked, here("n2")) == "standby Claims claim"
    assert said(WEB, UP, asked, here("n3")) == f"standby NotFirst again in {STEP_ASIDE:g}"
