"""A made-up agent → its fences."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from reconciler.engine.fencing import Fencer
from reconciler.engine.membership import Membership
from reconciler.errors import MayHeal
from reconciler.settings import Fence

if TYPE_CHECKING:
    from reconciler.testing.agents import SimAgent

FenceNode = Callable[[str], Awaitable[str]]
"""Switches a node off; "" when it surely is, else why that is not known."""


class Sessions:
    """engine.fencing.Sessions of a membership that runs on the same loop."""

    def __init__(self, member: Membership) -> None:
        self._member = member

    async def suspected(self, suspicion: float) -> tuple[str, ...]:
        return self._member.suspected(suspicion)

    async def begin_fence(self, node: str) -> int:
        return await self._member.begin_fence(node)

    async def fenced(self, node: str, epoch: int) -> bool:
        return await self._member.fenced(node, epoch)

    async def fences_begun(self) -> Mapping[str, int]:
        return await self._member.fences_begun()

    async def fence_failed(self, node: str, epoch: int) -> bool:
        return await self._member.fence_failed(node, epoch)


def fencer(agent: "SimAgent", nodes: Mapping[str, FenceNode]) -> Fencer:
    timing = agent.host.timing
    suspicion = timing.silent

    def sessions() -> Sessions:
        if agent.member is None:
            raise MayHeal("no member yet")
        return Sessions(agent.member)

    async def run(node: str, how: Fence) -> str:
        return await nodes[node](node)

    fences = {node: Fence("simulated") for node in nodes if node != agent.host.node}
    return Fencer(fences, suspicion, sessions, run, lambda text, ok: agent.say(text))
