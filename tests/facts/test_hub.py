"""The hub: when it looks, what it keeps, whom it wakes."""

import asyncio
from dataclasses import dataclass

import pytest

from reconciler.adapters.facts import desk
from reconciler.adapters.facts.desk import Fact
from reconciler.adapters.facts.source import Base, Lookup, Subject
from reconciler.asks import (
    NOT_YET,
    Addresses,
    AddressHeld,
    Ask,
    BlockDevice,
    Failed,
    File,
    Memory,
    MountHealth,
    Name,
    Node,
    Signatures,
)
from reconciler.model import Owner
from tests.facts.conftest import A, B


@dataclass(frozen=True)
class Thing(Ask[int]):
    name: str = "t"
    source = "things"


@dataclass(frozen=True)
class Costly(Ask[int]):
    name: str = "t"
    source = "things"
    costly = True


@dataclass(frozen=True)
class Mine(Ask[str]):
    source = "things"
    relative = True


class World(Base):
    """A source whose answers the test sets; `gate` holds looks back while it is cleared."""

    def __init__(self, every=None):
        super().__init__(every)
        self.values, self.looked = {}, []
        self.gate, self.begun = asyncio.Event(), asyncio.Event()
        self.gate.set()
        self.broken = None

    async def look(self, subjects):
        self.looked.append(tuple(subjects))
        seen = {subject: self.values.get(subject, 0) for subject in subjects}
        self.begun.set()
        await self.gate.wait()
        if self.broken:
            raise self.broken
        self.desk.report(seen)

    def set(self, ask, value, owner=None):
        self.values[Subject(ask, owner)] = value
        self.desk.changed([Subject(ask, owner)])


@pytest.fixture
def world():
    return World()


async def test_equal_asks_of_all_services_are_looked_at_once(bench, world):
    async with bench({"things": world}) as b:
        await asyncio.gather(b.get(Thing()), b.get(Thing(), B), b.get(Thing(), Owner("root/c")))
        await b.get(Thing(), B)
    assert world.looked == [(Subject(Thing()),)]


async def test_a_relative_ask_is_answered_for_each_owner(bench, world):
    async with bench({"things": world}) as b:
        world.values = {Subject(Mine(), A): "a", Subject(Mine(), B): "b"}
        assert (await b.get(Mine(), A), await b.get(Mine(), B)) == ("a", "b")


async def test_nothing_is_known_before_it_is_answered(bench, world):
    async with bench({"things": world}) as b:
        assert b.hub.known(A, Thing()) is NOT_YET


async def test_an_event_wakes_those_who_follow_and_they_read_the_new_answer(bench, world):
    async with bench({"things": world}) as b:
        await b.follow(Thing(), A)
        await b.follow(Thing("other"), B)
        world.set(Thing(), 7)
        await b.told(A.service)
        assert b.hub.known(A, Thing()) == 7
        assert B.service not in b.woken


async def test_an_event_that_changed_nothing_wakes_nobody(bench, world):
    async with bench({"things": world}) as b:
        await b.follow(Thing(), A)
        world.set(Thing(), 0)
        assert await b.quiet()
        assert len(world.looked) == 2


async def test_many_events_at_once_are_one_look_and_one_wake(bench, world):
    async with bench({"things": world}) as b:
        await b.follow(Thing(), A)
        for value in range(100):
            world.set(Thing(), value)
        await b.told()
        assert (len(world.looked), b.woken) == (2, [A.service])


async def test_first_answers_do_not_wake_those_who_wait_for_them(bench, world):
    async with bench({"things": world}) as b:
        b.hub.follow(A, [Thing()])
        b.hub.follow(B, [Thing()])
        await b.get(Thing(), A)
        assert b.woken == [B.service]  # it did not wait: its pass went on without the answer


async def test_touched_makes_the_next_answer_a_new_look_for_that_service_only(bench, world):
    async with bench({"things": world}) as b:
        await b.follow(Thing(), A)
        await b.follow(Thing("other"), B)
        world.values = {Subject(Thing()): 5, Subject(Thing("other")): 6}
        b.hub.touched(A, ("things:whatever",))
        assert await b.get(Thing(), A) == 5
        assert await b.get(Thing("other"), B) == 0
        assert await b.get(Thing("other"), Owner(A.service, "y#1")) == 6  # all of its resources


async def test_a_look_that_began_before_the_touch_is_not_enough(bench, world):
    async with bench({"things": world}) as b:
        await b.follow(Thing(), A)
        world.gate.clear()
        world.begun.clear()
        world.desk.changed()
        await world.begun.wait()
        world.values[Subject(Thing())] = 9
        b.hub.touched(A, ("things",))
        asked = asyncio.create_task(b.get(Thing(), A))
        await asyncio.sleep(0)
        world.gate.set()
        assert await asked == 9


async def test_never_two_looks_at_one_thing_at_once(bench, world):
    async with bench({"things": world}) as b:
        await b.follow(Thing(), A)
        world.gate.clear()
        world.begun.clear()
        world.desk.changed()
        await world.begun.wait()
        for _ in range(3):
            world.desk.changed()
            b.hub.touched(A, ("things",))
            await asyncio.sleep(0.01)
        assert len(world.looked) == 2
        world.gate.set()
        assert await b.get(Thing(), A) == 0


