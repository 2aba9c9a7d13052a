"""Starts that fail, and what follows: pauses, a person's word, a freeze in the middle."""

import asyncio

from reconciler.model import State
from tests.engine.rig import KEY, res, service, simulate


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


def test_a_word_from_before_the_failure_does_not_speed_things_up():
    async def story(rig):
        rig.world.fails.add("start app#0")
        rig.put(service(res("app#0", restart=0), state="stopped"))
        await rig.settled()
        await rig.ask("restart")
        await asyncio.sleep(100)
        assert 3 <= rig.world.done.count("start app#0") <= 8

    simulate(story)
