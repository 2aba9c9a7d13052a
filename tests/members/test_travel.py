"""Documents in the store and on the shelf: what is applied, what waits, what is never lost."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from reconciler.decide import keys
from reconciler.decide.sessions import Level
from reconciler.engine.record import Record
from reconciler.engine.travel import NOT_UNDERSTOOD, Offer, Shared, Travel, read, written
from reconciler.model import Resource, Service
from tests.members.rig import Bed, Node, play
from tests.members.shelf import Shelf

KEY = "root/web"
nap = asyncio.sleep


def web(address: str, generation: str) -> Service:
    resource = Resource("ip#0", "ip.fake", {"name": address})
    return Service("web", resources=(resource,), nodes=("n1", "n2"), generation=generation)


class Driver:
    def exclusive(self, spec: Any) -> tuple[str, ...]:
        return (f"address {spec['name']}",)


class Desk:
    """What was applied from files."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}

    def applied_file(self, key: str) -> str:
        return self.files.get(key, "")

    def put_applied_file(self, key: str, generation: str) -> None:
        self.files[key] = generation


class Host:
    def __init__(self, node: Node) -> None:
        self.node, self.desk, self.shelf = node, Desk(), Shelf()
        self.records: dict[str, Record] = {}
        drivers: Any = {"ip.fake": Driver()}
        self.travel = Travel(node.name, node.cluster, self.desk, drivers, self.records)  # type: ignore[arg-type]
        self.travel.shelf = self.shelf
        self.task = asyncio.create_task(self.travel.run())

    def offer(self, service: Service) -> None:
        self.travel.offer(Offer(service, "/services/web.yaml", "yaml", b""))

    def waits(self) -> str:
        fault = self.travel.fault(KEY, "/services/web.yaml", "g2")
        return fault.what if fault else ""


def two(story: Callable[[Bed, Host, Host], Awaitable[None]]) -> None:
    async def whole(bed: Bed) -> None:
        n1, n2 = bed.node("n1"), bed.node("n2")
        await bed.held(n1, n2)
        hosts = Host(n1), Host(n2)
        try:
            await story(bed, *hosts)
        finally:
            for host in hosts:
                host.task.cancel()
            await asyncio.gather(*(host.task for host in hosts), return_exceptions=True)

    play(whole)


def stored(bed: Bed) -> Shared | None:
    key = keys.document(KEY)
    return read(bed.truth.entries(key)[key].value)


def test_a_document_that_a_later_version_wrote_is_neither_a_removal_nor_overwritten():
    """What is in force stays: taken for removed, the service would be stopped, and purged if it says so."""

    async def story(bed: Bed, n1: Host, n2: Host) -> None:
        n1.records[KEY] = Record(KEY, web("192.0.2.1", "g1"))
        text = json.dumps({**json.loads(written(Shared("n2", "/s", "yaml", "g9", ""))), "new": 1})
        await bed.put(keys.document(KEY), text)
        n1.offer(web("192.0.2.1", "g2"))
        await nap(3)
        assert n1.shelf.gone == []
        assert bed.truth.entries(keys.DOCUMENTS)[keys.document(KEY)].value == text
        assert NOT_UNDERSTOOD in n1.waits()
        assert n1.travel.behind(n1.records[KEY]) == NOT_UNDERSTOOD

    two(story)


def test_who_does_not_know_what_the_others_run_it_by_waits_for_a_stop():
    """n1 runs it; n2 refused that document, and its own file names another address."""

    async def story(bed: Bed, n1: Host, n2: Host) -> None:
        await bed.put(keys.document(KEY), written(Shared("n1", "/s", "yaml", "g1", "")))
        await nap(0.1)
        service = web("192.0.2.1", "g1")
        assert await n1.node.cluster.claim(service, (), Level.LEASE) == ""
        n2.offer(web("192.0.2.2", "g2"))
        await nap(3)
        assert stored(bed) == Shared("n1", "/s", "yaml", "g1", "")
        assert "waits for stop on n1: the document of n1 (/s) is not in force here" in n2.waits()
        await n1.node.cluster.release(KEY)
        await nap(3)
        assert stored(bed).generation == "g2"

    two(story)


def test_a_removed_document_comes_back_once_it_is_stopped():
    """It may name other things than what is still being stopped."""

    async def story(bed: Bed, n1: Host, n2: Host) -> None:
        await bed.put(keys.document(KEY), written(Shared("n1", "/s", "yaml", "g1", "")))
        await nap(0.1)
        assert await n1.node.cluster.claim(web("192.0.2.1", "g1"), (), Level.LEASE) == ""
        await bed.put(keys.document(KEY), written(Shared("n1", "/s", "yaml", "g1", "", deleted=True)))
        await nap(0.1)
        n2.offer(web("192.0.2.2", "g2"))
        await nap(3)
        assert stored(bed).deleted
        assert "waits for stop on n1: it was removed" in n2.waits()
        await n1.node.cluster.release(KEY)
        await nap(3)
        assert not stored(bed).deleted

    two(story)


def test_a_store_that_a_person_accepted_removes_nothing_that_it_never_had():
    """Empty, or restored from before: what is in force stays, and its file is offered anew."""

    async def story(bed: Bed, n1: Host, n2: Host) -> None:
        for host, accepted in ((n1, True), (n2, False)):
            host.task.cancel()
            host.records[KEY] = Record(KEY, web("192.0.2.1", "g1"))
            host.desk.files[KEY] = "g1"
            host.travel.accepted = accepted
            host.task = asyncio.create_task(host.travel.run())
        await nap(1)
        assert n2.shelf.gone == [KEY]  # the store it knows: removed while it was away
        assert n1.shelf.gone == []
        assert not n1.travel.settled(KEY, "g1")

    two(story)
