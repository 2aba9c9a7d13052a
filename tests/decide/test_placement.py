"""Who wins between git, operator and policy; freezes; wishes for parts."""

from dataclasses import replace

import pytest

from reconciler.decide.asked import NOBODY, Asked, Frozen, Wish, read, written
from reconciler.decide.placement import Here, decide, goal_of, may_create, named, refusal
from reconciler.model import Goal, Service, ServiceGoal
from tests.decide.build import res

UP, DOWN, UNTOUCHED, ABSENT, STANDBY = (
    ServiceGoal.UP,
    ServiceGoal.DOWN,
    ServiceGoal.UNTOUCHED,
    ServiceGoal.ABSENT,
    ServiceGoal.STANDBY,
)
HERE = Here("n1", now=1000.0)
STACK = (res("ip#0"), res("fs#a"), res("app#0"), res("fs#s", standby=True))


def svc(**fields):
    return Service("svc", **{"nodes": ("n1",), "resources": STACK, "source": "svc.yaml", **fields})


def wish(verb, **fields):
    return Wish(verb, "alice", 900.0, **fields)


def started(**fields):
    return Asked(standing=wish("start", **fields))


STOPPED = Asked(standing=wish("stop"))


@pytest.mark.parametrize(
    ("fields", "asked", "goal"),
    [
        pytest.param({"state": "stopped"}, NOBODY, DOWN, id="git says stopped, nobody asked: down"),
        pytest.param(
            {"state": "stopped"}, started(until=2000.0), UP, id="start --for overrides git, for a while"
        ),
        pytest.param(
            {"state": "stopped"}, started(), DOWN, id="a start from before git said stopped: git wins"
        ),
        pytest.param({"state": "stopped"}, STOPPED, DOWN, id="git says stopped, after stop: down"),
        pytest.param(
            {"orchestrate": "no"}, NOBODY, UNTOUCHED, id="orchestrate no, nobody asked: only reported"
        ),
        pytest.param(
            {"orchestrate": "no"}, started(), UP, id="orchestrate no, after start: up and repaired"
        ),
        pytest.param({"orchestrate": "no"}, STOPPED, DOWN, id="orchestrate no, after stop: down"),
        pytest.param(
            {"orchestrate": "start"}, NOBODY, UP, id="orchestrate start, the first of its nodes: up"
        ),
        pytest.param(
            {"orchestrate": "start", "nodes": ("n2", "n1")},
            NOBODY,
            STANDBY,
            id="orchestrate start, the second",
        ),
        pytest.param({"orchestrate": "start"}, STOPPED, DOWN, id="orchestrate start, after stop: down"),
        pytest.param({"orchestrate": "ha"}, NOBODY, UP, id="orchestrate ha, nobody asked: up"),
        pytest.param(
            {"orchestrate": "ha"}, STOPPED, DOWN, id="orchestrate ha, after stop: down until start"
        ),
        pytest.param({"nodes": ()}, started(), ABSENT, id="its nodes match none"),
        pytest.param({"nodes": ("n2",)}, started(), ABSENT, id="this node is not among its nodes"),
        pytest.param({"disable": True}, started(), UNTOUCHED, id="disabled"),
        pytest.param(
            {}, Asked(standing=wish("stop", force=True)), ABSENT, id="stop --force: standby goes too"
        ),
        pytest.param({}, Asked(wish=wish("restart", phase="down")), DOWN, id="restart, first half"),
        pytest.param({}, Asked(wish=wish("restart", phase="up")), UP, id="restart, second half"),
        pytest.param({}, Asked(wish=wish("unprovision")), ABSENT, id="unprovision"),
        pytest.param({"orchestrate": "no"}, Asked(wish=wish("provision")), UP, id="provision brings it up"),
        pytest.param(
            {}, Asked(frozen=Frozen("bob", 900.0)), UNTOUCHED, id="frozen: nothing of its own accord"
        ),
    ],
)
def test_who_wins(fields, asked, goal):
    service = svc(**fields)
    decision = decide(service, asked, HERE)
    assert decision.goal is goal
    assert decision.reason


