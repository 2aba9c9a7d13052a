"""What becomes of a node's services when it is down, drained or frozen, as it would be decided then."""

from dataclasses import replace

import pytest

from reconciler.decide.asked import Asked, Wish
from reconciler.decide.candidates import Peer
from reconciler.decide.claims import Claim
from reconciler.decide.sessions import Level, Session
from reconciler.decide.what_if import Held, what_if
from reconciler.model import Flex, Service

WEB = Service("web", nodes=("n1", "n2", "n3"))
SESSIONS = {name: Session(name, 5, "b", "s", 10.0, Level.LEASE) for name in ("n1", "n2", "n3")}


def held(service=WEB, *nodes: str, needed=Level.LEASE) -> Held:
    names = nodes or ("n1",)
    return Held(service, {slot: Claim(slot, name, 5) for slot, name in enumerate(names)}, needed)


def moved(change, *services, sessions=SESSIONS, **peers):
    nodes = {name: replace(Peer(name), **peers.get(name, {})) for name in ("n1", "n2", "n3")}
    return [(m.service, m.to, m.why) for m in what_if("n1", change, services, sessions, nodes)]


@pytest.mark.parametrize(
    ("change", "one", "peers", "to", "why"),
    [
        ("down", held(), {}, "n2", "by placement: nodes order, before n3"),
        (
            "down",
            held(),
            {"n2": {"alive": False}},
            "n3",
            "by placement: nodes order, the only one that may",
        ),
        ("down", held(replace(WEB, orchestrate="no")), {}, "", "is not failed over: orchestrate: no"),
        ("down", held(needed=Level.WATCHDOG), {}, "", "was held by n1, which is dead"),
        ("drain", held(needed=Level.WATCHDOG), {}, "n2", "by placement"),
        ("drain", held(replace(WEB, nodes=("n1",))), {}, "", "it has no other node"),
        ("drain", held(), {"n2": {"frozen": "by bob"}, "n3": {"alive": False}}, "", "n2 is frozen: by bob"),
        ("freeze", held(), {}, "n1", "stays"),
    ],
)
def test_where_it_would_go(change, one, peers, to, why):
    ((_, went, said),) = moved(change, one, **peers)
    assert went == to
    assert why in said


def test_what_is_held_elsewhere_or_by_nobody_does_not_move():
    assert moved("down", held(WEB, "n2")) == []
    assert moved("down", Held(WEB, {}, Level.LEASE)) == []
    before = {**SESSIONS, "n1": replace(SESSIONS["n1"], epoch=6)}
    assert moved("down", held(), sessions=before) == []


def test_of_a_flex_service_the_slot_goes_where_no_other_is():
    service = replace(WEB, topology="flex", flex=Flex(1, 0, 2))
    assert [to for _, to, _ in moved("down", held(service, "n1", "n2"))] == ["n3"]


def test_one_that_moved_counts_for_the_next():
    first = replace(WEB, name="a", priority=10)
    second = replace(WEB, name="b", relations={"hard_anti_affinity": ("a",)})
    assert moved("down", held(second), held(first)) == [
        ("root/a", "n2", "by placement: nodes order, before n3"),
        ("root/b", "n3", "by placement: nodes order, the only one that may"),
    ]


def test_what_policy_keeps_on_one_node_goes_nowhere_unless_a_person_started_it():
    service = replace(WEB, orchestrate="start")
    ((_, to, why),) = moved("drain", held(service))
    assert (to, why) == ("", "nobody takes it: orchestrate: start belongs to n1, the first of its nodes")
    started = replace(held(service), asked=Asked(standing=Wish("start", "alice", 1.0)))
    assert moved("drain", started)[0][1] == "n2"
