"""A guard that may die → one that is there again: started anew, connected, and given what it must know."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence

from reconciler.adapters.guard import GuardClient
from reconciler.contracts import GuardSeen
from reconciler.errors import MayHeal, NeedsPerson
from reconciler.guard.lines import Line

PAUSE = 0.05


class KeptGuard:
    """Implements contracts.Guard. `lost` is set for as long as there is none.

    connect   starts one if need be. back: called each time another one is there.
    watchdog  seconds and margin of every session.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[GuardClient]],
        watchdog: tuple[float, float] | None = None,
    ) -> None:
        self._connect, self._watchdog = connect, watchdog
        self._client: GuardClient | None = None
        self._session: tuple[int, float] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self.lost = asyncio.Event()
        self.back: Callable[[], Awaitable[None]] | None = None
        self.trouble = ""

    async def start(self) -> None:
        """Raises MayHeal or NeedsPerson when no guard can be had."""
        self._client = await self._connect()
        self._keeping = asyncio.create_task(self._keep(), name="keep a guard")

    async def stop(self) -> None:
        """The guard goes on."""
        if self._keeping:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._client:
            await self._client.disconnect()

    async def _keep(self) -> None:
        assert self._client
        while True:
            await self._client.lost.wait()
            self.lost.set()
            with contextlib.suppress(MayHeal, OSError):
                await self._client.disconnect()
            client: GuardClient | None = None
            try:
                client = await self._connect()
                await self._give(client)
                self._client = client
                if self.back:
                    await self.back()
                self.lost.clear()
                self.trouble = ""
            except (MayHeal, NeedsPerson, OSError) as fault:
                self.trouble = str(fault)
                if client:  # nothing is known of what it lists: begin with it again
                    await client.disconnect()
                await asyncio.sleep(PAUSE)

    async def _give(self, client: GuardClient) -> None:
        """The deadline, if it is not over: then that session is, too."""
        if self._session:
            try:
                await client.open(*self._session)
            except MayHeal:
                if client.lost.is_set():
                    raise  # gone as well, it has said nothing of the session: the next one is given it
                self._session = None

    async def _arm(self, client: GuardClient, watchdog: float, margin: float) -> None:
        """Raises MayHeal when it is to be longer: the host would stop later than it says."""
        granted = await client.arm(watchdog, margin)
        if granted > watchdog:
            raise MayHeal(f"the watchdog grants {granted:g} s, not {watchdog:g} s")

    def _there(self) -> GuardClient:
        if self._client is None or self._client.lost.is_set():
            raise MayHeal(f"the guard is gone{': ' + self.trouble if self.trouble else ''}")
        return self._client

    # --- as contracts.Guard ----------------------------------------------------------------

    async def state(self) -> GuardSeen:
        return await self._there().state()

    async def arm(self, watchdog: float, margin: float) -> float:
        return await self._there().arm(watchdog, margin)

    async def open(self, epoch: int, deadline: float) -> GuardSeen:
        client = self._there()
        if self._watchdog and (await client.state()).phase == "idle":
            await self._arm(client, *self._watchdog)  # it is disarmed when a session has ended
        seen = await client.open(epoch, deadline)
        if self._watchdog and seen.watchdog != self._watchdog[0]:
            # An agent before us had other times. Here a shorter T is not promised yet, and a longer one is.
            try:
                await self._arm(client, *self._watchdog)
            except MayHeal as fault:
                await client.trip(str(fault))
                raise
        self._session = epoch, deadline
        return seen

    async def extend(self, deadline: float) -> None:
        await self._there().extend(deadline)
        if self._session:
            self._session = self._session[0], deadline

    async def enter(self, lines: Sequence[Line]) -> tuple[int, ...]:
        return await self._there().enter(lines)

    async def leave(self, numbers: Collection[int]) -> None:
        await self._there().leave(numbers)

    async def trip(self, why: str) -> None:
        self._session = None
        await self._there().trip(why)

    async def reset(self, why: str, crash: bool = False) -> None:
        await self._there().reset(why, crash)

    async def close(self) -> None:
        await self._there().close()
        self._session = None