@pytest.mark.parametrize(
    ("on_delete", "goal", "destroy"),
    [("stop", ABSENT, False), ("orphan", UNTOUCHED, False), ("purge", ABSENT, True)],
)
def test_a_removed_document(on_delete, goal, destroy):
    decision = decide(svc(on_delete=on_delete), NOBODY, HERE, deleted=True)
    assert (decision.goal, decision.destroy) == (goal, destroy)


def test_a_failed_start_is_left_alone_for_a_while():
    here = replace(HERE, start_failed="app#0: exited with code 1")
    service = svc()
    assert decide(service, NOBODY, here).goal is DOWN
    assert "exited with code 1" in decide(service, NOBODY, here).reason
    # A word that comes after the failure makes it forgotten; one from before does not speed things up.
    assert decide(service, Asked(wish=wish("provision")), here).goal is DOWN


def test_a_frozen_node_freezes_its_services_but_a_local_command_acts():
    here = replace(HERE, frozen=Frozen("bob", 900.0, scope="node"))
    service = svc()
    assert decide(service, NOBODY, here).goal is UNTOUCHED
    assert decide(service, Asked(wish=wish("restart", phase="down", local=True)), here).goal is DOWN


@pytest.mark.parametrize(
    ("asked", "goals"),
    [
        pytest.param(NOBODY, {"ip#0": "up", "fs#a": "up", "app#0": "up", "fs#s": "standby"}, id="nobody"),
        pytest.param(
            STOPPED,
            {"ip#0": "down", "fs#a": "down", "app#0": "down", "fs#s": "standby"},
            id="stop spares standby",
        ),
        pytest.param(
            Asked(stopped=frozenset({"app#0"})),
            {"ip#0": "up", "fs#a": "up", "app#0": "down", "fs#s": "standby"},
            id="stopped on purpose stays so",
        ),
        pytest.param(
            Asked(wish=wish("start", upto="fs")),
            {"ip#0": "up", "fs#a": "up", "app#0": "none", "fs#s": "standby"},
            id="start --upto fs",
        ),
        pytest.param(
            Asked(wish=wish("stop", downto="fs")),
            {"ip#0": "none", "fs#a": "down", "app#0": "down", "fs#s": "standby"},
            id="stop --downto fs",
        ),
        pytest.param(
            Asked(standing=wish("stop"), wish=wish("start", rids=("ip#0",))),
            {"ip#0": "up", "fs#a": "down", "app#0": "down", "fs#s": "standby"},
            id="start --rid of a stopped service",
        ),
        pytest.param(
            Asked(wish=wish("restart", phase="down", rids=("app",))),
            {"ip#0": "up", "fs#a": "up", "app#0": "down", "fs#s": "standby"},
            id="restart --rid app, first half",
        ),
    ],
)
def test_goals_of_resources(asked, goals):
    service = svc()
    decision = decide(service, asked, HERE)
    assert {r.rid: goal_of(r, decision, asked).value for r in STACK} == goals


@pytest.mark.parametrize(
    ("word", "mine"), [("tag:web", True), ("tag:db", False), ("web", False), ("fs", True)]
)
def test_parts_are_named_by_tag_too(word, mine):
    assert named(res("fs#a", tags=frozenset({"web"})), (word,)) is mine


def test_disabled_and_noaction_resources_have_no_goal():
    decision = decide(svc(), NOBODY, HERE)
    assert goal_of(res("fs#a", disable=True), decision, NOBODY) is Goal.NONE
    assert goal_of(res("fs#a", tags=frozenset({"noaction"})), decision, NOBODY) is Goal.NONE


@pytest.mark.parametrize(
    ("fields", "verb", "until", "rids", "words"),
    [
        ({"state": "stopped"}, "start", 0.0, (), "git says stopped (svc.yaml:7)"),
        ({"state": "stopped"}, "start", 2000.0, (), ""),
        ({"disable": True}, "start", 0.0, (), "disable: true"),
        ({}, "start", 0.0, ("fs#zzz",), "it has no resource fs#zzz, only ip#0"),
        ({}, "stop", 0.0, ("fs",), ""),
    ],
)
def test_refusals_say_what_to_do(fields, verb, until, rids, words):
    service = svc(line=7, **fields)
    said = refusal(service, wish(verb, until=until, rids=rids), NOBODY, None)
    assert words in said
    assert bool(words) == bool(said)


