"""What is destroyed and made: only by word, never twice without a pause, never on a guess."""

import asyncio

import pytest

from reconciler.decide.turn import alone
from reconciler.errors import NeedsPerson
from reconciler.model import Goal, Observed, State
from tests.engine.rig import KEY, MADE, UNMADE, Rig, res, service, simulate

STACK = (res("disk#0"), res("fs#0", "disk#0"), res("app#0"))
THERE = {"disk#0": MADE, "fs#0": MADE}


async def up(rig: Rig) -> None:
    rig.put(service(*STACK))
    await rig.settled()


def test_a_part_is_destroyed_alone():
    async def story(rig):
        await up(rig)
        await rig.ask("unprovision", rids=["fs#0"])
        await asyncio.sleep(1000)  # also when the wish is long forgotten
        assert [line for line in rig.world.done if "destroy" in line or "create" in line] == [
            "destroy fs#0"
        ]
        assert rig.world.state("disk#0") is State.UP

    simulate(story, **THERE)


def test_a_purge_is_for_the_whole():
    async def story(rig):
        await up(rig)
        with pytest.raises(NeedsPerson, match="unprovision --rid fs#0"):
            await rig.ask("purge", rids=["fs#0"])

    simulate(story, **THERE)


@pytest.mark.parametrize("how", ["fails", "lies"])
def test_what_cannot_be_destroyed_is_tried_ever_more_slowly(how):
    async def story(rig):
        await up(rig)
        getattr(rig.world, how).add("destroy fs#0")
        await rig.ask("unprovision")
        await asyncio.sleep(100)
        tried = rig.world.done.count("destroy fs#0")
        assert 3 <= tried <= 10
        assert "stuck" in rig.waiting()["fs#0"]
        assert rig.world.state("disk#0") is State.UP
        getattr(rig.world, how).clear()
        await asyncio.sleep(190)
        assert rig.world.done[-3:] == ["destroy fs#0", "stop disk#0", "destroy disk#0"]

    simulate(story, **THERE)


def test_what_was_made_and_is_not_there_is_not_made_again_at_once():
    async def story(rig):
        rig.world.lies.add("create disk#0")
        rig.put(service(res("disk#0")))
        await asyncio.sleep(100)
        await rig.ask("provision")  # which may make it anew
        await asyncio.sleep(100)
        tried = rig.world.done.count("create disk#0")
        assert 2 <= tried <= 20

    simulate(story, **{"disk#0": UNMADE})


def test_a_freeze_in_the_middle_of_a_purge_ends_it():
    """Whoever stops it with a freeze does not find his data destroyed by the thaw."""

    async def story(rig):
        await up(rig)
        rig.world.hangs["stop app#0"] = asyncio.Event()
        await rig.ask("purge")
        await asyncio.sleep(1)
        await rig.ask("freeze")
        rig.world.hangs["stop app#0"].set()
        await rig.settled()
        assert rig.discarded == []
        assert "destroy fs#0" not in rig.world.done
        await rig.ask("thaw")
        await rig.settled()
        assert rig.discarded == []
        assert not any(done.startswith("destroy") for done in rig.world.done)
        await rig.ask("purge")
        await rig.settled()
        assert rig.discarded == [KEY]
        assert rig.world.done[-1] == "destroy disk#0"

    simulate(story, **THERE)


def test_a_frozen_service_whose_document_goes_is_kept_until_it_is_thawed():
    async def story(rig):
        rig.put(service(*STACK, on_delete="purge"))
        await rig.settled()
        await rig.ask("stop")
        await rig.settled()
        await rig.ask("freeze")
        rig.delete()
        await rig.settled()
        assert rig.desk.asked(KEY).frozen
        assert "destroy fs#0" not in rig.world.done
        await rig.ask("thaw")
        await rig.settled()
        assert rig.world.done[-1] == "destroy disk#0"
        assert KEY not in rig.records

    simulate(story, **THERE)


@pytest.mark.parametrize(
    "disk",
    [
        pytest.param(Observed(State.ELSEWHERE, holder="n2", provisioned=True), id="another host has it"),
        pytest.param(None, id="nobody can tell"),
    ],
)
def test_nothing_is_destroyed_that_another_host_may_be_using(disk):
    async def story(rig):
        if disk is None:
            rig.world.blind.add("disk#0")
        rig.put(service(*STACK, state="stopped"))
        await rig.settled()
        await rig.ask("unprovision")
        await rig.settled()
        assert rig.world.done == []
        assert "destroyed" in rig.waiting()["fs#0"]

    simulate(story, **{"disk#0": disk or MADE, "fs#0": MADE})


