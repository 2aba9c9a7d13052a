"""An operation towards up → the right to begin it: its claim is held, and the guard has its line.

A line leaves the guard's list when the thing was seen gone, whoever made it go.
"""

import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

from reconciler.contracts import Guard
from reconciler.decide.undo import unmistakable
from reconciler.engine.cluster import Cluster
from reconciler.errors import MayHeal
from reconciler.guard.lines import Line, Program
from reconciler.model import Owner, Resource
from reconciler.operations import Operation

Living = Callable[[Program], Awaitable[str]]
"""Who lives in the control group of a line, "" for nobody."""
Undo = Callable[[Operation, Owner, Resource, bool], Awaitable[Line | None]]
"""The line that undoes an operation, with what only this moment tells; last: it is standby."""


class Gate:
    def __init__(self, guard: Guard, cluster: Cluster, undo: Undo) -> None:
        self._guard, self._cluster, self._undo = guard, cluster, undo
        self.living: Living = _nobody  # set by who wires the parts
        self._lines: dict[int, Line] = {}
        # Up and listed: in which epoch, as what, and whether all that undoes it is.
        self._found: dict[Owner, tuple[int, Resource, bool]] = {}

    async def start(self) -> None:
        """Read what was listed for an agent before this one. Raises MayHeal."""
        self._found.clear()
        self._lines = dict((await self._guard.state()).lines)

    async def enter(self, owner: Owner, operation: Operation, resource: Resource) -> str:
        """ "" when it may begin now, else why not."""
        standby = resource.common.standby
        if not standby and self._cluster.held(owner.service) is None:
            return "its claim is not held here"
        try:
            line = await self._undo(operation, owner, resource, standby)
            # Also what was done before: whether that is listed still only the guard knows, which may
            # have stopped what an agent before us had started.
            numbers = await self._guard.enter(() if line is None else (line,))
        except MayHeal as fault:
            return str(fault)
        if line is not None:
            self._lines.update((number, line) for number in numbers)
        return ""

    def knows_up(self, owner: Owner, resource: Resource, surely: bool = True) -> bool:
        """`up` was told of it under the claim of now, or there is none."""
        claim, found = self._cluster.held(owner.service), self._found.get(owner)
        if claim is None:
            return True
        return found is not None and found[:2] == (claim.epoch, resource) and found[2] >= surely

    async def up(
        self, owner: Owner, resource: Resource, operations: Sequence[Operation], surely: bool = True
    ) -> None:
        """It is up, whoever started it: what these would have listed is. Raises MayHeal.

        Not `surely`, only what cannot be somebody else's is listed.
        """
        claim = self._cluster.held(owner.service)
        if claim is None or self.knows_up(owner, resource, surely):
            return
        made = [await self._undo(each, owner, resource, resource.common.standby) for each in operations]
        lines = [line for line in made if line is not None and (surely or unmistakable(line))]
        if lines:
            self._lines.update(zip(await self._guard.enter(lines), lines, strict=True))
        self._found[owner] = claim.epoch, resource, surely

    async def reset(self, why: str, crash: bool) -> None:
        """The host is reset; where nothing can reset it, the guard stops all that it lists."""
        try:
            await self._guard.reset(why, crash)
        except MayHeal:
            with contextlib.suppress(MayHeal):
                await self._guard.trip(why)

    @property
    def listed(self) -> int:
        """All lines."""
        return len(self._lines)

    def lists(self, owner: Owner) -> Collection[int]:
        """Numbers of the lines of one resource."""
        name = str(owner)
        return [number for number, line in self._lines.items() if line.owner == name]

    def count(self, service: str) -> int:
        """Lines that keep its claim from being released; what is standby may stay."""
        prefix = f"{service}:"
        return sum(1 for line in self._lines.values() if line.owner.startswith(prefix) and not line.standby)

    def lists_any(self, service: str, rids: Iterable[str]) -> bool:
        """Something of these resources is listed that is to be undone with the session."""
        owners = {str(Owner(service, rid)) for rid in rids}
        return any(line.owner in owners and not line.standby for line in self._lines.values())

    async def gone(self, owner: Owner) -> tuple[tuple[Program, str], ...]:
        """It was seen gone. Raises MayHeal: the line stays, and the next pass tries again.

        Lines stay in whose control groups somebody lives, whatever a check said; these and who it is
        are returned.
        """
        self._found.pop(owner, None)
        staying: dict[int, tuple[Program, str]] = {}
        for number in self.lists(owner):
            line = self._lines[number]
            if isinstance(line, Program) and (who := await self.living(line)):
                staying[number] = line, who
        if numbers := [number for number in self.lists(owner) if number not in staying]:
            await self._guard.leave(numbers)
            for number in numbers:
                self._lines.pop(number, None)
        return tuple(staying.values())


async def _nobody(line: Program) -> str:
    return ""
