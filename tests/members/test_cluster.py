"""Claims over a store that loses answers: who holds a service, who waits, and what is never believed."""

import asyncio
from dataclasses import replace

import pytest

from reconciler.adapters.etcd_wire import LARGEST_BYTES
from reconciler.decide import claims, keys
from reconciler.decide.asked import frozen
from reconciler.decide.sessions import Level
from reconciler.decide.standing import Standing, Terms
from reconciler.decide.things import Thing
from reconciler.engine.statuses import Statuses
from reconciler.errors import MayHeal, UnknownOutcome
from reconciler.model import Flex, Service
from reconciler.testing.faulty import Way
from tests.members.rig import FAST, Bed, Node, play

KEY = "root/web"
WEB, DB = Service("web", nodes=("n1", "n2")), Service("db", nodes=("n1", "n2"))
IP = Thing("address 192.0.2.1", True)
nap = asyncio.sleep


async def two(bed: Bed) -> tuple[Node, Node]:
    """Both with a session, documents in force, and everything seen."""
    n1, n2 = bed.node("n1"), bed.node("n2")
    await bed.held(n1, n2)
    for service in (WEB, DB):
        assert await n1.cluster.put_document(service, "text", "") == ""
    await nap(1)
    return n1, n2


def slot(bed: Bed, key: str = KEY, number: int = 0) -> claims.Claim | None:
    entry = bed.truth.entries(keys.claims(key)).get(keys.claim(key, number))
    return claims.read(entry.value) if entry else None


async def take(node: Node, service: Service = WEB, *things: Thing) -> str:
    return await node.cluster.claim(service, things, Level.LEASE)


def test_a_claim_is_one_nodes_until_it_is_released():
    async def story(bed: Bed) -> None:
        n1, n2 = await two(bed)
        assert await take(n1) == ""
        assert n1.cluster.held(KEY) == claims.Claim(0, "n1", 1)  # before any watch has brought it
        await nap(0.1)
        assert await take(n2) == "held by n1"
        assert n2.cluster.held(KEY) is None
        n2.queued.clear()
        assert await n1.cluster.release(KEY) == ""
        await nap(0.1)
        assert KEY in n2.queued
        assert await take(n2) == ""

    play(story)


def test_only_what_was_given_back_is_surely_gone_there():
    async def story(bed: Bed) -> None:
        n1, n2 = await two(bed)
        await take(n1)
        assert KEY not in n1.cluster.handed_over  # nobody had it before: whoever has its address is asked
        await nap(0.1)
        await n1.cluster.release(KEY)
        await nap(0.1)
        await take(n2)
        assert KEY in n2.cluster.handed_over
        n2.crash()
        await nap(FAST.wait + 1)
        await take(n1)
        assert KEY not in n1.cluster.handed_over  # taken from the dead

    play(story)


def test_two_who_claim_at_once_are_one():
    async def story(bed: Bed) -> None:
        n1, n2 = await two(bed)
        said = await asyncio.gather(take(n1), take(n2))
        assert sorted(said) == ["", "the store changed meanwhile: looks again"]
        await nap(0.1)
        held = [node.name for node in (n1, n2) if node.cluster.held(KEY)]
        assert held == [slot(bed).node]

    play(story)


def test_a_thing_is_waited_for_and_its_release_is_heard_of():
    async def story(bed: Bed) -> None:
        n1, n2 = await two(bed)
        assert await take(n1, WEB, IP) == ""
        await nap(0.1)
        assert await take(n2, DB, IP) == "waits for address 192.0.2.1: root/web has it, held by n1"
        n2.queued.clear()
        await n1.cluster.release(KEY)
        await nap(0.1)
        assert "root/db" in n2.queued
        assert await take(n2, DB, IP) == ""

    play(story)


def test_what_the_guard_lists_is_not_released():
    async def story(bed: Bed) -> None:
        n1, _ = await two(bed)
        await take(n1)
        n1.start(KEY)
        assert "the guard lists 1 things" in await n1.cluster.release(KEY)
        assert n1.cluster.held(KEY)
        n1.stop(KEY)
        assert await n1.cluster.release(KEY) == ""
        assert slot(bed) is None

    play(story)


