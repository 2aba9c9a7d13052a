"""A part of a service taken down by a person, and what stands on it."""

import asyncio

import pytest

from reconciler.errors import NeedsPerson
from reconciler.model import State
from tests.engine.rig import KEY, res, service, simulate

SITE = service(res("fs#0"), res("app#0", "fs#0"), res("app#1", subset="x"))


def test_a_restart_takes_down_what_stands_on_it_first_and_brings_it_back():
    async def story(rig):
        rig.put(SITE)
        await rig.settled()
        rig.world.done.clear()
        await rig.ask("restart", rids=["fs#0"])
        await rig.settled(within=5)
        assert rig.world.done == ["stop app#0", "stop fs#0", "start fs#0", "start app#0"]
        assert rig.desk.asked(KEY).ended.state == "fulfilled"

    simulate(story)


def test_a_restart_is_done_when_what_stands_on_it_is_back():
    async def story(rig):
        rig.put(SITE)
        await asyncio.sleep(5)  # it has come up, and proved to stay
        rig.world.fails.add("start app#0")
        await rig.ask("restart", rids=["fs#0"])
        await asyncio.sleep(20)
        assert rig.world.state("fs#0") is State.UP
        assert rig.desk.asked(KEY).wish.phase == "up"
        rig.world.fails.clear()
        await asyncio.sleep(200)
        assert rig.desk.asked(KEY).ended.state == "fulfilled"

    simulate(story)


def test_what_a_person_stopped_stays_so_over_a_restart_of_what_it_stands_on():
    async def story(rig):
        rig.put(SITE)
        await rig.settled()
        await rig.ask("stop", rids=["app#0"])
        await rig.settled()
        await rig.ask("restart", rids=["fs#0"])
        await rig.settled(within=5)
        assert rig.world.state("app#0") is State.DOWN
        assert rig.desk.asked(KEY).ended.wish.verb == "restart"

    simulate(story)


def test_a_stop_of_what_something_stands_on_is_refused_at_once_and_by_force_done():
    async def story(rig):
        rig.put(SITE)
        await rig.settled()
        with pytest.raises(NeedsPerson, match="--rid app#0,fs#0"):
            await rig.ask("stop", rids=["fs#0"])
        assert not rig.desk.asked(KEY).stopped
        rig.world.done.clear()
        await rig.ask("stop", rids=["fs#0"], force=True)
        await rig.settled(within=5)
        assert rig.world.done == ["stop fs#0"]

    simulate(story)