def test_what_is_frozen_takes_no_wish_but_a_local_one():
    frozen = Frozen("bob", 1.0, "disk swap")
    assert "frozen by bob (disk swap)" in refusal(svc(), wish("stop"), NOBODY, frozen)
    assert not refusal(svc(), wish("stop", local=True), NOBODY, frozen)
    assert not refusal(svc(), wish("thaw"), NOBODY, frozen)


def test_a_local_wish_for_a_part_acts_on_that_part_alone_while_frozen():
    asked = Asked(wish=wish("start", rids=("app#0",), local=True), frozen=Frozen("bob", 900.0))
    decision = decide(svc(), asked, HERE)
    assert decision.underlying is UP
    goals = {r.rid: goal_of(r, decision, asked) for r in STACK}
    assert goals == {"ip#0": Goal.NONE, "fs#a": Goal.NONE, "app#0": Goal.UP, "fs#s": Goal.NONE}
    not_local = replace(asked, wish=wish("start", rids=("app#0",)))
    assert goal_of(STACK[2], decide(svc(), not_local, HERE), not_local) is Goal.NONE


@pytest.mark.parametrize(
    ("asked", "new", "words"),
    [
        (STOPPED, wish("start", rids=("app#0",)), "a part cannot be up alone"),
        (STOPPED, wish("start"), ""),
        (Asked(wish=wish("unprovision")), wish("clear"), "`standfast abort` it first"),
        (Asked(wish=wish("restart")), wish("clear"), ""),
    ],
    ids=["a part of what is stopped", "all of it", "clear while data is destroyed", "clear of a restart"],
)
def test_what_was_asked_before_refuses(asked, new, words):
    said = refusal(svc(), new, asked, None)
    assert words in said
    assert bool(words) == bool(said)


@pytest.mark.parametrize(
    ("common", "asked", "created", "may"),
    [
        pytest.param({}, NOBODY, False, True, id="never made, and the document provisions"),
        pytest.param({}, NOBODY, True, False, id="made once: missing is vanished, nothing is made anew"),
        pytest.param({}, Asked(wish=wish("provision")), True, True, id="made once, and a person says so"),
        pytest.param({}, Asked(wish=wish("provision", rids=("fs#a",))), True, True, id="this one by name"),
        pytest.param({}, Asked(wish=wish("provision", rids=("ip#0",))), True, False, id="another by name"),
        pytest.param({}, Asked(wish=wish("start")), True, False, id="a start is not that word"),
        pytest.param({"provision": False}, NOBODY, False, False, id="only on command"),
        pytest.param(
            {"provision": False, "creatable": False},
            Asked(wish=wish("provision")),
            False,
            False,
            id="never",
        ),
    ],
)
def test_what_may_be_created(common, asked, created, may):
    assert may_create(res("fs#a", **common), asked, created) is may


def test_what_is_asked_survives_the_store():
    asked = Asked(
        wish("start", until=5.0),
        wish("restart", rids=("a", "b"), phase="up"),
        Frozen("bob", 1.0),
        frozenset({"x"}),
    )
    assert read(written(asked)) == asked


def test_a_one_off_wish_expires_by_the_clock_of_who_has_it():
    """Asked at 900 for 300 s on a host whose clock is an hour behind, or ahead."""
    asked = Asked(wish=wish("switch", until=1200.0))
    for now in (1000.0, 4600.0, -2600.0):
        assert asked.current(now, known=299.0) == asked
        assert asked.next_end(now, known=299.0) == pytest.approx(1.0)
        assert asked.current(now, known=300.0) == NOBODY
        assert asked.next_end(now, known=300.0) is None


def test_a_one_off_wish_of_long_ago_is_not_begun_by_an_agent_that_was_away():
    asked = Asked(wish=wish("switch", until=1200.0))
    assert asked.current(1200.0 + 7199.0) == asked
    assert asked.current(1200.0 + 7200.0) == NOBODY


def test_what_has_run_out_is_gone():
    asked = Asked(standing=wish("start", until=950.0), frozen=Frozen("bob", 1.0, until=990.0))
    assert asked.current(1000.0) == NOBODY
    assert asked.current(949.0) == asked
    assert asked.next_end(940.0) == pytest.approx(10.0)