def test_a_claim_without_an_answer_is_not_held_before_it_is_certain():
    async def story(bed: Bed) -> None:
        n1, _ = await two(bed)
        n1.desk.drop = lambda compare, puts: True
        with pytest.raises(UnknownOutcome):
            await take(n1)
        await nap(0.1)
        assert slot(bed)
        assert n1.cluster.held(KEY) is None
        n1.desk.drop = lambda compare, puts: False
        assert await take(n1) == ""
        assert n1.cluster.held(KEY)

    play(story)


def test_a_release_that_is_under_way_never_takes_a_claim_that_runs():
    """Given back, no answer, wanted again: the release lands late, after the service is up."""

    async def story(bed: Bed) -> None:
        n1, _ = await two(bed)
        await take(n1)
        n1.desk.late = 2.0
        with pytest.raises(UnknownOutcome):
            await n1.cluster.release(KEY)
        n1.desk.late = None
        assert not n1.start(KEY)  # it may be gone any moment
        assert await take(n1) == ""
        assert n1.start(KEY)
        await nap(5)
        assert slot(bed) == claims.Claim(0, "n1", 1)

    play(story)


def test_a_release_of_the_agent_before_never_takes_a_claim_that_runs():
    """Sent, the agent killed; its successor finds the claim, which is about to go."""

    async def story(bed: Bed) -> None:
        n1, _ = await two(bed)
        await take(n1)
        n1.desk.late = 3.0
        asked = asyncio.create_task(n1.cluster.release(KEY))
        await nap(0.1)
        n1.kill()
        n1.desk.late = None
        await bed.held(n1)
        await nap(0.5)
        assert slot(bed)
        assert not n1.start(KEY)
        assert await take(n1) == ""
        assert n1.start(KEY)
        await nap(5)
        assert slot(bed)
        assert isinstance((await asyncio.gather(asked, return_exceptions=True))[0], UnknownOutcome)

    play(story)


def test_an_answer_under_an_old_session_counts_for_nothing():
    """Taken in time, answered late: the session has ended meanwhile, and another began."""

    async def story(bed: Bed) -> None:
        n1, _ = await two(bed)
        n1.desk.slow = 0.8
        n1.desk._request = 10.0
        asked = asyncio.create_task(take(n1))
        await nap(0.5)
        n1.standing = Standing(replace(n1.current(), epoch=2), 0, 1e9)
        assert await asked == "the session that it was asked for is over"
        assert n1.cluster.held(KEY) is None

    play(story)


def test_nothing_is_claimed_without_a_session_or_past_its_deadline():
    async def story(bed: Bed) -> None:
        n1, _ = await two(bed)
        await take(n1)
        before = n1.standing
        n1.standing = Standing(before.session, before.revision, n1.clock.boottime())
        assert n1.cluster.held(KEY) is None
        assert (await take(n1, DB)).startswith("this node has no session")

    play(story)


def test_a_claim_of_an_epoch_that_is_over_is_refused_by_the_store():
    """The node has not heard yet that its session was closed."""

    async def story(bed: Bed) -> None:
        n1, _ = await two(bed)
        n1.way.silent = n1.desk.deaf = True
        stale = n1.standing
        await bed.until(lambda: not bed.session("n1").open)
        n1.way.silent = False
        n1.standing = Standing(stale.session, stale.revision, 1e9)
        assert await take(n1) == "the store changed meanwhile: looks again"
        assert slot(bed) is None

    play(story)


def test_the_dead_holders_claim_is_taken_within_half_a_second_of_t():
    async def story(bed: Bed) -> None:
        n1, n2 = await two(bed)
        await take(n1, WEB, IP)
        n1.start(KEY)
        await nap(0.1)
        assert await take(n2, WEB, IP) == "held by n1"
        n1.crash()
        began = asyncio.get_running_loop().time()
        while await take(n2, WEB, IP):
            n2.queued.clear()
            await bed.until(lambda: KEY in n2.queued)
        assert asyncio.get_running_loop().time() - began <= FAST.wait + 0.5
        assert n2.start(KEY)

    play(story)


def test_what_a_dead_node_had_is_looked_at_by_priority():
    async def story(bed: Bed) -> None:
        n1, n2 = await two(bed)
        n2.cluster.priority = lambda key: {"root/web": 10}.get(key, 50)
        for service in (DB, WEB):
            await take(n1, service)
        n1.crash()
        n2.queued.clear()
        await bed.until(lambda: len(n2.queued) >= 2)
        assert n2.queued[:2] == ["root/web", "root/db"]

    play(story)


