"""Settings that name a store of several hosts → this node as one of them: its session, its claims.

The session is renewed on a thread of its own, begun before anything else of the agent is.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from reconciler.adapters import etcd_settings
from reconciler.adapters.cgroups import Groups
from reconciler.adapters.etcd_tending import Tending
from reconciler.adapters.guard import GuardClient, at_hand, bound, places
from reconciler.adapters.guard_kept import KeptGuard
from reconciler.adapters.keepsake import FileKeepsake
from reconciler.adapters.leftovers import living
from reconciler.adapters.renewer import Build, Renewer
from reconciler.adapters.renewer import Membership as Renewed
from reconciler.adapters.store_etcd import EtcdStore
from reconciler.contracts import Clock, Notify
from reconciler.decide import sessions, undo
from reconciler.decide.standing import Standing, Terms
from reconciler.decide.timing import Timing, derive
from reconciler.engine.cluster import Cluster
from reconciler.engine.gate import Gate
from reconciler.engine.membership import Membership
from reconciler.engine.opening import Me
from reconciler.engine.shared_wishes import SharedWishes
from reconciler.engine.statuses import Statuses
from reconciler.errors import MayHeal, NeedsPerson, StoreLost
from reconciler.guard.lines import Line
from reconciler.model import Owner, Resource
from reconciler.operations import Operation
from reconciler.settings import Etcd, Settings

PATIENCE = 10.0
"""Seconds in which the store must have taken what a person asks of the session."""
AGAIN = 2.0
"""Seconds until a membership that ended is tried again."""
Say = Callable[[str, str, bool], None]
"""Reason, text, and whether it is good news."""


@dataclass
class Seams:
    """Whom the parts of a member tell, set by who wires the agent."""

    changed: Notify
    shown: Notify
    say: Say
    stood: Callable[[Standing], None] = lambda standing: None


@dataclass
class Member:
    timing: Timing
    level: sessions.Level
    guard: KeptGuard
    keeper: "Keeper"
    cluster: Cluster
    gate: Gate
    wishes: SharedWishes
    statuses: Statuses
    tending: Tending
    accepted: bool = False  # the store was not known before

    @property
    def standing(self) -> Standing:
        return self.keeper.standing

    async def maintain(self, on: bool) -> None:
        """Nobody closes this node's session, and nothing stops it, until that is ended. Raises MayHeal."""
        terms = Terms.of(self.timing, self.level)
        await self.keeper.renewer.agree(terms.maintenance if on else terms, PATIENCE)


class Keeper:
    """A membership for as long as the agent lives: one that ends is tried again."""

    def __init__(self, build: Build, seams: Seams) -> None:
        self._build, self._seams = build, seams
        self._renewer: Renewer | None = None
        self._ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    @property
    def standing(self) -> Standing:
        return self._renewer.standing if self._renewer else Standing(why="not opened yet")

    @property
    def renewer(self) -> Renewer:
        """Raises MayHeal while there is none."""
        if self._renewer is None:
            raise MayHeal("this node is no member yet")
        return self._renewer

    async def confirm_off(self, node: str) -> bool:
        """A person says that it is off: its session is closed at once. Raises MayHeal."""
        return await self.renewer.close(node)

    def begin(self) -> None:
        self._ended = asyncio.get_running_loop().create_future()
        self._renewer = Renewer(self._build, self._told, self._finished)
        self._renewer.start()

    async def run(self) -> None:
        """For ever."""
        while True:
            fault = await self._ended
            if fault is not None:
                self._seams.say("Member", f"this node is no member of the cluster now: {fault}", False)
            await asyncio.sleep(AGAIN)
            self.begin()

    async def stop(self) -> None:
        """The session stays as it is; the next agent goes on with it."""
        if self._renewer:
            await self._renewer.stop()

    def _told(self, standing: Standing) -> None:
        self._seams.stood(standing)

    def _finished(self, fault: BaseException | None) -> None:
        if not self._ended.done():
            self._ended.set_result(fault)
        self._seams.stood(self.standing)


