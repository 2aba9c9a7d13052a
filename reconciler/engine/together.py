"""One node's services among those of others → whose turn each is, its claim taken, its claim given back.

What the passes ask besides facts, where several hosts share a store.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from reconciler.contracts import Driver
from reconciler.decide import claims, keys, things
from reconciler.decide.asked import Asked, Frozen, frozen
from reconciler.decide.hosts import Told
from reconciler.decide.placement import Decision
from reconciler.decide.plan import Situation
from reconciler.decide.turn import Turn, turn
from reconciler.engine.cluster import QUICKER, Cluster
from reconciler.engine.gate import Gate
from reconciler.engine.jobs import Jobs
from reconciler.engine.record import Record
from reconciler.errors import MayHeal, NeedsPerson
from reconciler.model import Owner, ServiceGoal, State
from reconciler.operations import Operation

AGAIN = 0.5
"""Seconds after which a claim is tried again that the store did not answer."""
AT_ONCE = 0.02
GONE = (State.DOWN, State.ELSEWHERE)
UP = (State.UP, State.WARN)

Resolve = Callable[[str, tuple[str, ...]], Awaitable[Mapping[str, str]]]
"""Addresses of a service's host names, as far as they have one."""


@dataclass
class _Waits:
    """Since when a service waits (loop time), by what for; and what its claim waits for."""

    since: dict[str, float] = field(default_factory=dict)
    why: str = ""
    again_in: float = 0.0


class Together:
    def __init__(
        self, node: str, cluster: Cluster, gate: Gate, drivers: Mapping[str, Driver], resolve: Resolve
    ) -> None:
        self.node, self.cluster, self._gate = node, cluster, gate
        self._drivers, self._resolve = drivers, resolve
        self._waits: dict[str, _Waits] = {}
        self.jobs: Jobs  # set by who wires the parts

    def frozen(self) -> Frozen | None:
        """The whole cluster is."""
        entry = self.cluster.view.entries.get(keys.FROZEN)
        return frozen(entry.value) if entry else None

    # --- before the look -------------------------------------------------------------------

    async def turn(self, record: Record, wanted: Decision, asked: Asked) -> Turn:
        """Whose turn it is; with the claim taken, if it is ours and is to be had."""
        made = self._turn(record, wanted, asked)
        waits = self._waits.setdefault(record.key, _Waits())
        waits.why, waits.again_in = "", 0.0
        if made.act != "claim":
            return made
        waits.why = await self._claim(record, waits)
        made = self._turn(record, wanted, asked)
        if made.holds or not waits.why:
            return made
        because = (*made.decision.because, waits.why)
        if self.cluster.mine(record.key):  # not confirmed yet: what is up stays, and nothing is begun
            return replace(made, decision=replace(made.decision, because=because), holds=False)
        goal = made.decision.goal if made.decision.goal is ServiceGoal.ABSENT else ServiceGoal.STANDBY
        return replace(made, decision=Decision(goal, "Waits", because), holds=False)

    def _turn(self, record: Record, wanted: Decision, asked: Asked) -> Turn:
        waits, now = self._waits.setdefault(record.key, _Waits()), asyncio.get_running_loop().time()
        waited = {name: now - at for name, at in waits.since.items()}
        made = turn(
            record.service, wanted, asked, self.cluster.situation(self.node, record.service, waited)
        )
        waits.since = {made.timer: waits.since.get(made.timer, now)} if made.timer else {}
        return made

    async def _claim(self, record: Record, waits: _Waits) -> str:
        service = record.service
        resolved = await self._resolve(service.key, things.names(service, self._drivers))
        wanted = things.things(service, self._drivers, resolved)
        if isinstance(wanted, str):
            waits.again_in = AGAIN
            return wanted
        try:
            why = await self.cluster.claim(service, wanted, claims.needed(service, self._drivers))
        except (MayHeal, NeedsPerson) as fault:
            waits.again_in = AGAIN
            return f"the store does not give its claim: {fault}"
        if why == QUICKER:
            waits.again_in = AT_ONCE
        return why

    # --- after it --------------------------------------------------------------------------

    async def settle(self, record: Record, made: Mapping[str, Situation], turn: Turn) -> None:
        """What was seen gone leaves the guard's list; with nothing up any more the claim is given back."""
        waits = self._waits.setdefault(record.key, _Waits())
        busy = self.jobs.of(record.key)
        try:
            for rid, s in made.items():
                if s.resource.common.disable:
                    continue  # it is not looked at: whatever it left stays listed
                if s.seen.state in GONE and not s.running and rid not in busy:
                    await self._gate.gone(Owner(record.key, rid))
            if turn.act != "release" or busy:
                return
            counted = [
                s for s in made.values() if not (s.resource.common.standby or s.resource.common.disable)
            ]
            if all(s.seen.state in GONE and not s.running for s in counted):
                waits.why = await self.cluster.release(record.key)
                waits.again_in = AGAIN if waits.why else 0.0
        except (MayHeal, NeedsPerson) as fault:
            waits.why, waits.again_in = f"its claim cannot be given back yet: {fault}", AGAIN

    def again_in(self, key: str, turn: Turn) -> float:
        """Seconds; 0: no sooner than any other service."""
        waits = self._waits.get(key)
        ends = [s for s in (turn.again_in, waits.again_in if waits else 0.0) if s > 0]
        return min(ends, default=0.0)

    async def enter(self, owner: Owner, operation: Operation, record: Record | None) -> str:
        """ "" when an operation that needs the claim may begin now."""
        resource = record.whole.get(owner.rid) if record else None
        if resource is None:
            return "nothing is known of it"
        return await self._gate.enter(owner, operation, resource)

    def forget(self, key: str) -> None:
        self._waits.pop(key, None)

    # --- told to the others ----------------------------------------------------------------

    def told(self, record: Record, instance: Mapping[str, object]) -> Told:
        loose = self.cluster.mine(record.key) is None and any(
            seen.state in UP and not self._aside(record, rid) for rid, seen in record.seen.items()
        )
        started = (
            max(record.since.values(), default=0.0) if not loose and instance["avail"] == "up" else 0.0
        )
        return Told(dict(instance), record.service.generation, record.attempt.failed, "", loose, started)

    def _aside(self, record: Record, rid: str) -> bool:
        common = record.whole[rid].common if rid in record.whole else None
        return common is None or common.standby or common.disable


def _down(s: Situation) -> bool:
    common = s.resource.common
    return common.standby or common.disable or (s.seen.state in (*GONE, State.NA) and not s.running)
