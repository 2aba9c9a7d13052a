"""The thread that renews, and the two files it goes by: on the real clock, for threads have no other."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.adapters.clock import SystemClock
from reconciler.adapters.keepsake import FileKeepsake
from reconciler.adapters.renewer import Renewer
from reconciler.adapters.store_memory import MemoryStore
from reconciler.contracts import Identity, Mark
from reconciler.decide.sessions import Level
from reconciler.decide.standing import Standing, Terms
from reconciler.engine.membership import Membership
from reconciler.engine.opening import Me
from reconciler.errors import MayHeal, NeedsPerson, StoreLost
from reconciler.testing.faulty import Way
from tests.members.rig import FAST, Guard, Keepsake

QUICK = replace(FAST, renew=0.02, request=0.1, deadline=0.4, wait=2.0)
SYSTEM = SystemClock()


class Real(Guard):
    """On the system's clock."""

    def __init__(self) -> None:
        super().__init__(SYSTEM, QUICK, lambda: None, lambda: None)
        self._clock.rate = 1.0


class Place:
    def __init__(self) -> None:
        self.ways: list[Way] = []
        self.guards: list[Real] = []
        self.told: list[Standing] = []
        self.ended: list[BaseException | None] = []
        self.news = asyncio.Event()
        self.renewer = Renewer(self.build, self._told, self._ended)

    @contextlib.asynccontextmanager
    async def build(self, told) -> AsyncIterator[Membership]:
        way, guard = Way(MemoryStore(), QUICK.request), Real()
        self.ways.append(way)
        self.guards.append(guard)
        terms = Terms.of(QUICK, Level.LEASE)
        yield Membership(Me("n1", "boot"), way, SYSTEM, guard, Keepsake("s"), QUICK, terms, told)
        await way.close()

    def _told(self, standing: Standing) -> None:
        self.told.append(standing)
        self.news.set()

    def _ended(self, why: BaseException | None) -> None:
        self.ended.append(why)
        self.news.set()

    async def held(self) -> None:
        async with asyncio.timeout(5):
            while not self.renewer.standing.session:
                self.news.clear()
                await self.news.wait()


def play(story) -> None:
    async def whole() -> None:
        place = Place()
        place.renewer.start()
        try:
            await place.held()
            await story(place)
        finally:
            await place.renewer.stop()

    asyncio.run(whole())


def test_a_main_loop_that_stands_still_holds_up_no_renewal():
    async def story(place: Place) -> None:
        time.sleep(2 * QUICK.deadline)
        standing = place.renewer.standing
        assert standing.current(SYSTEM.boottime())
        assert place.guards[0].phase == "held"
        assert len(place.guards[0].given) > 10

    play(story)


def test_the_main_loop_hears_of_what_matters_in_its_own_thread():
    async def story(place: Place) -> None:
        await asyncio.sleep(0.3)
        assert len(place.told) == 1  # not of each deadline
        await place.renewer.agree(Terms.of(QUICK, Level.WATCHDOG), 5.0)
        async with asyncio.timeout(5):
            while place.told[-1].session.level is not Level.WATCHDOG:
                place.news.clear()
                await place.news.wait()
        assert place.renewer.still().keys() == {"n1"}

    play(story)


def test_a_stop_leaves_the_session_as_it_is():
    async def story(place: Place) -> None:
        await place.renewer.stop()
        assert place.guards[0].phase == "held"
        await asyncio.sleep(0)
        assert place.ended == [None]
        with pytest.raises(MayHeal, match="no member now"):
            await place.renewer.leave()

    play(story)


def test_it_leaves():
    async def story(place: Place) -> None:
        await place.renewer.leave()
        async with asyncio.timeout(5):
            while not place.ended:
                place.news.clear()
                await place.news.wait()
        assert (place.ended, place.guards[0].phase) == ([None], "idle")

    play(story)


def test_a_store_that_is_another_one_is_heard_of():
    async def story(place: Place) -> None:
        place.ways[0].lost = "the store was replaced"
        async with asyncio.timeout(5):
            while not place.ended:
                place.news.clear()
                await place.news.wait()
        assert isinstance(place.ended[0], StoreLost)
        assert place.renewer.standing.session is None
        assert place.renewer.standing.why == "the store was replaced"

    play(story)


# --- the files -----------------------------------------------------------------------------


def test_a_secret_is_made_once_and_is_nobody_elses_to_read(tmp_path: Path):
    one, two = FileKeepsake(tmp_path / "run", tmp_path), FileKeepsake(tmp_path / "run", tmp_path)
    assert one.secret() == two.secret()
    file = tmp_path / "run" / "session.secret"
    assert os.stat(file).st_mode & 0o777 == 0o600
    assert file.read_text() not in one.secret()
    before = one.secret()
    two.new_secret()
    assert one.secret() != before


def test_the_mark_is_kept(tmp_path: Path):
    keepsake = FileKeepsake(tmp_path, tmp_path / "state")
    assert keepsake.mark() == Mark()
    for mark in (Mark(Identity("c", "s", 7), 3), Mark(None, 3)):
        asyncio.run(keepsake.keep(mark))
        assert FileKeepsake(tmp_path, tmp_path / "state").mark() == mark


def test_what_cannot_be_written_may_be_later(tmp_path: Path):
    (tmp_path / "no directory").write_text("")
    keepsake = FileKeepsake(tmp_path / "no directory", tmp_path / "no directory")
    with pytest.raises(MayHeal):
        asyncio.run(keepsake.keep(Mark()))
    with pytest.raises(MayHeal):
        keepsake.new_secret()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"identity": {"odd": 1}, "epoch": 1}', '{"identity": null}']
)
def test_a_mark_that_cannot_be_read_is_no_blank_one(tmp_path: Path, text: str):
    (tmp_path / "store.json").write_text(text)
    with pytest.raises(NeedsPerson, match="accept-store"):
        FileKeepsake(tmp_path, tmp_path).mark()