async def test_answer_ends_though_events_never_do(bench, world):
    async with bench({"things": world}) as b:

        async def storm():
            while True:
                world.desk.changed()
                await asyncio.sleep(0)

        blowing = asyncio.create_task(storm())
        try:
            assert await b.get(Thing()) == 0
        finally:
            blowing.cancel()


async def test_a_cancelled_pass_leaves_the_answer_to_the_others(bench, world):
    async with bench({"things": world}) as b:
        world.gate.clear()
        one, other = asyncio.create_task(b.get(Thing(), A)), asyncio.create_task(b.get(Thing(), B))
        await world.begun.wait()
        one.cancel()
        world.gate.set()
        assert await other == 0


async def test_a_failing_source_is_unknown_and_recovers_by_itself(bench, world):
    async with bench({"things": world}) as b:
        await b.follow(Thing(), A)
        world.broken = RuntimeError("no luck")
        world.desk.changed()
        await b.told()
        assert b.hub.known(A, Thing()) == Failed("no luck")
        assert b.hub.statistics()["things"].failing == 1
        world.broken = None
        b.woken.clear()
        await b.told(within=3)
        assert b.hub.known(A, Thing()) == 0
        stats = b.hub.statistics()["things"]
        assert (stats.failing, stats.failures >= 1, stats.last_success > 0) == (0, True, True)


async def test_a_source_that_reports_nothing_is_failed_not_waited_for(bench):
    class Silent(Base):
        async def look(self, subjects):
            return

    async with bench({"things": Silent(None)}) as b:
        assert isinstance(await b.get(Thing()), Failed)


async def test_an_event_between_the_answer_and_the_end_of_a_look_costs_nothing(bench):
    """The first look ends while the second one, for the event, is under way."""

    class Slow(Base):
        def __init__(self):
            super().__init__(None)
            self.looks, self.ended = 0, asyncio.Event()

        async def look(self, subjects):
            self.looks += 1
            first = self.looks == 1
            if not first:
                self.ended.set()
                await asyncio.sleep(0.05)
            self.desk.report(dict.fromkeys(subjects, self.looks))
            if first:
                self.desk.changed()
                async with asyncio.timeout(2):
                    await self.ended.wait()

    source = Slow()
    async with bench({"things": source}) as b:
        b.hub.follow(A, [Thing()])
        assert await b.get(Thing()) in (1, 2)
        async with asyncio.timeout(2):
            await source.ended.wait()
        await asyncio.sleep(0.01)
        assert not isinstance(b.hub.known(A, Thing()), Failed)


async def test_an_ask_that_nobody_answers_is_failed(bench):
    async with bench({}) as b:
        assert await b.get(Thing()) == Failed("nothing here answers 'things'")


async def test_the_periodic_look_notices_without_any_event(bench):
    world = World(every=0.2)
    async with bench({"things": world}, look_every=0.2) as b:
        await b.follow(Thing(), A)
        world.values[Subject(Thing())] = 3
        await b.told(within=1)
        assert b.hub.known(A, Thing()) == 3


async def test_followed_by_nobody_it_is_forgotten_and_looked_at_no_more(bench):
    world = World(every=0.05)
    forgotten = []
    world.forget = forgotten.extend
    async with bench({"things": world}, look_every=0.05) as b:
        await b.follow(Thing(), A)
        b.hub.follow(A, ())
        looks = len(world.looked)
        await asyncio.sleep(0.2)
        assert (len(world.looked), forgotten) == (looks, [Subject(Thing())])
        assert b.hub.statistics()["things"].subjects == 0


async def test_what_was_only_asked_in_passing_is_not_kept(bench):
    world = World(every=0.05)
    async with bench({"things": world}, look_every=0.05) as b:
        await b.get(Thing())
        await asyncio.sleep(0.3)
        assert b.hub.statistics()["things"].subjects == 0
        assert len(world.looked) == 1


async def test_a_costly_ask_is_not_looked_at_until_it_is_asked(bench):
    world = World(every=0.05)
    async with bench({"things": world}, look_every=0.05) as b:
        b.hub.follow(A, [Costly()])
        world.desk.changed()
        await asyncio.sleep(0.4)
        assert world.looked == []


async def test_a_costly_answer_that_was_touched_is_not_known_any_more(bench, world):
    async with bench({"things": world}) as b:
        await b.follow(Costly(), A)
        assert b.hub.known(A, Costly()) == 0
        b.hub.touched(A, ("things",))
        assert b.hub.known(A, Costly()) is NOT_YET


async def test_an_event_during_the_look_does_not_take_a_costly_answer_away(bench, world):
    async with bench({"things": world}) as b:
        b.hub.follow(A, [Costly()])
        world.gate.clear()
        asked = asyncio.create_task(b.get(Costly()))
        await world.begun.wait()
        world.set(Costly(), 8)
        world.gate.set()
        assert await asked in (0, 8)
        assert await b.until(Costly(), lambda answer: answer == 8)


