"""A store of three voters: one is not missed, two are, and nothing is ever said that is not so."""

import asyncio
from random import Random

import pytest

from reconciler.adapters.store_memory import MemoryStore
from reconciler.errors import MayHeal, UnknownOutcome
from reconciler.testing.processes import simulated
from reconciler.testing.voters import VOTERS, VotedStore, Voters

REQUEST, ELECTION = 1.0, 2.0
REST = [1, 2]


def play(story, seed=1):
    async def whole():
        truth = MemoryStore()
        voters = Voters(truth, Random(seed), ELECTION)
        await story(truth, voters, VotedStore(voters, REQUEST))

    def unhandled(fault):
        raise fault

    simulated(whole(), unhandled)


async def put(store, value, key="a"):
    return await store.commit({}, {key: value})


@pytest.mark.parametrize("voter", VOTERS)
def test_one_that_falls_is_left_for_the_next_and_an_election_is_bounded(voter):
    async def story(truth, voters, store):
        voters.fall(voter)
        end = asyncio.get_running_loop().time() + ELECTION + 2 * REQUEST
        while True:
            try:
                assert await put(store, "x") is not None
                break
            except MayHeal:
                assert asyncio.get_running_loop().time() < end
        assert (await store.read("a")).entries["a"].value == "x"
        assert store.at != voter
        voters.rise(voter)
        await asyncio.sleep(ELECTION)
        assert voters.calm

    play(story)


def test_of_two_that_fall_nothing_is_taken_and_what_was_sent_lands_late_or_never():
    async def story(truth, voters, store):
        for voter in REST:
            voters.fall(voter)
        began = asyncio.get_running_loop().time()
        with pytest.raises(UnknownOutcome):
            await put(store, "late")
        assert asyncio.get_running_loop().time() <= began + REQUEST
        with pytest.raises(MayHeal):
            await store.read("a")
        assert not (await truth.read("a")).entries
        voters.rise(1)
        await asyncio.sleep(ELECTION + 1)
        landed.add(bool((await truth.read("a")).entries))

    landed: set[bool] = set()
    for seed in range(20):
        play(story, seed)
    assert landed == {True, False}


def test_an_answer_that_cannot_come_back_is_none():
    """Voter 1 is heard, and hears nothing: its commit lands, and nobody says so."""

    async def story(truth, voters, store):
        store.at = 1
        voters.cut([(0, 1)])
        with pytest.raises(UnknownOutcome):
            await put(store, "x")
        assert (await truth.read("a")).entries["a"].value == "x"
        assert store.at == 2
        assert (await store.read("a")).entries["a"].value == "x"

    play(story)


def test_a_leader_that_is_cut_off_leads_no_more():
    async def story(truth, voters, store):
        voters.cut([(0, 1), (0, 2)])
        assert voters.leader is None
        await asyncio.sleep(ELECTION)
        assert voters.leader in REST
        voters.mend([(0, 1), (0, 2)])
        assert voters.calm

    play(story)


def test_a_watch_at_a_voter_that_is_cut_off_goes_on_where_it_was():
    async def story(truth, voters, store):
        seen = []

        async def watch():
            async for change in store.watch(1):
                seen.append(change.value)  # noqa: PERF401 — as it comes

        store.at = 1
        watching = asyncio.create_task(watch())
        await asyncio.sleep(0.1)
        voters.cut([(0, 1), (2, 1)])
        other = VotedStore(voters, REQUEST)
        other.at = 0
        for value in "abc":
            await put(other, value)
        await asyncio.sleep(3)
        assert seen == []
        voters.mend([(0, 1), (2, 1)])
        await asyncio.sleep(1)
        assert seen == list("abc")
        watching.cancel()

    play(story)
