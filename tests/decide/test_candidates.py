"""Who may run a service in a cluster, in which order, and why others may not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.decide.candidates import Peer, candidates, score
from reconciler.model import Service

THREE = ("n1", "n2", "n3")


def svc(**fields) -> Service:
    return Service(**{"name": "svc", "nodes": THREE, **fields})


def peers(**changes) -> dict[str, Peer]:
    """Three nodes that are well, but for the fields given by name."""
    return {name: Peer(name, **changes.get(name, {})) for name in THREE}


@pytest.mark.parametrize(
    ("fields", "changes", "ranked"),
    [
        pytest.param({}, {}, "n1 n2 n3", id="nodes order: as the document lists them"),
        pytest.param(
            {"placement": "load avg"},
            {"n1": {"load": 4.0}, "n3": {"load": 0.5}, "n2": {"load": 0.5}},
            "n2 n3 n1",
            id="load avg: the idle first, equals as listed",
        ),
        pytest.param(
            {"placement": "score"},
            {"n3": {"score": 90}, "n1": {"score": 10}},
            "n3 n1 n2",
            id="score: most first",
        ),
        pytest.param(
            {"placement": "shift", "name": "web2"}, {}, "n3 n1 n2", id="shift: begun at the name's number"
        ),
        pytest.param({"placement": "shift"}, {}, "n1 n2 n3", id="shift without a number: as listed"),
        pytest.param(
            {"placement": "last start"},
            {"n2": {"started": {"root/svc": 50.0}}},
            "n2 n1 n3",
            id="last start: where it ran last",
        ),
        pytest.param({"placement": "none"}, {}, "", id="none: nobody by itself"),
        pytest.param(
            {"placement": "none"},
            {"n1": {"alive": False}, "n2": {"alive": False}},
            "n3",
            id="none, and one is left",
        ),
        pytest.param({}, {"n1": {"alive": False}}, "n2 n3", id="a dead node is passed over"),
        pytest.param({}, {"n1": {"frozen": "by bob"}}, "n2 n3", id="a frozen node is passed over"),
        pytest.param({}, {"n1": {"memory": 1.0}}, "n2 n3", id="an overloaded node takes nothing new"),
        pytest.param(
            {"relations": {"soft_affinity": ("db",)}},
            {"n3": {"holds": frozenset({"root/db"})}},
            "n3 n1 n2",
            id="soft affinity reorders",
        ),
        pytest.param(
            {"relations": {"soft_affinity": ("db",)}}, {}, "n1 n2 n3", id="and gives way when unmet"
        ),
        pytest.param(
            {"relations": {"soft_anti_affinity": ("db",)}},
            {"n1": {"holds": frozenset({"root/db"})}},
            "n2 n3 n1",
            id="soft anti-affinity puts it last",
        ),
        pytest.param(
            {"relations": {"hard_affinity": ("db",)}},
            {"n2": {"holds": frozenset({"root/db"})}},
            "n2",
            id="hard affinity leaves one",
        ),
        pytest.param(
            {"relations": {"hard_anti_affinity": ("x/db",)}},
            {"n2": {"holds": frozenset({"x/db"})}},
            "n1 n3",
            id="hard anti-affinity takes one away, across namespaces",
        ),
        pytest.param(
            {"relations": {"parents": ("db",)}},
            {"n2": {"holds": frozenset({"root/db"}), "up": frozenset({"root/db"})}},
            "n1 n2 n3",
            id="its parent is up somewhere",
        ),
    ],
)
def test_order(fields, changes, ranked):
    assert " ".join(candidates(svc(**fields), peers(**changes)).ranked) == ranked


@pytest.mark.parametrize(
    ("fields", "change", "why"),
    [
        ({}, {"alive": False}, "has no open session: its agent does not run, or does not reach the store"),
        ({}, {"maintenance": True}, "is in maintenance: `standfast node maintenance --off` there ends it"),
        (
            {},
            {"frozen": "by bob (disk swap)"},
            "is frozen: by bob (disk swap); `standfast thaw --node` there ends it",
        ),
        ({}, {"drained": "drained by bob"}, "is drained by bob; `standfast thaw --node` there ends it"),
        ({"env": "PRD"}, {}, "is a TST node, the service is PRD"),
        ({}, {"cannot": {"root/svc": "no device br0"}}, "no device br0"),
        ({}, {"failed": {"root/svc": "app#0: exit 1"}}, "a start failed there: app#0: exit 1"),
        ({}, {"memory": 1.0}, "has only 1 % of its memory available"),
        ({}, {"swap": 5.0}, "has only 5 % of its swap available"),
        ({"relations": {"hard_affinity": ("db",)}}, {}, "must run where root/db runs"),
        ({"relations": {"parents": ("db",)}}, {}, "waits for its parent root/db"),
        (
            {"relations": {"parents": ("db",)}},
            {"holds": frozenset({"root/db"})},  # it is coming up
            "waits for its parent root/db",
        ),
        (
            {"relations": {"parents": ("db",)}},
            {"up": frozenset({"root/db"})},  # told before it was given back
            "waits for its parent root/db",
        ),
        ({"relations": {"parents": ("root/db@n3",)}}, {}, "waits for its parent root/db on n3"),
    ],
)
def test_who_may_not_is_told_why(fields, change, why):
    assert candidates(svc(**fields), peers(n1=change)).excluded["n1"] == why


def test_a_node_nobody_has_seen_is_no_candidate():
    made = candidates(svc(nodes=("n1", "n9")), peers())
    assert (made.ranked, dict(made.excluded)) == (
        ("n1",),
        {"n9": "has never been seen: no agent of that name has joined"},
    )


def test_spread_is_stable_and_spreads():
    first = [candidates(svc(placement="spread", name=f"s{n}"), peers()).ranked[0] for n in range(60)]
    assert {name: first.count(name) >= 10 for name in THREE} == dict.fromkeys(THREE, True)
    lost = [
        candidates(svc(placement="spread", name=f"s{n}"), peers(n2={"alive": False})).ranked[0]
        for n in range(60)
    ]
    moved = [a for a, b in zip(first, lost, strict=True) if a != b]
    assert set(moved) == {"n2"}  # only what was there moves


def test_score_prefers_room():
    assert score(0.1, 90.0, None) > score(8.0, 90.0, None) > score(8.0, 5.0, 10.0)


POLICIES = st.sampled_from(["nodes order", "load avg", "score", "spread", "shift", "last start", "none"])
NODE = st.fixed_dictionaries(
    {
        "alive": st.booleans(),
        "load": st.floats(0, 9),
        "score": st.floats(0, 99),
        "memory": st.floats(0, 100),
    }
)


@given(POLICIES, st.dictionaries(st.sampled_from(THREE), NODE))
def test_every_node_is_ranked_or_told_why_and_never_both(policy, changes):
    made = candidates(svc(placement=policy), peers(**changes))
    assert sorted((*made.ranked, *made.excluded)) == sorted(THREE)
    assert all(made.excluded.values())
    dead = {name for name, change in changes.items() if not change["alive"]}
    assert not dead & set(made.ranked)
