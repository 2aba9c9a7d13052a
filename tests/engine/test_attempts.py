"""Starts that fail, and what follows: pauses, a person's word, a freeze in the middle."""

import asyncio

import pytest

from reconciler.model import Observed, State
from tests.engine.rig import KEY, Rig, res, service, simulate


def test_a_person_is_heard_at_once_after_a_failed_start():
    async def story(rig):
        rig.world.fails.add("start app#0")
        rig.put(service(res("app#0", restart=0)))
        await asyncio.sleep(1)
        assert rig.records[KEY].decision.code == "StartFailed"
        rig.world.fails.clear()
        await rig.ask("start")
        await rig.settled(within=0.5)
        assert rig.world.state("app#0") is State.UP

    simulate(story)


@pytest.mark.parametrize("word", ["start", "clear"])
def test_a_word_ends_the_row_of_failed_starts(word):
    async def story(rig):
        rig.world.fails.add("start app#0")
        rig.put(service(res("app#0", restart=0)))
        await asyncio.sleep(100)
        assert rig.records[KEY].attempt.failures >= 3
        await rig.ask(word)
        await asyncio.sleep(1)
        assert rig.records[KEY].attempt.failures == 1

    simulate(story)


def test_a_word_from_before_the_failure_does_not_speed_things_up():
    async def story(rig):
        rig.world.fails.add("start app#0")
        rig.put(service(res("app#0", restart=0), state="stopped"))
        await rig.settled()
        await rig.ask("restart")
        await asyncio.sleep(100)
        assert 3 <= rig.world.done.count("start app#0") <= 8

    simulate(story)


def test_clearing_a_part_forgets_nothing_of_the_rest():
    async def story(rig):
        rig.put(service(res("app#0"), res("app#1", subset="x")))
        await rig.settled()
        await rig.ask("stop")
        await rig.settled()
        await rig.ask("clear", rids=["app#0"])
        await rig.settled()
        assert rig.world.state("app#0") is State.DOWN
        assert rig.desk.asked(KEY).standing.verb == "stop"

    simulate(story)


def test_what_is_gone_leaves_nothing_behind():
    async def story(rig):
        rig.put(service(res("fs#0")))
        await rig.settled()
        rig.delete()
        await asyncio.sleep(100)
        assert rig.records == rig.queue.failures == rig.queue._timers == {}

    simulate(story)


def test_a_freeze_that_ended_refuses_nothing():
    async def story(rig):
        rig.put(service(res("fs#0")))
        await rig.settled()
        await rig.wishes.ask_node({"verb": "freeze", "for": 5}, "alice")
        await asyncio.sleep(6)
        await rig.ask("stop")
        await rig.settled()
        assert rig.world.state("fs#0") is State.DOWN

    simulate(story)


def test_nothing_is_begun_once_the_agent_ends():
    """A pass that was looking when it was told so."""

    async def story(rig):
        rig.put(service(res("fs#0")))
        await asyncio.sleep(0.0005)
        rig.reconciler.halted = True
        await asyncio.sleep(1)
        assert rig.world.done == []

    simulate(story)


def test_a_restart_of_the_agent_gives_no_new_budget():
    """What `restart: 0` left alone stays so; what was counted stays counted, until the next boot."""

    async def story(rig):
        rig.put(service(res("app#0", restart=0)))
        await asyncio.sleep(2)  # no longer young: what happens now is a loss
        rig.change("app#0", Observed(State.DOWN))
        await rig.passes(5)
        assert rig.world.state("app#0") is State.DOWN
        await rig.crash()
        later = await Rig(rig.world, rig.store).start()
        later.put(service(res("app#0", restart=0)))
        await later.passes(60)
        assert rig.world.state("app#0") is State.DOWN
        assert "restart: 0" in later.waiting()["app#0"]
        await later.crash()
        booted = await Rig(rig.world, rig.store, boot="another").start()
        booted.put(service(res("app#0", restart=0)))
        await booted.settled()
        assert rig.world.state("app#0") is State.UP
        await booted.crash()

    simulate(story)


def test_a_part_stopped_on_purpose_keeps_nothing_else_from_being_repaired():
    async def story(rig):
        rig.put(service(res("ip#0"), res("app#0"), res("app#1"), res("app#2", "app#0")))
        await rig.settled()
        await rig.ask("stop", rids=["app#0", "app#2", "ip#0"])
        await rig.settled()
        rig.change("app#1", Observed(State.DOWN))
        await asyncio.sleep(5)
        assert rig.world.state("app#1") is State.UP
        await rig.ask("start", rids=["app#2"])  # which stands on app#0
        await asyncio.sleep(5)
        assert rig.waiting() == {"app#2": "waits for app#0"}
        assert rig.world.state("ip#0") is State.DOWN

    simulate(story)
