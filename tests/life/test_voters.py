"""Members of the store → how many may be lost, what a person is told, who is not let in."""

import pytest

from reconciler.decide.voters import Kind, Member, losses, name_of, refused, warnings


def member(name: str, learner: bool = False) -> Member:
    return Member(name[-2:], name, (f"https://{name}:2380",), (), learner)


A, B, C, D = map(member, "abcd")
W = member("witness:w")


@pytest.mark.parametrize(
    ("count", "may_be_lost"), [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 2), (7, 3)]
)
def test_how_many_may_be_lost(count, may_be_lost):
    assert losses(count) == may_be_lost


@pytest.mark.parametrize(
    ("members", "said"),
    [
        pytest.param([A], ["one voter: without a there is no store"], id="alone"),
        pytest.param([A, B], ["the loss of either machine, a or b, even of an idle one"], id="two nodes"),
        pytest.param([A, W], ["the loss of either machine, a or w"], id="a node and its witness"),
        pytest.param([A, B, W], [], id="three are enough"),
        pytest.param([A, B, C, D], ["4 voters bear the loss of 1, no more than 3 do"], id="an even number"),
        pytest.param([A, B, C, D, W], [], id="five"),
        pytest.param(
            [A, member("b", learner=True)],
            ["one voter", "b has joined and does not vote yet"],
            id="a learner",
        ),
        pytest.param([], [], id="nobody is known"),
    ],
)
def test_what_a_person_is_told_of_so_many_voters(members, said):
    found = warnings(members)
    assert len(found) == len(said)
    assert all(words in text for words, text in zip(said, found, strict=True))


@pytest.mark.parametrize(
    ("members", "kind", "machine", "accepted", "why"),
    [
        pytest.param([A], Kind.NODE, "b", False, "Add a witness first", id="a second voter alone"),
        pytest.param([A], Kind.NODE, "b", True, "", id="who was asked took it for what it is"),
        pytest.param([A], Kind.WITNESS, "w", False, "", id="the witness comes first"),
        pytest.param([A, W], Kind.NODE, "b", False, "", id="with a witness"),
        pytest.param([A, B], Kind.NODE, "c", False, "", id="a third voter mends it"),
        pytest.param([A], Kind.CLIENT, "b", False, "", id="a client does not vote"),
        pytest.param([A, W], Kind.NODE, "b,c=x", False, "is no name", id="a name that reads as a list"),
        pytest.param([A, B, W], Kind.NODE, "b", False, "b is a member already", id="a name that is taken"),
        pytest.param(
            [A, B, W], Kind.WITNESS, "a", False, "a is a member already", id="a witness on a node"
        ),
        pytest.param([A, B, W], Kind.CLIENT, "c", False, "", id="a client again: its certificate was lost"),
        pytest.param([A, B, W], Kind.CLIENT, "b", False, "b is a member already", id="a client on a voter"),
        pytest.param([A, W], Kind.CLIENT, "w", False, "w is a member already", id="a client on a witness"),
        pytest.param(
            [A, member("b", True)], Kind.NODE, "c", False, "Add a witness", id="a learner is no voter"
        ),
    ],
)
def test_who_is_not_let_in(members, kind, machine, accepted, why):
    said = refused(members, kind, machine, accepted)
    assert why in said
    assert bool(why) == bool(said)


@pytest.mark.parametrize("kind", [Kind.NODE, Kind.CLIENT])
def test_a_node_that_lives_keeps_its_name_for_itself(kind):
    said = refused([A, W], kind, "c", False, has_session=True)
    assert said.startswith("c is a node of this cluster, and its session is open: give this host another")
    assert refused([A, W], Kind.WITNESS, "c", False, has_session=True) == ""  # it opens none


def test_a_witness_is_told_by_its_name_in_etcd():
    made = member(name_of(Kind.WITNESS, "w1"))
    assert (made.witness, made.machine) == (True, "w1")
    assert not member(name_of(Kind.NODE, "w1")).witness
