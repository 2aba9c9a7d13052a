"""One driver, its spec and a made-up host → brought up and down as the engine would; `docs/testing.md`."""

from collections.abc import Mapping
from typing import Any

from reconciler.asks import Ask, Facts, Unanswered
from reconciler.model import Goal, Observed, Owner, settled, unknown
from reconciler.operations import Operation, Remember
from reconciler.testing.kernel import SimKernel

TURNS = 10
"""Looks, each followed by operations, after which a driver that is not settled never will be."""


class Bench:
    """`done`: all operations that were begun, as they print. `memory`: what the driver remembered."""

    def __init__(self, host: SimKernel, driver: Any, spec: Mapping[str, Any], owner: Owner) -> None:
        self.host, self.driver, self.spec, self.owner = host, driver, spec, owner
        self.done: list[str] = []
        self.memory: dict[str, str] = {}
        self.host.memory = lambda owner: self.memory

    async def seen(self) -> Observed:
        """As its driver sees it now. A question that nobody can answer makes it unknown."""
        answers: dict[Ask[Any], Any] = {}
        for ask in self.driver.asks(self.spec):
            answers[ask] = await self.host.answer(ask, self.owner)
        facts = Facts(lambda ask: answers[ask] if ask in answers else self.host.look(ask, self.owner))
        try:
            found: Observed = self.driver.observe(self.spec, facts)
        except Unanswered as missing:
            return unknown(str(missing))
        return found

    async def bring(self, goal: Goal) -> str:
        """ "" when it is settled, else the first error, or why nothing more is done."""
        for _ in range(TURNS):
            seen = await self.seen()
            if settled(goal, seen):
                return ""
            operations = self.driver.operations(self.spec, seen, goal)
            if seen.blocked and goal is not Goal.DOWN:
                return seen.blocked
            if not operations:
                return f"is {seen.state}, and the driver knows no step towards {goal}"
            if why := await self._do(operations):
                return why
        return f"not settled after {TURNS} turns"

    async def create(self) -> list[str]:
        """Its data; what was done for it."""
        return await self._touch("create")

    async def destroy(self) -> list[str]:
        return await self._touch("destroy")

    async def _touch(self, act: str) -> list[str]:
        operations = getattr(self.driver, act)(self.spec, await self.seen())
        if why := await self._do(operations):
            raise AssertionError(why)
        return list(map(str, operations))

    async def _do(self, operations: tuple[Operation, ...]) -> str:
        for operation in operations:
            self.done.append(str(operation))
            if isinstance(operation, Remember):
                self._remember(operation)
                continue
            outcome = await self.host.perform(operation, self.owner)
            if not outcome.ok:
                return outcome.error
        return ""

    def _remember(self, operation: Remember) -> None:
        if operation.value is None:
            self.memory.pop(operation.key, None)
        else:
            self.memory[operation.key] = operation.value
