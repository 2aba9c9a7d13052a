"""A node that is silent while the store is not → its session is marked, it is fenced, the session closed.

The mark comes first: whatever the fence does, the node cannot renew any more. Only a fence that says it
worked closes the session; otherwise it stands its T, and counts as what its level says. A node that is back
meanwhile opens no other one before it hears how the fence ended: that would take the next one along.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from reconciler.errors import MayHeal, NeedsPerson
from reconciler.settings import Fence

LOOK, AGAIN = 0.25, 10.0
"""Seconds between two looks; and until a fence that failed is tried again."""

Run = Callable[[str, Fence], Awaitable[str]]
"""Fences a node; "" when it is off for sure, else why that is not known."""


class Sessions(Protocol):
    """The membership, from the loop this runs on."""

    async def suspected(self, suspicion: float) -> tuple[str, ...]: ...

    async def begin_fence(self, node: str) -> int: ...

    async def fenced(self, node: str, epoch: int) -> bool: ...

    async def fences_begun(self) -> Mapping[str, int]: ...

    async def fence_failed(self, node: str, epoch: int) -> bool: ...


class Fencer:
    """`sessions` raises MayHeal while this node is no member. `tell`: what happened, and if it is good."""

    def __init__(
        self,
        fences: Mapping[str, Fence],
        suspicion: float,
        sessions: Callable[[], Sessions],
        run: Run,
        tell: Callable[[str, bool], None],
    ) -> None:
        self._fences, self._suspicion = fences, suspicion
        self._sessions, self._run, self._tell = sessions, run, tell
        self._not_before: dict[str, float] = {}
        self._failed: dict[str, int] = {}  # epochs whose nodes may wait to hear of it
        self._knows_begun = False

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self._tell_of_failed()
                nodes = await self._sessions().suspected(self._suspicion)
            except (MayHeal, NeedsPerson):
                continue
            now = asyncio.get_running_loop().time()
            due = [n for n in nodes if n in self._fences and self._not_before.get(n, 0.0) <= now]
            await asyncio.gather(*(self._fence(node) for node in due))

    async def _tell_of_failed(self) -> None:
        """What an agent before this one had begun has ended with it, as far as anybody will say."""
        if not self._knows_begun:
            self._failed.update(await self._sessions().fences_begun())
            self._knows_begun = True
        for node, epoch in list(self._failed.items()):
            if await self._sessions().fence_failed(node, epoch):
                del self._failed[node]

    async def _fence(self, node: str) -> None:
        fence, epoch = self._fences[node], 0
        try:
            epoch = await self._sessions().begin_fence(node)
            if not epoch:
                return  # it renewed, or another was quicker
            self._failed.pop(node, None)
            self._tell(f"{node} is silent: {fence.agent} begins to fence it", False)
            why = await self._run(node, fence)
            if not why:
                if await self._sessions().fenced(node, epoch):
                    self._tell(f"{node} is fenced: its services are free", True)
                return
        except (MayHeal, NeedsPerson) as fault:
            why = str(fault)
        if epoch:
            self._failed[node] = epoch
        self._not_before[node] = asyncio.get_running_loop().time() + AGAIN
        self._tell(f"{node} could not be fenced: {why}; tried again in {AGAIN:g} s", False)