def test_a_dead_holder_of_a_low_level_is_not_succeeded():
    async def story(bed: Bed) -> None:
        n1, n2 = await two(bed)
        n1.member.set_terms(Terms.of(FAST, Level.NONE))
        await nap(2)
        await take(n1)
        n1.crash()
        await bed.until(lambda: not bed.session("n1").open)
        await nap(0.1)
        why = await take(n2)
        assert why.startswith("was held by n1, which is dead: its safety level was none")
        n1.boot("boot 2")  # back: so it has stopped
        await bed.held(n1)
        await nap(0.1)
        assert await take(n2) == ""

    play(story)


def test_flex_slots_go_to_different_nodes():
    async def story(bed: Bed) -> None:
        n1, n2 = await two(bed)
        farm = Service("web", topology="flex", flex=Flex(target=2), nodes=("n1", "n2"))
        assert await take(n1, farm) == ""
        await nap(0.1)
        assert await take(n2, farm) == ""
        assert {n1.cluster.held(KEY).slot, n2.cluster.held(KEY).slot} == {0, 1}

    play(story)


def test_a_claim_that_lands_late_is_no_second_slot_of_the_same_node():
    """The other slot had become free by then, and was taken: one instance, and nobody had the other."""

    async def story(bed: Bed) -> None:
        n1, n2 = await two(bed)
        farm = Service("web", topology="flex", flex=Flex(target=2), nodes=("n1", "n2"))
        assert await take(n2, farm) == ""
        await nap(0.1)
        n1.desk.late = 2.0
        with pytest.raises(UnknownOutcome):
            await take(n1, farm)
        n1.desk.late = None
        assert await n2.cluster.release(KEY) == ""
        await nap(0.1)
        assert await take(n1, farm) == ""
        await nap(3)
        assert [slot(bed, number=number) is None for number in (0, 1)] == [False, True]

    play(story)


def test_a_document_that_needs_a_stop_waits_for_it():
    async def story(bed: Bed) -> None:
        n1, n2 = await two(bed)
        await take(n1)
        await nap(0.1)
        assert await n2.cluster.put_document(WEB, "other", "") == ""
        await nap(0.1)
        why = await n2.cluster.put_document(WEB, "third", "topology is flex instead of failover")
        assert why == "waits for stop on n1: topology is flex instead of failover"
        n2.queued.clear()
        await n1.cluster.release(KEY)
        await nap(0.1)
        assert KEY in n2.queued
        assert await n2.cluster.put_document(WEB, "third", "topology is flex instead of failover") == ""
        assert n2.cluster.view.entries[keys.document(KEY)].value == "third"

    play(story)


def test_a_view_goes_on_after_its_watch_breaks():
    async def story(bed: Bed) -> None:
        n1, n2 = await two(bed)
        await take(n1)
        n2.desk.deaf = True
        await n1.cluster.release(KEY)
        await nap(0.1)
        assert n2.cluster.view.claims.get(KEY)
        bed.truth.compacted()
        n2.desk.deaf = False
        await nap(3)
        assert not n2.cluster.view.claims.get(KEY)

    play(story)


def test_a_freeze_that_comes_late_is_too_late():
    """It had no answer; alice thawed all, and the cluster froze five seconds later (seed 578852)."""

    async def story(bed: Bed) -> None:
        n1, n2 = await two(bed)
        late = ({keys.FROZEN: 0}, {keys.FROZEN: '{"who": "alice", "at": 1.0}'})
        await n1.cluster.put_frozen("null")
        assert await bed.truth.commit(*late) is None
        await n2.cluster.put_frozen('{"who": "bob", "at": 2.0}')
        await nap(0.1)
        assert "bob" in n1.cluster.view.entries[keys.FROZEN].value
        n1.desk.refused = "connection refused"
        with pytest.raises(MayHeal, match="connection refused"):
            await n1.cluster.put_frozen("null")
        n1.desk.refused = ""
        await n1.cluster.put_frozen("null")
        assert frozen(n1.cluster.view.entries[keys.FROZEN].value) is None

    play(story)


# --- statuses ------------------------------------------------------------------------------


