"""A membership → the same on a thread and event loop of its own, told of in the main loop.

Whatever holds up the main loop (a large document, a driver, a garbage collection) holds up no renewal.
The store, the guard's client and the clock of the membership are made on the thread, for it alone.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from reconciler.decide.standing import Standing, Terms
from reconciler.errors import MayHeal

T = TypeVar("T")


class Membership(Protocol):
    """What runs on the thread."""

    async def run(self) -> None: ...

    def still(self) -> Mapping[str, float]: ...

    async def agree(self, terms: Terms, within: float) -> None: ...

    async def leave(self) -> None: ...

    async def close(self, node: str) -> bool: ...

    def suspected(self, suspicion: float) -> tuple[str, ...]: ...

    async def begin_fence(self, node: str) -> int: ...

    async def fenced(self, node: str, epoch: int) -> bool: ...

    async def fences_begun(self) -> Mapping[str, int]: ...

    async def fence_failed(self, node: str, epoch: int) -> bool: ...


Build = Callable[[Callable[[Standing], None]], AbstractAsyncContextManager[Membership]]
"""Makes the membership on the thread, tells it whom to tell, and closes what it made."""


class Renewer:
    """`told` is called in the loop that started it, for each change but that of the deadline; `ended`
    likewise, with what ended the membership, None when it was stopped or has left.

    `standing` is always the latest, from any thread.
    """

    def __init__(
        self, build: Build, told: Callable[[Standing], None], ended: Callable[[BaseException | None], None]
    ) -> None:
        self._build, self._told, self._ended = build, told, ended
        self.standing = Standing(why="not opened yet")
        self._main: asyncio.AbstractEventLoop | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._member: Membership | None = None
        self._task: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="renewer", daemon=True)

    def start(self) -> None:
        """The first act of an agent."""
        self._main = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Renew no more; the session stays as it is, and the next agent goes on with it."""
        loop, task = self._loop, self._task
        if loop and task:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(task.cancel)
        await asyncio.to_thread(self._thread.join)

    def still(self) -> Mapping[str, float]:
        """Seconds since each node's beat moved."""
        return self._member.still() if self._member else {}

    async def agree(self, terms: Terms, within: float) -> None:
        await self._there(lambda member: member.agree(terms, within))

    async def leave(self) -> None:
        await self._there(lambda member: member.leave())

    async def close(self, node: str) -> bool:
        return await self._there(lambda member: member.close(node))

    async def suspected(self, suspicion: float) -> tuple[str, ...]:
        async def there(member: Membership) -> tuple[str, ...]:
            return member.suspected(suspicion)

        return await self._there(there)

    async def begin_fence(self, node: str) -> int:
        return await self._there(lambda member: member.begin_fence(node))

    async def fenced(self, node: str, epoch: int) -> bool:
        return await self._there(lambda member: member.fenced(node, epoch))

    async def fences_begun(self) -> Mapping[str, int]:
        return await self._there(lambda member: member.fences_begun())

    async def fence_failed(self, node: str, epoch: int) -> bool:
        return await self._there(lambda member: member.fence_failed(node, epoch))

    async def _there(self, act: Callable[[Membership], Coroutine[Any, Any, T]]) -> T:
        """On the thread. Raises MayHeal when it does not run, or ends meanwhile."""
        no_member = MayHeal(f"this node is no member now: {self.standing.why}")
        if (
            self._loop is None
            or self._member is None
            or not self._thread.is_alive()
            or self._loop.is_closed()
        ):
            raise no_member
        asked = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(act(self._member), self._loop))
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait((asked, over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
        if not asked.done():
            asked.cancel()
            raise no_member
        return await asked

    def _finish(self, why: BaseException | None) -> None:
        self._over.set()
        self._ended(why)

    # --- on the thread ---------------------------------------------------------------------

    def _run(self) -> None:
        why: BaseException | None = None
        try:
            asyncio.run(self._live())
        except asyncio.CancelledError:
            pass
        except BaseException as fault:  # whatever it is, the main loop must hear of it
            why = fault
            self.standing = replace(self.standing, session=None, why=str(fault))
        finally:
            self._in_main(self._finish, why)

    async def _live(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        async with self._build(self._tell) as member:
            self._member = member
            await member.run()

    def _tell(self, standing: Standing) -> None:
        before, self.standing = self.standing, standing
        if replace(before, deadline=0.0) != replace(standing, deadline=0.0):
            self._in_main(self._told, standing)

    def _in_main(self, act: Callable[[T], None], what: T) -> None:
        assert self._main
        with contextlib.suppress(RuntimeError):  # the main loop has ended: nobody is there to be told
            self._main.call_soon_threadsafe(act, what)