async def test_a_costly_answer_read_long_ago_is_not_known_after_an_event(bench, monkeypatch, world):
    monkeypatch.setattr(desk, "LATELY", 0.0)
    async with bench({"things": world}) as b:
        await b.follow(Costly(), A)
        looks = len(world.looked)
        world.desk.changed()
        await asyncio.sleep(0.3)
        assert (b.hub.known(A, Costly()), len(world.looked)) == (NOT_YET, looks)
        assert await b.get(Costly()) == 0


async def test_what_was_touched_of_a_service_is_looked_at_all_at_once(bench, world):
    """Not one resource after another; what nobody touched is not looked at."""
    mine, other = Owner(A.service, "y#0"), Thing("other")
    async with bench({"things": world}) as b:
        await b.follow(Thing(), A)
        await b.follow(other, mine)
        assert b.hub.begin(A.service, dict) is b.hub.begin(B.service, dict)
        looks = len(world.looked)
        b.hub.touched(A, ("things",))
        read = b.hub.begin(A.service, lambda: {A: [Thing()], mine: [other]})
        await b.get(Thing(), A)
        read(A)
        await b.get(other, mine)
        read(mine)
        assert [set(look) for look in world.looked[looks:]] == [{Subject(Thing()), Subject(other)}]
        assert b.woken == []


async def test_what_differs_after_it_was_read_wakes_though_the_rest_of_the_pass_still_looks(bench, world):
    mine, other = Owner(A.service, "y#0"), Thing("other")
    async with bench({"things": world}) as b:
        await b.follow(Thing(), A)
        await b.follow(other, mine)
        b.hub.touched(A, ("things",))
        read = b.hub.begin(A.service, lambda: {A: [Thing()], mine: [other]})
        await b.get(Thing(), A)
        read(A)
        world.set(other, 5)  # not read yet: it need not be told
        assert await b.quiet()
        world.set(Thing(), 5)
        await b.told(A.service)
        read(mine)


async def test_no_look_is_begun_once_the_hub_closes(bench, world):
    """It would be left pending when the loop ends."""
    async with bench({"things": world}) as b:
        asked = asyncio.create_task(b.get(Thing()))
        await asyncio.sleep(0)
        await world.desk.close()
        await asyncio.sleep(0.05)
        assert world.looked == []
        asked.cancel()


async def test_follow_replaces_what_was_followed(bench, world):
    async with bench({"things": world}) as b:
        await b.follow(Thing("old"), A)
        await b.follow(Thing("new"), A)
        world.set(Thing("old"), 1)
        assert await b.quiet(0.1)
        world.set(Thing("new"), 1)
        await b.told()


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (BlockDevice("{disk#1.exposed_devs[0]}"), None),
        (Signatures("/dev/{x}"), None),
        (File("{fs#1.mnt}/x"), None),
        (Addresses("{ip#0.dev}"), ()),
        (AddressHeld("{ip#0.name}"), ()),
        (Name("{ip#0.name}"), Failed("{ip#0.name} is not known yet")),
        (MountHealth("{fs#0.mnt}"), Failed("{fs#0.mnt} is not known yet")),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_text_with_an_unresolved_reference_is_not_there(bench, ask, answer):
    async with bench({}) as b:
        assert b.hub.known(A, ask) == answer
        assert await b.get(ask) == answer
        b.hub.follow(A, [ask])
        b.hub.follow(A, [])


async def test_memory_is_read_anew_when_touched(bench):
    kept = {"started": "1"}
    async with bench({"memory": Lookup(lambda s: dict(kept)), "node": Lookup(lambda _: "n1")}) as b:
        assert await b.follow(Memory(), A) == {"started": "1"}
        assert await b.get(Node()) == "n1"
        kept["started"] = "2"
        b.hub.touched(A, ("memory",))
        assert await b.get(Memory()) == {"started": "2"}


def test_a_fact_knows_who_follows_it_one_or_many():
    """Most have one follower, and no set is kept for it."""
    fact, owners = Fact.fixed(Subject(Thing("a")), "x"), [Owner(f"root/{n}", "fs#0") for n in range(3)]
    for owner in (owners[0], owners[0], *owners):
        fact.follow(owner)
    assert sorted(o.service for o in fact.followers) == ["root/0", "root/1", "root/2"]
    for left, owner in zip((2, 1, 0), owners, strict=True):
        fact.unfollow(owner)
        fact.unfollow(Owner("root/none"))
        assert len(fact.followers) == left
    fact.follow(owners[0])
    assert list(fact.followers) == [owners[0]]


def test_a_fact_knows_who_waits_for_it_and_how_often():
    fact, other = (Fact.fixed(Subject(Thing(name)), "x") for name in "ab")
    for _ in range(2):
        fact.begin_wait("root/a")
    assert "root/a" in fact.waiting
    assert not other.waiting
    fact.end_wait("root/a")
    assert "root/a" in fact.waiting
    fact.end_wait("root/a")
    assert not fact.waiting
