"""What hangs keeps its own service waiting, and no other."""

import asyncio
from dataclasses import replace

from reconciler.adapters.store_memory import MemoryStore
from reconciler.model import Observed, State
from tests.engine.rig import KEY, res, service, simulate


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


class Slow(MemoryStore):
    """Keeps nothing before it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def commit(self, compare, puts, deletes=()):
        await self.gate.wait()
        return await super().commit(compare, puts, deletes)


def test_nothing_is_begun_before_its_document_is_kept():
    """Killed right after its first operation, and edited before the next one looks: it is known."""

    async def story(rig):
        store = Slow()
        rig.desk._store = store
        rig.desk.put_document(KEY, {"path": "svc.yaml"})
        rig.put(service(res("fs#0")))
        await asyncio.sleep(0.5)
        assert rig.world.done == []
        store.gate.set()
        await asyncio.sleep(0.005)
        assert rig.world.done == ["start fs#0"]
        await rig.crash()
        assert f"nodes/n1/document/{KEY}" in (await store.read("")).entries

    simulate(story)


def test_what_an_edit_replaces_is_forgotten_for_good_before_the_new_one_is_begun():
    async def story(rig):
        rig.put(service(res("fs#0", thing="/old")))
        await rig.settled()
        rig.desk._store = store = Slow()
        rig.put(service(res("fs#0", thing="/new")))
        await asyncio.sleep(0.5)
        assert rig.world.done == ["start /old", "stop /old"]
        store.gate.set()
        await rig.settled()
        assert rig.world.done[2:] == ["start /new"]

    simulate(story)


def test_a_store_that_hangs_keeps_nothing_down_and_no_repair_waiting():
    async def story(rig):
        rig.put(service(res("fs#0")))
        await rig.settled()
        rig.desk._store = Slow()
        rig.change("fs#0", Observed(State.DOWN))
        await asyncio.sleep(0.6)  # its restart_delay is half a second
        assert rig.world.state("fs#0") is State.UP
        rig.desk.put_document(KEY, {"path": "svc.yaml"})
        rig.put(service(res("fs#0"), res("fs#1")))
        await asyncio.sleep(1.1)
        assert rig.world.state("fs#1") is State.UP

    simulate(story)


def test_nothing_is_started_on_what_went_while_its_start_waited():
    """Its filesystem was lost while the guard did not answer: it would write below the mount point."""

    async def story(rig):
        asked, answer = [], asyncio.Event()

        async def gate(owner, operation):
            asked.append(f"{operation}")
            if f"{operation}" == "start app#0":
                await answer.wait()
            return ""

        rig.jobs.gate = gate
        rig.put(service(res("fs#0"), res("app#0", "fs#0")))
        await asyncio.sleep(1)
        assert asked == ["start fs#0", "start app#0"]
        rig.change("fs#0", Observed(State.DOWN))
        await asyncio.sleep(0.1)
        answer.set()
        await rig.settled()
        assert rig.world.done == ["start fs#0", "start fs#0", "start app#0"]

    simulate(story)
