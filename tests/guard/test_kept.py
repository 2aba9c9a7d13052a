"""A guard that dies is replaced: what it must know it is told, and who acts knows what it lists."""

import asyncio
from typing import Any

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