@asynccontextmanager
async def membership(
    settings: Settings, at: Etcd, boot: str, clock: Clock, seams: Seams
) -> AsyncIterator[Member]:
    """A member for the length of the block; its session outlives it. Raises NeedsPerson."""
    groups = Groups.find(settings)
    guard = KeptGuard(lambda: _at_hand(settings, groups))
    async with contextlib.AsyncExitStack() as stack:
        try:
            await guard.start()
            stack.push_async_callback(guard.stop)
            timing, real = await _timing(settings, guard)
        except MayHeal as fault:
            raise NeedsPerson(f"without a guard this host can be no member: {fault}") from None
        level = sessions.level(True, real, bool(groups.root))
        keepsake = FileKeepsake(settings.run, settings.state)
        accepted = keepsake.mark().identity is None
        reached = etcd_settings.named(at, timing)

        def store() -> EtcdStore:
            return EtcdStore(reached, keepsake.mark().identity)

        @asynccontextmanager
        async def build(tell: Callable[[Standing], None]) -> AsyncIterator[Renewed]:
            """On the thread: a guard's line, a store and a clock of its own."""
            terms = (float(timing.watchdog), timing.margin)
            own, renewing = KeptGuard(lambda: _at_hand(settings, groups), terms), store()
            await own.start()
            try:
                if keepsake.mark().identity is None:
                    await renewing.found()  # the first of all hosts gives a new store its id
                me, promised = Me(settings.node, boot), Terms.of(timing, level)
                yield Membership(me, renewing, clock, own, keepsake, timing, promised, tell)
            finally:
                await renewing.close()
                await own.stop()

        keeper = Keeper(build, seams)
        keeper.begin()
        stack.push_async_callback(keeper.stop)

        main = store()
        stack.push_async_callback(main.close)
        cluster = Cluster(
            main,
            clock,
            timing,
            lambda: keeper.standing,
            lambda service: gate.count(service),
            lambda service: seams.changed(service),
            lambda service: seams.shown(service),
        )
        gate = Gate(guard, cluster, _undo(places(settings, groups)))
        gate.living = living
        await gate.start()
        guard.back = gate.start
        wishes = SharedWishes(main, cluster.follower, lambda service: seams.changed(service))
        statuses = Statuses(main, settings.node, lambda: keeper.standing)
        tending = Tending(main)
        yield Member(timing, level, guard, keeper, cluster, gate, wishes, statuses, tending, accepted)


def _undo(at: undo.Places) -> Callable[[Operation, Owner, Resource, bool], Awaitable[Line | None]]:
    async def line(operation: Operation, owner: Owner, resource: Resource, standby: bool) -> Line | None:
        made = undo.line(operation, owner, resource.spec, at, standby)
        return None if made is None else await asyncio.to_thread(bound, made)

    return line


async def _at_hand(settings: Settings, groups: Groups) -> GuardClient:
    sysrq = "/proc/sysrq-trigger" if settings.sysrq else ""
    return await at_hand(settings, groups, settings.watchdog, settings.softdog, sysrq)


async def _timing(settings: Settings, guard: KeptGuard) -> tuple[Timing, bool]:
    """What the failover time asks for, with the watchdog as its driver granted it; and whether one resets.

    A guard that still has what an agent before us gave it keeps that where it will do; else it is given
    another when the session is gone on with.
    """
    seen = await guard.state()
    locked = seen.kappa == 1
    timing = derive(settings.failover_time, None, locked)
    if not settings.watchdog:
        return timing, False
    if seen.watchdog is None:
        granted = await guard.arm(timing.watchdog, timing.margin)
        return derive(settings.failover_time, int(granted), locked), (await guard.state()).real
    with contextlib.suppress(NeedsPerson):
        timing = derive(settings.failover_time, int(seen.watchdog), locked)
    return timing, seen.real


async def endless(act: Callable[[], Awaitable[None]], seams: Seams, name: str) -> None:
    """Run it for ever; a store that is not ours any more ends it until it was accepted."""
    while True:
        try:
            await act()
        except StoreLost as fault:
            seams.say("StoreLost", f"{name}: {fault}", False)
        except (MayHeal, NeedsPerson) as fault:
            seams.say("Store", f"{name}: {fault}", False)
        await asyncio.sleep(AGAIN)
