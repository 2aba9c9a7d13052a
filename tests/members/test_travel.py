"""Documents in the store and on the shelf: what is applied, what waits, what is never lost."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from reconciler.decide import hosts, keys
from reconciler.decide.asked import NOBODY, Asked, Frozen, Wish
from reconciler.decide.asked import read as asked_of
from reconciler.decide.asked import written as asked_text
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
        self.sent: set[str] = set()
        self.said = NOBODY

    def asked(self, key: str) -> Asked:
        return self.said

    def applied_file(self, key: str) -> str:
        return self.files.get(key, "")

    def put_applied_file(self, key: str, generation: str) -> None:
        self.files[key] = generation

    def unsure(self, key: str) -> bool:
        return key in self.sent

    def put_unsure(self, key: str, unsure: bool) -> None:
        (self.sent.add if unsure else self.sent.discard)(key)


class Host:
    def __init__(self, node: Node) -> None:
        self.node, self.desk, self.shelf = node, Desk(), Shelf()
        self.records: dict[str, Record] = {}
        drivers: Any = {"ip.fake": Driver()}
        self.travel = Travel(node.name, node.cluster, self.desk, drivers, self.records)  # type: ignore[arg-type]
        self.travel.shelf, node.cluster.host = self.shelf, self.travel.host
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


def test_the_hosts_that_documents_select_by_are_those_of_the_store():
    async def story(bed: Bed, n1: Host, n2: Host) -> None:
        await nap(1)
        assert n1.shelf.hosts == n2.shelf.hosts == {}
        await bed.put(keys.host("n2"), hosts.written(hosts.Host(labels={"zone": "b"})))
        await bed.put(keys.host("n3"), hosts.written(hosts.Host()))
        await nap(1)
        assert n1.shelf.hosts == n2.shelf.hosts == {"n2": {"zone": "b"}, "n3": {}}
        await bed.truth.commit({}, {}, (keys.host("n3"),))
        await nap(1)
        assert n1.shelf.hosts == n2.shelf.hosts == {"n2": {"zone": "b"}}

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


def test_what_the_store_has_waits_for_what_was_in_force_before():
    """That would be put in force over it, though older; what was removed meanwhile would not be missed."""

    async def story(bed: Bed, n1: Host, n2: Host) -> None:
        n1.task.cancel()
        n1.shelf.loaded.clear()
        n1.desk.files[KEY] = "g1"
        task = asyncio.create_task(n1.travel.run())
        await nap(1)
        n1.records[KEY] = Record(KEY, web("192.0.2.1", "g1"))
        assert n1.shelf.gone == []
        n1.shelf.loaded.set()
        await nap(0.1)
        assert n1.shelf.gone == [KEY]
        task.cancel()

    two(story)


def test_what_was_asked_before_it_was_removed_is_over_but_for_a_freeze():
    """A purge whose end never got to the store would destroy what the next document makes."""
    frozen = Frozen("bob", 1.0)

    async def story(bed: Bed, n1: Host, n2: Host) -> None:
        await bed.put(keys.document(KEY), written(Shared("n1", "/s", "yaml", "g1", "", deleted=True)))
        n1.desk.said = Asked(wish=Wish("purge", "alice", 1.0), frozen=frozen)
        await bed.put(keys.wish(KEY), json.dumps(asked_text(n1.desk.said)))
        await nap(0.1)
        n1.offer(web("192.0.2.1", "g2"))
        await nap(1)
        assert stored(bed).generation == "g2"
        assert asked_of(json.loads(bed.truth.entries(keys.wish(KEY))[keys.wish(KEY)].value)) == Asked(
            frozen=frozen
        )

    two(story)


def test_what_was_orphaned_is_looked_after_again_where_it_is_up():
    async def story(bed: Bed, n1: Host, n2: Host) -> None:
        await bed.put(keys.document(KEY), written(Shared("n1", "/s", "yaml", "g1", "")))
        await nap(0.1)
        service = replace(web("192.0.2.1", "g1"), on_delete="orphan")
        assert await n1.node.cluster.claim(service, (), Level.LEASE) == ""
        await bed.put(keys.document(KEY), written(Shared("n1", "/s", "yaml", "g1", "", deleted=True)))
        n1.records[KEY] = Record(KEY, service, deleted=True)
        await nap(0.1)
        n2.offer(web("192.0.2.1", "g2"))
        await nap(1)
        assert "it was removed" in n2.waits()
        n1.offer(web("192.0.2.1", "g2"))
        await nap(1)
        assert stored(bed).generation == "g2"

    two(story)


def test_a_removal_that_lands_late_takes_no_file_away_that_is_back():
    """No answer came to it, the file was put back, and the store had it still: it was stopped for good."""

    async def story(bed: Bed, n1: Host, n2: Host) -> None:
        n1.offer(web("192.0.2.1", "g1"))
        await nap(1)
        n1.records[KEY] = Record(KEY, web("192.0.2.1", "g1"))
        n1.node.desk.late = 4.0
        n1.desk.files.clear()
        n1.travel.remove(KEY)
        await nap(1)
        n1.node.desk.late = None
        n1.offer(web("192.0.2.1", "g1"))
        await nap(6)
        assert not stored(bed).deleted
        assert n1.shelf.gone == []
        assert n1.desk.sent == set()

    two(story)