def test_what_an_edit_took_out_is_stopped_and_never_destroyed():
    async def story(rig):
        await up(rig)
        rig.world.hangs["stop fs#0"] = asyncio.Event()
        rig.put(service(res("disk#0", thing="other"), on_delete="purge"))
        await asyncio.sleep(1)
        rig.delete()
        await asyncio.sleep(1)
        rig.world.hangs["stop fs#0"].set()
        await rig.settled()
        assert KEY not in rig.records
        assert rig.world.state("disk#0") is State.DOWN
        assert not [line for line in rig.world.done if line in ("destroy fs#0", "destroy disk#0")]

    simulate(story, **THERE)


def test_what_was_destroyed_is_not_remembered_by_a_look_from_before():
    async def story(rig):
        await up(rig)
        await rig.ask("unprovision")
        for _ in range(200):  # a pass at every moment of it
            rig.wake()
            await asyncio.sleep(0.0007)
        await rig.settled()
        await rig.ask("start")
        await rig.settled()
        assert rig.world.done.count("create fs#0") == 1
        assert rig.world.state("app#0") is State.UP

    simulate(story, **THERE)


def test_what_is_gone_is_not_made_anew_because_its_document_was_away():
    async def story(rig):
        await up(rig)
        rig.delete()
        await rig.settled()
        assert KEY not in rig.records
        rig.world.things["disk#0"] = UNMADE
        rig.put(service(*STACK))
        await rig.settled()
        assert "create disk#0" not in rig.world.done
        assert "provision --rid disk#0" in rig.waiting()["disk#0"]

    simulate(story, **THERE)


def test_what_was_purged_is_made_anew():
    async def story(rig):
        rig.put(service(*STACK, on_delete="purge"))
        await rig.settled()
        rig.delete()
        await rig.settled()
        rig.put(service(*STACK))
        await rig.settled()
        assert rig.world.state("app#0") is State.UP
        assert rig.world.done.count("create disk#0") == 1

    simulate(story, **THERE)


@pytest.mark.parametrize("verb", ["abort", "freeze"])
def test_a_word_taken_back_during_a_look_begins_nothing(verb):
    """However long the look takes: who was told that it is taken back may rely on it."""

    async def story(rig):
        await up(rig)
        await rig.ask("stop")
        await rig.settled()
        asking = asyncio.create_task(rig.ask("purge"))
        await asyncio.sleep(0.0005)
        assert rig.queue._busy
        await rig.ask(verb)
        await asking
        await rig.settled()
        assert "destroy fs#0" not in rig.world.done
        assert rig.discarded == []

    simulate(story, **THERE)


def test_a_word_taken_back_reaches_what_waits_for_its_turn():
    async def story(rig):
        await up(rig)
        await rig.ask("stop")
        await rig.settled()
        rig.jobs._slots = asyncio.Semaphore(0)
        await rig.ask("unprovision")
        await asyncio.sleep(1)
        assert rig.jobs.running
        await rig.ask("abort")
        await asyncio.sleep(1)
        rig.jobs._slots.release()
        await rig.settled()
        assert "destroy fs#0" not in rig.world.done

    simulate(story, **THERE)


class Together:
    """Of a host whose claim takes a while: meanwhile its document is removed, and is back as it was."""

    def __init__(self, record):
        self.record = record

    async def turn(self, record, wanted, asked):
        record.deleted = True
        asyncio.get_running_loop().call_soon(setattr, record, "deleted", False)
        await asyncio.sleep(0)
        record.deleted = True
        asyncio.get_running_loop().call_soon(setattr, record, "deleted", False)
        return alone(wanted, asked), None

    def apart(self, key, seen):
        return seen

    def frozen(self):
        return None

    async def settle(self, record, made, turn):
        """Nothing is claimed."""

    def again_in(self, key, turn):
        return 0.0


def test_a_document_that_is_gone_and_back_during_a_pass_is_none_of_it():
    """The pass went on with the document, and with what is to go where there is none (seed 595665)."""

    async def story(rig):
        await up(rig)
        ((key, record),) = rig.records.items()
        rig.reconciler.together = Together(record)
        rig.queue.add(key)
        await asyncio.sleep(1)
        rig.reconciler.together = None
        assert set(record.goals.values()) == {Goal.UP}

    simulate(story, **THERE)
