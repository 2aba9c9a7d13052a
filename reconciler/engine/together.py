"""One node's services among those of others → whose turn each is, its claim taken, its claim given back."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from reconciler.contracts import Driver
from reconciler.decide import claims, keys, plan, things
from reconciler.decide.asked import Asked, Frozen, frozen
from reconciler.decide.hosts import Told
from reconciler.decide.placement import Decision
from reconciler.decide.plan import Situation as Part
from reconciler.decide.sessions import Level
from reconciler.decide.situations import Seen
from reconciler.decide.turn import Situation, Turn, foreseen, turn
from reconciler.engine.cluster import QUICKER, Cluster
from reconciler.engine.elsewhere import Elsewhere
from reconciler.engine.gate import Gate
from reconciler.engine.jobs import Jobs
from reconciler.engine.record import Record
from reconciler.errors import MayHeal, NeedsPerson
from reconciler.guard.lines import Program
from reconciler.model import Goal, Observed, Owner, Resource, Service, ServiceGoal, State
from reconciler.operations import AddAddress, Operation

AGAIN = 0.5
"""Seconds after which a claim is tried again that the store did not answer."""
AT_ONCE = 0.02
GONE = (State.DOWN, State.ELSEWHERE)
UP = (State.UP, State.WARN)

Commit = Callable[[Service, tuple[things.Thing, ...], Level], Awaitable[str]]
Resolve = Callable[[str, tuple[str, ...]], Awaitable[Mapping[str, tuple[str, ...]]]]
"""All addresses of a service's host names, as far as they have one."""
Behind = Callable[[str, tuple[str, ...]], Awaitable[Mapping[str, tuple[str, ...]]]]
"""What this host finds behind the devices of a service, by path: names that do not depend on the path."""


@dataclass
class _Waits:
    """Since when a service waits (loop time), by what for; and why its claim is not given back."""

    since: dict[str, float] = field(default_factory=dict)
    stays: str = ""
    anew: bool = False  # its claim has to have other addresses, too
    covered: Service | None = None  # the document of which the claim has all things
    again_in: float = 0.0


