"""A service at rest is passed over rarely: what differs calls for a pass by itself."""

import asyncio

from reconciler.model import Observed, State
from tests.engine.rig import DOWN, KEY, res, service, simulate


def test_at_rest_a_pass_is_rare():
    async def story(rig):
        rig.put(service(res("fs#0"), res("app#0")))
        await rig.settled()
        await asyncio.sleep(100)
        assert await rig.passes(3000) in (9, 10, 11)

    simulate(story)


def test_what_cannot_be_looked_at_is_looked_at_again_soon():
    async def story(rig):
        rig.put(service(res("fs#0")))
        await rig.settled()
        rig.world.blind.add("fs#0")
        rig.wake()
        await rig.settled()
        assert await rig.passes(300) >= 9

    simulate(story)


def test_a_failure_that_is_still_counted_is_forgotten_in_time():
    """A loss long after the last one must not find its budget spent."""

    async def story(rig):
        rig.put(service(res("app#0", restart=1)))
        await rig.settled()
        await asyncio.sleep(400)
        rig.change("app#0", DOWN)
        await rig.settled()
        await asyncio.sleep(150)
        budget = rig.records[KEY].budgets.get("app#0")
        assert budget is None or budget.failures == 0
        assert await rig.passes(3000) in (9, 10, 11), "and then it is at rest again"

    simulate(story)


def test_what_waits_is_not_at_rest():
    async def story(rig):
        rig.put(service(res("fs#0"), res("app#0", "fs#0")))
        rig.change("fs#0", Observed(State.ELSEWHERE, holder="n2"))
        await rig.settled()
        assert rig.waiting()
        assert await rig.passes(300) >= 9

    simulate(story)


def test_a_freeze_of_the_node_ends_in_time():
    async def story(rig):
        rig.put(service(res("fs#0")))
        await rig.settled()
        await rig.wishes.ask_node({"verb": "freeze", "for": 60.0}, "alice")
        rig.wake()
        await rig.settled()
        rig.world.things["fs#0"] = DOWN
        await asyncio.sleep(120)
        assert rig.world.state("fs#0") is State.UP

    simulate(story)
