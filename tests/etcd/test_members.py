"""Nodes as members over real etcd: sessions opened, renewed through the death of leaders, closed."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import count

import pytest

from reconciler.adapters.clock import SystemClock
from reconciler.adapters.store_etcd import EtcdStore
from reconciler.decide import keys
from reconciler.decide.sessions import Level, Session, read
from reconciler.decide.standing import Standing, Terms
from reconciler.decide.timing import PROFILES, Timing
from reconciler.engine.cluster import Cluster
from reconciler.engine.membership import Membership
from reconciler.engine.opening import Me
from reconciler.model import Service
from tests.etcd.bed import Bed, needs_etcd
from tests.members.rig import Guard, Keepsake

pytestmark = needs_etcd
SYSTEM = SystemClock()
FAST = PROFILES["fast"]
SHORT = replace(FAST, wait=2.5, deadline=2.0, renew=0.2)  # no promise is tested by it
_numbers = count()


class Clock(SystemClock):
    rate = 1.0


class Node:
    """One member, with a store of its own for its claims."""

    def __init__(self, name: str, renewing: EtcdStore, main: EtcdStore, timing: Timing) -> None:
        self.name, self.renewing, self.main = name, renewing, main
        self.killed = False
        self.guard = Guard(Clock(), timing, self._killed, lambda: None)  # type: ignore[arg-type]
        self.standing = Standing()
        self.acknowledged: list[float] = []
        self.member = Membership(
            Me(name, "boot"),
            renewing,
            SYSTEM,
            self.guard,
            Keepsake(name),
            timing,
            Terms.of(timing, Level.LEASE),
            self._told,
        )
        self.cluster = Cluster(
            main, SYSTEM, timing, lambda: self.standing, lambda key: 0, lambda key: None, lambda key: None
        )
        self.tasks = [asyncio.create_task(self.member.run()), asyncio.create_task(self.cluster.run())]

    def _killed(self) -> None:
        self.killed = True

    def _told(self, standing: Standing) -> None:
        self.standing = standing
        if standing.session and not standing.why:
            self.acknowledged.append(time.monotonic())

    def crash(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.guard._over()

    @property
    def longest_gap(self) -> float:
        return max(
            (b - a for a, b in zip(self.acknowledged, self.acknowledged[1:], strict=False)), default=0.0
        )


@pytest.fixture(scope="module")
def members() -> Iterator[Bed]:
    with Bed(3) as bed:
        bed.start()
        yield bed


@pytest.fixture
def bed(members: Bed) -> Iterator[Bed]:
    with members.inside():
        yield members


@contextlib.asynccontextmanager
async def nodes(bed: Bed, *names: str, timing: Timing = FAST) -> AsyncIterator[list[Node]]:
    """Each asks another member first; all have a session."""
    prefix = f"members{next(_numbers)}/"
    silence = timing.request + timing.leaderless

    def store(first: int) -> EtcdStore:
        endpoints = (*bed.urls[first % 3 :], *bed.urls[: first % 3])
        return EtcdStore(
            bed.settings(prefix, endpoints=endpoints, request_timeout=timing.request, silence=silence)
        )

    founder = store(0)
    await founder.found()
    await founder.close()
    made = [Node(name, store(at), store(at + 1), timing) for at, name in enumerate(names)]
    try:
        await until(lambda: all(node.standing.session for node in made), 5)
        yield made
    finally:
        for node in made:
            node.crash()
        tasks = [task for node in made for task in node.tasks]
        await asyncio.gather(*tasks, return_exceptions=True)
        for node in made:
            await node.renewing.close()
            await node.main.close()


async def until(what, within: float) -> float:
    began = time.monotonic()
    while not what():
        assert time.monotonic() < began + within, f"not within {within:g} s"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def session(node: Node, name: str) -> Session:
    entry = (await node.main.read(keys.session(name))).entries[keys.session(name)]
    record = read(entry.value)
    assert record
    return record


def test_a_session_is_opened_renewed_and_left(bed):
    async def story() -> None:
        async with nodes(bed, "n1", "n2") as (n1, n2):
            await asyncio.sleep(1.2)
            assert len(n1.acknowledged) >= 2
            assert (await session(n2, "n1")).open
            await n1.member.leave()
            record = await session(n2, "n1")
            assert (record.open, record.epoch, record.level) == (False, 2, Level.FENCED)

    asyncio.run(story())


def test_a_dead_node_is_closed_and_its_claim_is_taken(bed):
    async def story() -> None:
        async with nodes(bed, "n1", "n2", timing=SHORT) as (n1, n2):
            web = Service("web", nodes=("n1", "n2"))
            assert await n1.cluster.put_document(web, "text", "") == ""
            assert await n1.cluster.claim(web, (), Level.LEASE) == ""
            await until(lambda: web.key in n2.cluster.view.claims, 2)
            assert await n2.cluster.claim(web, (), Level.LEASE) == "held by n1"
            n1.crash()
            began = time.monotonic()
            while await n2.cluster.claim(web, (), Level.LEASE):
                await asyncio.sleep(0.02)
                assert time.monotonic() < began + SHORT.wait + 1.5
            took = time.monotonic() - began
            assert took > SHORT.wait - SHORT.renew - 0.1
            assert n2.cluster.held(web.key)

    asyncio.run(story())


def test_the_death_of_leaders_stops_nobody(bed):
    """Three in a row, as fast as the store gets over them."""

    async def story() -> None:
        async with nodes(bed, "n1", "n2", "n3") as made:
            for _ in range(3):
                leader = await asyncio.to_thread(bed.leader)
                bed.kill(leader)
                counted = [len(node.acknowledged) for node in made]
                await until(
                    lambda before=counted: all(
                        len(node.acknowledged) > had + 1 for node, had in zip(made, before, strict=True)
                    ),
                    FAST.deadline + 2,
                )
                await asyncio.to_thread(bed.start, leader)
            for node in made:
                assert not node.killed
                assert node.standing.session
                assert node.standing.session.epoch == 1
                assert node.longest_gap < FAST.deadline
                print(f"{node.name}: two acknowledged renewals are at most {node.longest_gap:.2f} s apart")

    asyncio.run(story())