class Together:
    def __init__(
        self, node: str, cluster: Cluster, gate: Gate, drivers: Mapping[str, Driver], resolve: Resolve
    ) -> None:
        self.node, self.cluster, self._gate = node, cluster, gate
        self.drivers, self._resolve = drivers, resolve
        self.elsewhere = Elsewhere(node, cluster)
        self._waits: defaultdict[str, _Waits] = defaultdict(_Waits)
        # Set by who wires the parts.
        self.jobs: Jobs
        self.cannot: Callable[[str], str] = lambda key: ""  # why this node refuses its document
        self.drained: Callable[[], str] = lambda: ""  # by whom this node is, before the store says so
        self.behind_devices: Behind = _nothing_found
        self.end_left: Callable[[Program, str], Coroutine[Any, Any, None]]
        self._ending: dict[Program, asyncio.Task[None]] = {}
        self.confirm_off: Callable[[str], Awaitable[bool]]
        self.maintain: Callable[[bool], Awaitable[None]]
        self.behind: Callable[[Record], str]

    def frozen(self) -> Frozen | None:
        """The whole cluster is."""
        entry = self.cluster.view.entries.get(keys.FROZEN)
        return frozen(entry.value) if entry else None

    # --- before the look -------------------------------------------------------------------

    async def turn(self, record: Record, wanted: Decision, asked: Asked) -> tuple[Turn, Situation]:
        """Whose turn it is, with the claim taken if it is to be had; and what that was decided on."""
        made, here = self._turn(record, wanted, asked)
        waits = self._waits[record.key]
        waits.again_in = 0.0
        if made.act == "claim":
            async with self.cluster.one_by_one(record.service):
                made, here = self._turn(record, wanted, asked)  # another may have been claimed meanwhile
                if made.act != "claim":
                    return made, here
                why = await self._claim(record, waits)
            # Whoever gave it back has seen its addresses gone: nobody need be asked whether they are.
            record.handed_over = not why and record.key in self.cluster.handed_over
            return self._turn(record, wanted, asked, why)
        if made.act == "" and made.holds and (why := await self._extend(record, waits)):
            return self._turn(record, wanted, asked, why)
        return made, here

    def foresee(self, service: Service, wanted: Decision, asked: Asked) -> tuple[Turn, str]:
        """Whose turn it would be, and what else is to be said of that. Nothing is claimed, nothing kept."""
        waits, now = self._waits.get(service.key, _Waits()), asyncio.get_running_loop().time()
        waited = {name: now - at for name, at in waits.since.items()}
        here = self.cluster.situation(self.node, service, waited, self.drained())
        made, said = foreseen(service, wanted, asked, here)
        if made.decision.goal is not ServiceGoal.UP or here.mine:
            return made, said
        needed = claims.needed(service, self.drivers)
        why = self.cluster.refused(service, things.literal(service, self.drivers), needed)
        return (turn(service, wanted, asked, replace(here, refused=why)), why) if why else (made, said)

    async def _extend(self, record: Record, waits: _Waits) -> str:
        """ "" when the claim has all that the document in force names: an edit may have added to it."""
        service, held = record.service, self.cluster.held(record.key)
        if held is None or (waits.covered is service and not waits.anew):
            return ""
        if waits.anew:
            wanted = await self._things(record, waits)
        else:
            wanted = await self._with_disks(service, things.literal(service, self.drivers), waits)
        if isinstance(wanted, str):
            return wanted
        if why := await self._added(service, wanted, waits):
            return why
        waits.covered, waits.anew = service, False
        return ""

    async def _added(self, service: Service, wanted: tuple[things.Thing, ...], waits: _Waits) -> str:
        """ "" once my claim has all of these, else why it has not."""
        held = self.cluster.held(service.key)
        if held is None:
            return "its claim is not held here"
        missing = tuple(thing for thing in wanted if thing.name not in held.things)
        return await self._asked(self.cluster.extend, service, missing, waits) if missing else ""

    async def _with_disks(
        self, service: Service, wanted: tuple[things.Thing, ...], waits: _Waits
    ) -> tuple[things.Thing, ...] | str:
        """And what is behind their devices now; one that is not there yet is claimed when it is used."""
        paths = tuple(sorted(things.devices(wanted)))
        try:
            return things.with_disks(wanted, await self.behind_devices(service.key, paths) if paths else {})
        except MayHeal as fault:
            waits.again_in = AGAIN
            return f"what is behind its devices cannot be told: {fault}"

    async def _asked(
        self, commit: Commit, service: Service, wanted: tuple[things.Thing, ...], waits: _Waits
    ) -> str:
        """ "" once the store has it, else why not; and when to ask again, if nothing else tells."""
        try:
            why = await commit(service, wanted, claims.needed(service, self.drivers))
        except (MayHeal, NeedsPerson) as fault:
            waits.again_in = AGAIN
            return f"the store does not give its claim: {fault}"
        if why == QUICKER:
            waits.again_in = AT_ONCE
        return why

    def _turn(
        self, record: Record, wanted: Decision, asked: Asked, refused: str = ""
    ) -> tuple[Turn, Situation]:
        waits, now = self._waits[record.key], asyncio.get_running_loop().time()
        waited = {name: now - at for name, at in waits.since.items()}
        given = (waited, self.drained(), waits.stays, refused)
        here = self.cluster.situation(self.node, record.service, *given)
        made = turn(record.service, wanted, asked, here)
        waits.since = {made.timer: waits.since.get(made.timer, now)} if made.timer else {}
        return made, here

    async def _things(self, record: Record, waits: _Waits) -> tuple[things.Thing, ...] | str:
        """All that it needs here, names with every address that may be used; or what it waits for."""
        service = record.service
        names = things.names(service, self.drivers)
        if names and not record.passes:  # a driver may go on with an address that it remembers
            waits.again_in = AT_ONCE
            return "it was not looked at yet"
        resolved = {name: set(found) for name, found in (await self._resolve(service.key, names)).items()}
        for resource in service.resources:
            seen = record.seen.get(resource.rid)
            if seen and (known := seen.data.get("address")) and resource.spec.get("name") in names:
                resolved.setdefault(resource.spec["name"], set()).add(str(known).partition("/")[0])
        found = things.things(service, self.drivers, resolved)
        if isinstance(found, str):
            waits.again_in = AGAIN
            return found
        return await self._with_disks(service, found, waits)

    async def _claim(self, record: Record, waits: _Waits) -> str:
        service = record.service
        wanted = await self._things(record, waits)
        if isinstance(wanted, str):
            return wanted
        if why := self.behind(record):  # told anew when that is in force
            return why
        if record.service is not service:
            waits.again_in = AT_ONCE
            return QUICKER
        return await self._asked(self.cluster.claim, service, wanted, waits)

    def apart(self, service: str, seen: dict[str, Seen]) -> dict[str, Seen]:
        """What is up of another service here is not up of this one, though both name it.

        And without a session what several hosts share is not written: our own mark stays on it,
        for a host of our name may be alive, and whoever succeeds us may be writing it just now.
        """
        if self.cluster.mine(service):
            return seen
        if not self.cluster.has_session():
            seen = {rid: replace(one, observed=_unwritten(one.observed)) for rid, one in seen.items()}
        return {rid: self._apart(service, one) for rid, one in seen.items()}

    def _apart(self, service: str, one: Seen) -> Seen:
        resource, observed = one.resource, one.observed
        if observed.state not in UP or resource.common.standby:
            return one
        address = str(observed.data.get("address", "")).partition("/")[0]
        other = self.cluster.anothers(service, things.of(resource, self.drivers, address))
        if not other:
            return one
        return replace(one, observed=replace(observed, state=State.ELSEWHERE, holder=other))

    # --- after it --------------------------------------------------------------------------

    async def settle(self, record: Record, made: Mapping[str, Part], turn: Turn) -> None:
        """What was seen gone leaves the guard's list, and what is up is on it; with nothing up any more
        the claim is given back.
        """
        waits = self._waits[record.key]
        busy, left = self.jobs.of(record.key), tuple[tuple[Program, str], ...]()
        try:
            for rid, s in reversed(list(made.items())):
                if s.resource.common.disable:
                    continue  # it is not looked at: whatever it left stays listed
                if s.running or rid in busy:
                    continue
                if s.seen.state in GONE:
                    if self._gate.lists_any(record.key, record.last_order.needed_by.get(rid, ())):
                        continue  # brought back, it is to be undone after what needs it
                    living = await self._gate.gone(Owner(record.key, rid))
                    left += () if s.resource.common.standby else living
                elif s.seen.state in UP and turn.holds and not s.missing:
                    await self._found_up(record, Owner(record.key, rid), s)
            waits.stays = ""
            if turn.act != "release" or busy:
                return
            if left:
                waits.stays, waits.again_in = self._end_left(left), AGAIN
            elif all(_down(s) and not plan.to_destroy(s) for s in made.values()):
                waits.stays = await self.cluster.release(record.key)
                waits.again_in = AGAIN if waits.stays else 0.0
        except (MayHeal, NeedsPerson) as fault:
            waits.stays, waits.again_in = f"the guard or the store does not take it: {fault}", AGAIN

    async def _found_up(self, record: Record, owner: Owner, s: Part) -> None:
        """It may have been up before there was a guard to list it: what its start would do is listed.

        And what it has is claimed, as far as its claim was taken before that could be seen.
        """
        surely = s.seen.state is State.UP
        if not self._gate.knows_up(owner, s.resource, surely):
            await self._used(s.resource, record)
        down = replace(s.seen, state=State.DOWN)
        operations = self.drivers[s.resource.kind].operations(s.resource.spec, down, Goal.UP)
        await self._gate.up(owner, s.resource, operations, surely)

    def _end_left(self, left: tuple[tuple[Program, str], ...]) -> str:
        """What a start left running, and no check sees, is ended before the claim is given back."""
        for line, who in left:
            if line not in self._ending:
                task = asyncio.create_task(self.end_left(line, who), name=f"end {line}")
                task.add_done_callback(partial(self._ended, line))
                self._ending[line] = task
        return "; ".join(f"{line.owner} is down, but {who} live in its control group" for line, who in left)

    def _ended(self, line: Program, task: asyncio.Task[None]) -> None:
        del self._ending[line]

    def again_in(self, key: str, turn: Turn) -> float:
        """Seconds; 0: no sooner than any other service."""
        waits = self._waits.get(key)
        ends = [s for s in (turn.again_in, waits.again_in if waits else 0.0) if s > 0]
        return min(ends, default=0.0)

    async def enter(self, owner: Owner, operation: Operation, record: Record | None) -> str:
        """ "" when an operation that needs the claim may begin now."""
        resource = record.whole.get(owner.rid) if record else None
        if record is None or resource is None:
            return "nothing is known of it"
        if why := self._unclaimed(operation, resource, record) or await self._used(resource, record):
            return why
        return await self._gate.enter(owner, operation, resource)

    def _unclaimed(self, operation: Operation, resource: Resource, record: Record) -> str:
        """Another address than was claimed: the name has others now, or has others on this node."""
        if not isinstance(operation, AddAddress) or resource.late or resource.common.standby:
            return ""
        held, ip = self.cluster.held(record.key), things.address(operation.address.partition("/")[0])
        if held is None or f"{things.ADDRESS}{ip}" in held.things:
            return ""
        self._waits[record.key].anew = True
        return f"{ip} is not among what was claimed: it is claimed first"

    async def _used(self, resource: Resource, record: Record) -> str:
        """ "" once what it names is claimed, with what a reference stands for and what is behind a device
        by now; else why it is not.
        """
        held, waits = self.cluster.held(record.key), self._waits[record.key]
        if held is None or resource.common.standby:
            return ""  # the gate asks for the claim itself
        named = things.of_resource(record.service, resource, self.drivers)
        wanted = await self._with_disks(record.service, named, waits)
        return wanted if isinstance(wanted, str) else await self._added(record.service, wanted, waits)

    # --- what a person asks for ------------------------------------------------------------

    def reset(self, why: str, crash: bool) -> None:
        """This host, by its watchdog or at once; what is up ends with it."""
        self._resetting = asyncio.create_task(self._gate.reset(why, crash), name="reset this host")

    def stale(self, record: Record, holder: str) -> bool:
        """Who is marked on a disk is dead as surely as the service requires, and the claim is mine."""
        session, mine = self.cluster.view.sessions.get(holder), self.cluster.held(record.key)
        if session is None or session.open or mine is None:
            return False
        marked = claims.Claim(mine.slot, holder, session.epoch)
        needed = claims.needed(record.service, self.drivers)
        return not claims.kept_from(marked, needed, self.cluster.view.sessions)

    async def node_asked(self, verb: str, to: str) -> None:
        """What a person asks of a whole node. Raises NeedsPerson, MayHeal."""
        if verb == "maintenance":
            await self.maintain(to != "off")
            return
        peer = self.cluster.peers.all.get(to)
        if to == self.node or peer is None:
            known = ", ".join(sorted(set(self.cluster.peers.all) - {self.node})) or "none"
            raise NeedsPerson(f"{to!r} is no other node of this cluster; these are: {known}")
        if not await self.confirm_off(to):
            raise MayHeal(f"the session of {to} is another one now: look at `standfast mon`, and ask again")

    async def freeze(self, frozen: Frozen | None) -> None:
        """The whole cluster, or no more. Raises MayHeal."""
        await self.cluster.put_frozen(json.dumps(frozen and asdict(frozen)))

    def rid_of(self, key: str) -> bool:
        """Beyond doubt no claim of it is left here, and the guard lists nothing of it."""
        return self.cluster.surely_not(key) and not self._gate.count(key)

    def listed(self, owner: Owner) -> bool:
        return bool(self._gate.lists(owner))

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
        failed, cannot = record.attempt.failed, self.cannot(record.key)
        return Told(dict(instance), record.service.generation, failed, cannot, loose, started)

    def _aside(self, record: Record, rid: str) -> bool:
        common = record.whole[rid].common if rid in record.whole else None
        return common is None or common.standby or common.disable


async def _nothing_found(service: str, paths: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    return {}


def _unwritten(observed: Observed) -> Observed:
    state = State.DOWN if observed.left else observed.state
    return replace(observed, state=state, may_mark=False)


def _down(s: Part) -> bool:
    common = s.resource.common
    return common.standby or common.disable or (s.seen.state in (*GONE, State.NA) and not s.running)
