"""Who waits for whom."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.decide.order import natural, order
from reconciler.model import GROUPS
from tests.decide.build import res


@pytest.mark.parametrize(
    ("resources", "rid", "needs"),
    [
        pytest.param([res("ip#0"), res("fs#a")], "fs#a", {"ip#0"}, id="a group waits for the one before"),
        pytest.param(
            [res("ip#0", optional=True), res("fs#a")], "fs#a", set(), id="nobody waits for an optional one"
        ),
        pytest.param(
            [res("ip#0", disable=True), res("fs#a")], "fs#a", set(), id="nobody waits for a disabled one"
        ),
        pytest.param(
            [res("fs#a"), res("fs#b", "fs#a", optional=True)], "fs#b", {"fs#a"}, id="a reference is an edge"
        ),
        pytest.param([res("disk#0"), res("disk#1")], "disk#1", set(), id="disks go in parallel"),
        pytest.param(
            [res("fs#a", mnt="/srv"), res("fs#b", mnt="/srv/db")],
            "fs#b",
            {"fs#a"},
            id="the outer mount first",
        ),
        pytest.param(
            [res("fs#a", mnt="/srv"), res("fs#b", mnt="/srv2")],
            "fs#b",
            set(),
            id="a like name is no parent",
        ),
        pytest.param(
            [res("app#10"), res("app#2")], "app#10", {"app#2"}, id="apps one after another, 2 before 10"
        ),
        pytest.param(
            [res("app#1", subset="s", parallel=True), res("app#2", subset="s", parallel=True)],
            "app#2",
            set(),
            id="a parallel subset does not queue",
        ),
        pytest.param(
            [res("app#1", after=("app#2",)), res("app#2")],
            "app#2",
            set(),
            id="`after` turns the order round",
        ),
        pytest.param(
            [res("ip#1", "container#0"), res("container#0"), res("fs#a")],
            "container#0",
            {"fs#a"},
            id="an address inside a container waits for it, not the other way round",
        ),
        pytest.param(
            [res("ip#1", "container#0"), res("container#0"), res("fs#a")],
            "fs#a",
            set(),
            id="and what lies between does not wait for that address",
        ),
        pytest.param(
            [res("ip#1", "container#0"), res("container#0"), res("app#0")],
            "app#0",
            {"ip#1", "container#0"},
            id="but what comes after waits for both",
        ),
    ],
)
def test_needs(resources, rid, needs):
    assert order(resources).needs[rid] == needs


def test_stands_on_is_what_the_document_names():
    made = order([res("ip#0"), res("disk#0"), res("fs#a", "disk#0"), res("app#0", "fs#a")])
    assert made.stands_on["app#0"] == {"fs#a", "disk#0"}
    assert made.needs["app#0"] == {"ip#0", "disk#0", "fs#a"}


def test_services_of_one_shape_share_their_order():
    """A thousand of one template: one set of edges, whatever they are mounted on."""
    made = [order([res("ip#0"), res("fs#a", mnt=mnt), res("app#0", "fs#a")]) for mnt in ("/a", "/b")]
    assert made[0] is made[1]


@pytest.mark.parametrize("common", [{"optional": True}, {"disable": True}, {"subset": "a"}])
def test_what_the_edges_depend_on_makes_another_order(common):
    plain = order([res("ip#0"), res("app#0"), res("app#1")])
    assert order([res("ip#0"), res("app#0", **common), res("app#1")]) is not plain


def test_natural_order_reads_numbers():
    assert sorted(["app#10", "app#2", "app#web"], key=natural) == ["app#2", "app#10", "app#web"]


RIDS = st.lists(
    st.sampled_from([f"{group}#{n}" for group in GROUPS for n in range(3)]),
    min_size=1,
    max_size=9,
    unique=True,
)


@settings(max_examples=300)
@given(RIDS, st.data())
def test_never_a_cycle(rids, data):
    """Whatever acyclic references a document has, the edges stay acyclic and each comes after its needs."""
    ranked = data.draw(st.permutations(rids))
    resources = []
    for position, rid in enumerate(ranked):
        refs = data.draw(st.sets(st.sampled_from(ranked[:position]))) if position else set()
        resources.append(res(rid, *refs, subset=data.draw(st.sampled_from(["", "s"]))))
    made = order(resources)
    assert sorted(made.rids) == sorted(rids)
    for position, rid in enumerate(made.rids):
        assert made.needs[rid] <= set(made.rids[:position])
        assert all(rid in made.needed_by[other] for other in made.needs[rid])