def test_statuses_are_written_on_change_and_once_a_second_for_each():
    async def story(bed: Bed) -> None:
        n1, _ = await two(bed)
        way = Way(bed.truth, FAST.request)
        statuses = Statuses(way, "n1", lambda: n1.standing)
        task = asyncio.create_task(statuses.run())
        for number in range(50):
            for service in range(20):
                statuses.put(f"root/{service}", f"state {number}")
            await nap(0.1)
        assert way.sent <= 6
        await nap(2)
        snapshot = await bed.truth.read("statuses/n1/")
        assert {entry.value for entry in snapshot.entries.values()} == {"state 49"}
        sent = way.sent
        statuses.put("root/3", "state 49")
        await nap(3)
        assert way.sent == sent
        way.refused = "away"
        statuses.put("root/3", "")
        await nap(3)
        way.refused = ""
        await nap(3)
        assert "statuses/n1/root/3" not in (await bed.truth.read("statuses/n1/")).entries
        task.cancel()

    play(story)


def test_large_statuses_are_written_in_commits_that_the_store_takes():
    """A hundred of them at once were more than etcd takes, and so none of them was ever told."""

    async def story(bed: Bed) -> None:
        n1, _ = await two(bed)
        sizes: list[int] = []
        bed.truth.landed.append(lambda puts, deletes: sizes.append(sum(map(len, puts.values()))))
        statuses = Statuses(n1.desk, "n1", lambda: n1.standing)
        task = asyncio.create_task(statuses.run())
        for service in range(100):
            statuses.put(f"root/{service}", "é" * 20_000)
        await nap(3)
        assert len((await bed.truth.read("statuses/n1/")).entries) == 100
        assert max(sizes) * 2 <= LARGEST_BYTES
        task.cancel()

    play(story)


def test_what_was_told_and_comes_late_is_too_late():
    """A node that was drained, and is not any more, stood there as drained (seed 607817)."""

    async def story(bed: Bed) -> None:
        n1, _ = await two(bed)
        way = Way(bed.truth, FAST.request)
        statuses = Statuses(way, "n1", lambda: n1.standing)
        task = asyncio.create_task(statuses.run())
        for text in ("up", "down", "up", "down", "up"):
            way.late = 6.0 if text == "down" else None
            statuses.put("root/web", text)
            statuses.put("root/db", "" if text == "down" else text)
            statuses.put_host(text)
            await nap(2.5)
        await nap(10)
        entries = bed.truth.entries("statuses/n1/") | bed.truth.entries(keys.host("n1"))
        assert {name: entry.value for name, entry in entries.items()} == dict.fromkeys(
            ("statuses/n1/root/web", "statuses/n1/root/db", "hosts/n1"), "up"
        )
        sent = way.sent
        await nap(5)
        assert way.sent == sent
        task.cancel()

    play(story)


def test_a_node_that_was_taken_out_tells_nothing_more_of_itself():
    """What `leave` removed did come back with the next figure of its load, until a restart."""

    async def story(bed: Bed) -> None:
        n1, _ = await two(bed)
        way, key = Way(bed.truth, FAST.request), keys.host("n1")
        statuses = Statuses(way, "n1", lambda: n1.standing)
        task = asyncio.create_task(statuses.run())

        async def told(load: str) -> str:
            statuses.put_host(load)
            await nap(2)
            entry = bed.truth.entries(key).get(key)
            return entry.value if entry else ""

        assert [await told("1"), await told("2")] == ["1", "2"]
        way.refused = "away"
        assert await told("3") == "2"
        way.refused = ""
        assert await told("3") == "3"
        await bed.truth.commit({}, {key: "of somebody else"})
        assert await told("4") == "4"
        await bed.truth.commit({}, {}, (key,))
        sent = way.sent
        statuses.put("root/web", "up")
        assert [await told("5"), await told("6")] == ["", ""]
        assert way.sent <= sent + 3  # it does not ask for ever
        assert bed.truth.entries("statuses/n1/root/web")
        task.cancel()

    play(story)


def test_a_store_that_is_away_costs_a_pass_and_no_more():
    async def story(bed: Bed) -> None:
        n1, _ = await two(bed)
        n1.desk.refused = "connection refused"
        with pytest.raises(MayHeal, match="connection refused"):
            await take(n1)
        n1.desk.refused = ""
        assert await take(n1) == ""

    play(story)
