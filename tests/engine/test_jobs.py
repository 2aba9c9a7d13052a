"""What hangs keeps its own service waiting, and no other."""

import asyncio
from dataclasses import replace

from reconciler.model import State
from tests.engine.rig import res, service, simulate


def test_jobs_that_hang_do_not_keep_another_service_waiting():
    async def story(rig):
        many = [res(f"fs#{number}") for number in range(40)]
        rig.world.hangs = {f"start fs#{number}": asyncio.Event() for number in range(40)}
        rig.put(service(*many))
        await asyncio.sleep(1)
        rig.put(replace(service(res("fs#0", thing="other")), name="other"))
        await asyncio.sleep(6)
        assert rig.world.state("other") is State.UP
        for event in rig.world.hangs.values():
            event.set()
        await rig.settled()
        assert all(rig.world.state(r.rid) is State.UP for r in many)
        assert rig.jobs._slow == 0
        assert rig.jobs._slots._value == 32

    simulate(story)
