"""A guard that dies is replaced: what it must know it is told, and who acts knows what it lists."""

import asyncio
from typing import Any

import pytest

from reconciler.adapters.guard_kept import KeptGuard
from reconciler.errors import MayHeal


class Client:
    """A guard's, as far as it is kept."""

    def __init__(self) -> None:
        self.lost, self.opened = asyncio.Event(), list[tuple[int, float]]()

    async def disconnect(self) -> None:
        self.lost.set()

    async def state(self) -> Any:
        return type("Seen", (), {"phase": "held"})()

    async def open(self, epoch: int, deadline: float) -> None:
        self.opened.append((epoch, deadline))


async def test_another_guard_has_the_deadline_and_its_list_is_read_however_often_it_takes():
    made: list[Client] = []
    fails = 2

    async def connect() -> Any:
        made.append(Client())
        return made[-1]

    async def back() -> None:
        nonlocal fails
        fails -= 1
        if fails > 0:
            raise MayHeal("the guard did not answer")

    guard = KeptGuard(connect)
    guard.back = back
    await guard.start()
    await guard.open(7, 1000.0)
    made[0].lost.set()
    await asyncio.sleep(0)
    async with asyncio.timeout(2):
        while len(made) < 3 or guard.lost.is_set():  # noqa: ASYNC110  # nobody tells of it
            await asyncio.sleep(0.005)
    assert made[2].opened == [(7, 1000.0)]
    assert not guard.trouble
    await guard.stop()


class Armed(Client):
    """It has the watchdog of an agent before, and grants what it likes."""

    def __init__(self, phase: str, has: float, grants: float) -> None:
        super().__init__()
        self.phase, self.has, self.grants = phase, has, grants
        self.tripped = ""

    async def state(self) -> Any:
        return type("Seen", (), {"phase": self.phase, "watchdog": self.has})()

    async def open(self, epoch: int, deadline: float) -> Any:
        await super().open(epoch, deadline)
        return await self.state()

    async def arm(self, watchdog: float, margin: float) -> float:
        self.has = self.grants
        return self.grants

    async def trip(self, why: str) -> None:
        self.tripped = why


@pytest.mark.parametrize(
    ("phase", "has", "grants", "refused", "tripped"),
    [
        pytest.param("held", 8.0, 4.0, "", "", id="as it was"),
        pytest.param("held", 16.0, 8.0, "", "", id="shortened"),
        pytest.param("held", 16.0, 10.0, "grants 10 s, not 8 s", "grants 10 s", id="longer than promised"),
        pytest.param("idle", 2.0, 10.0, "grants 10 s, not 8 s", "", id="longer, and nothing was begun"),
    ],
)
async def test_no_session_has_a_longer_watchdog_than_its_times_allow(phase, has, grants, refused, tripped):
    client = Armed(phase, has, grants)

    async def connect() -> Any:
        return client

    guard = KeptGuard(connect, (8.0, 1.0))
    await guard.start()
    if refused:
        with pytest.raises(MayHeal, match=refused):
            await guard.open(7, 1000.0)
    else:
        await guard.open(7, 1000.0)
        assert client.has == 8.0
    assert tripped in client.tripped
    assert bool(client.tripped) is bool(tripped)
    assert bool(client.opened) is (phase == "held")
    await guard.stop()


async def test_a_guard_that_dies_while_it_is_told_takes_no_session_along():
    """The next one stopped all there was: no agent had given it a deadline (seed 542281)."""
    made: list[Client] = []

    class Dies(Client):
        async def open(self, epoch: int, deadline: float) -> None:
            self.lost.set()
            raise MayHeal("the guard is gone")

    async def connect() -> Any:
        made.append(Dies() if len(made) == 1 else Client())
        return made[-1]

    guard = KeptGuard(connect)
    await guard.start()
    await guard.open(7, 1000.0)
    made[0].lost.set()
    async with asyncio.timeout(2):
        while len(made) < 3 or guard.lost.is_set():  # noqa: ASYNC110  # nobody tells of it
            await asyncio.sleep(0.005)
    assert made[2].opened == [(7, 1000.0)]
    await guard.stop()
