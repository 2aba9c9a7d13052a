"""Documents that change, and things that go, while a service is up or on its way."""

import asyncio
from dataclasses import replace

import pytest

from reconciler.model import Observed, State
from tests.engine.rig import DOWN, KEY, MADE, UNMADE, res, service, simulate

DISK = replace(DOWN, exposes={"exposed_devs": ("/dev/x",)})
LATE = (res("disk#0"), res("fs#0", "disk#0", thing="on {disk#0.exposed_devs[0]}"), res("app#0"))


def test_what_does_not_stand_on_an_edited_thing_stays_up():
    async def story(rig):
        rig.put(service(res("ip#0"), res("app#0")))
        await rig.settled()
        rig.put(service(res("ip#0", thing="other"), res("app#0")))
        await rig.settled()
        assert rig.world.done == ["start ip#0", "start app#0", "stop ip#0", "start other"]

    simulate(story)


def test_what_left_the_document_does_not_wait_for_what_does_not_stand_on_it():
    async def story(rig):
        rig.put(service(res("ip#0"), res("app#0")))
        await rig.settled()
        rig.put(service(res("app#0")))
        await rig.settled()
        assert rig.world.done == ["start ip#0", "start app#0", "stop ip#0"]

    simulate(story)


def test_what_stands_on_an_edited_thing_goes_down_first():
    async def story(rig):
        rig.put(service(res("fs#0"), res("app#0", "fs#0")))
        await rig.settled()
        rig.put(service(res("fs#0", thing="other"), res("app#0", "fs#0")))
        await rig.settled()
        assert rig.world.done[2:] == ["stop app#0", "stop fs#0", "start other", "start app#0"]

    simulate(story)


def test_a_stop_does_not_pass_by_what_refers_to_what_cannot_be_looked_at():
    """The disk cannot be looked at: the filesystem on it is still the one that was mounted."""

    async def story(rig):
        rig.put(service(*LATE))
        await rig.settled()
        rig.world.blind.add("disk#0")
        await rig.ask("stop")
        await asyncio.sleep(5)
        assert rig.world.done[-2:] == ["stop app#0", "stop on /dev/x"]
        rig.world.blind.clear()
        rig.wake()
        await rig.settled()
        assert rig.world.done[-1] == "stop disk#0"

    simulate(story, **{"disk#0": DISK})


def test_what_refers_to_what_cannot_be_looked_at_is_not_lost():
    async def story(rig):
        rig.put(service(*LATE))
        await rig.settled()
        rig.world.blind.add("disk#0")
        rig.wake()
        await rig.settled()
        assert rig.records[KEY].seen["fs#0"].state is State.UP
        assert not [event for event in rig.events if event.reason == "Lost"]

    simulate(story, **{"disk#0": DISK})


def test_what_was_never_applied_and_refers_to_what_cannot_be_looked_at_is_unknown():
    async def story(rig):
        rig.world.blind.add("disk#0")
        rig.put(service(*LATE))
        await rig.settled()
        assert rig.records[KEY].seen["fs#0"].state is State.UNKNOWN
        assert rig.world.done == []

    simulate(story, **{"disk#0": DISK})


@pytest.mark.parametrize(
    ("identity", "stopped"),
    [
        pytest.param("41:7:0", True, id="ours is still there: it is stopped"),
        pytest.param("", False, id="only the name is: it may be another's"),
    ],
)
def test_what_stood_on_what_is_gone(identity, stopped):
    async def story(rig):
        rig.put(service(*LATE))
        await rig.settled()
        rig.world.things["disk#0"] = Observed(State.DOWN, blocked="pulled")
        rig.world.things["on /dev/x"] = Observed(State.WARN, identity=identity)
        await rig.ask("stop")
        await asyncio.sleep(5)
        assert ("stop on /dev/x" in rig.world.done) is stopped

    simulate(story, **{"disk#0": DISK})


@pytest.mark.parametrize("thing", ["fs#0", "other"], ids=["as it was", "edited in the same stroke"])
def test_what_is_disabled_is_not_touched_any_more(thing):
    async def story(rig):
        rig.put(service(res("fs#0")))
        await rig.settled()
        rig.put(service(res("fs#0", thing=thing, disable=True)))
        await rig.settled()
        await rig.ask("stop")
        await rig.settled()
        rig.delete()
        await rig.settled()
        assert rig.world.done == ["start fs#0"]
        assert KEY not in rig.records

    simulate(story)


def test_a_wish_is_not_fulfilled_by_what_is_down_only_to_come_up_again():
    async def story(rig):
        rig.put(service(res("fs#0"), res("app#0", "fs#0")))
        await rig.settled()
        rig.world.hangs["stop fs#0"] = asyncio.Event()
        rig.put(service(res("fs#0", thing="other"), res("app#0", "fs#0")))
        await asyncio.sleep(1)
        await rig.ask("provision")  # for the new one: what the memory of the old one forbids
        rig.world.hangs["stop fs#0"].set()
        await rig.settled()
        assert "create other" in rig.world.done
        assert rig.world.state("app#0") is State.UP

    simulate(story, **{"fs#0": MADE, "other": UNMADE})
