"""A shared store, a guard, the times → this node as a member: its session kept, those of the dead closed.

Runs wherever its store runs: on a thread and loop of its own in production, so that nothing else the
agent does delays a renewal; on the loop of a simulation.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace

from reconciler.contracts import Clock, Guard, Identity, Keepsake, Mark, SharedStore
from reconciler.decide.standing import Standing, Terms
from reconciler.decide.timing import Timing
from reconciler.engine.beats import Beats
from reconciler.engine.opening import Me
from reconciler.engine.session import OwnSession
from reconciler.errors import MayHeal, NeedsPerson, StoreLost

KEPT_EVERY = 10.0  # seconds after which a higher revision is remembered at the latest


class Membership:
    """`told` hears of each change of the standing, from within the loop this runs on."""

    def __init__(
        self,
        me: Me,
        store: SharedStore,
        clock: Clock,
        guard: Guard,
        keepsake: Keepsake,
        timing: Timing,
        terms: Terms,
        told: Callable[[Standing], None],
    ) -> None:
        gap, back = timing.renew + 2 * timing.request, timing.request + timing.leaderless
        self._me, self._store, self._keepsake = me, store, keepsake
        self._retry = timing.renew / 10
        self._mark = keepsake.mark()
        self._own = OwnSession(me, store, clock, guard, keepsake, terms)
        self._beats = Beats(store, clock, gap, back, self._is_me)
        self._own.told = told
        self._own.heard = self._beats.heard
        self._own.acknowledged = self._acknowledged
        self._own.opening.lives = self._beats.lives
        self._own.least_epoch = lambda: max(self._mark.epoch, self._beats.highest_epoch())
        self._told = told

    @property
    def standing(self) -> Standing:
        return self._own.standing

    @property
    def trouble(self) -> str:
        return self._beats.trouble

    def still(self) -> Mapping[str, float]:
        """Seconds since each node's beat moved, as seen from here."""
        return self._beats.still()

    async def run(self) -> None:
        """Until it has left; ends what it began. Raises StoreLost: nothing starts until it is accepted."""
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._same_store()
            life = asyncio.create_task(self._own.live(), name="renew the session")
            tasks = [
                life,
                asyncio.create_task(self._beats.follow(), name="follow the beats"),
                asyncio.create_task(self._beats.judge(), name="judge the beats"),
                asyncio.create_task(self._remember(), name="remember the store"),
            ]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except StoreLost as fault:
            # Renewing has ended: what is up here ends by its deadline, and nothing more starts.
            self._own.standing = Standing(why=str(fault))
            self._told(self.standing)
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def set_terms(self, terms: Terms) -> None:
        self._own.set_terms(terms)

    async def agree(self, terms: Terms, within: float) -> None:
        """Until the session is renewed by these. Raises MayHeal when it is not: those of before go on."""
        before = self._own.terms
        self._own.set_terms(terms)
        try:
            async with asyncio.timeout(within):
                await self._own.agreed()
        except TimeoutError:
            self._own.set_terms(before)
            raise MayHeal(f"the store does not take it: {self.standing.why or 'no answer'}") from None

    async def leave(self) -> None:
        await self._own.leave()

    async def close(self, node: str) -> bool:
        """A fence or a person says that it is off: no waiting."""
        return await self._beats.close(node, surely=True)

    def suspected(self, suspicion: float) -> tuple[str, ...]:
        """Nodes that may be fenced, from any thread."""
        return self._beats.suspected(suspicion)

    async def fenced(self, node: str, epoch: int) -> bool:
        """It was off while it had this session. One that it opened since is none of the fence's."""
        return await self._beats.close(node, surely=True, epoch=epoch)

    async def begin_fence(self, node: str) -> int:
        """The epoch of the session that is marked now; 0 when none is."""
        return await self._beats.begin_fence(node, self._me.node)

    async def fences_begun(self) -> Mapping[str, int]:
        """By an agent of this node, and not told yet how they ended: node and epoch."""
        return self._beats.fences_of(self._me.node)

    async def fence_failed(self, node: str, epoch: int) -> bool:
        """Whether nobody waits to hear of it any more."""
        return await self._beats.fence_failed(node, epoch, self._me.node)

    # --- which store it is -----------------------------------------------------------------

    async def _same_store(self) -> None:
        """The store compares itself with what it was given as known; the first one is remembered."""
        while True:
            try:
                found = await self._store.identity()
                if found.store:
                    break
                raise NeedsPerson("the store has no id: `standfast cluster init` on one node, once")
            except StoreLost:
                raise
            except (MayHeal, NeedsPerson) as fault:
                self._told(Standing(why=str(fault)))
                await asyncio.sleep(self._retry)
        if why := another(self._mark.identity, found):
            raise StoreLost(
                f"{why}: look at `standfast cluster status`, then `standfast cluster accept-store`"
            )
        self._mark = Mark(found, self._mark.epoch)

    def _acknowledged(self, revision: int) -> None:
        self._beats.acknowledged(revision)
        identity = self._mark.identity
        if identity and revision > identity.revision:
            self._mark = replace(self._mark, identity=replace(identity, revision=revision))

    async def _remember(self) -> None:
        """A disk that hangs delays this, and no renewal; one that is full is tried again."""
        kept = self._keepsake.mark()
        while True:
            epoch = max(self._mark.epoch, self._beats.highest_epoch())
            self._mark = replace(self._mark, epoch=epoch)
            if self._mark != kept:
                with contextlib.suppress(MayHeal):  # the desk tells of it
                    await self._keepsake.keep(self._mark)
                    kept = self._mark
            await asyncio.sleep(KEPT_EVERY)

    def _is_me(self, node: str) -> bool:
        return node == self._me.node and self.standing.session is not None


def another(known: Identity | None, found: Identity) -> str:
    """Why it is not the store that was known, "" when it is."""
    if known is None:
        return ""
    if (found.store, found.cluster) != (known.store, known.cluster):
        has = f"has the id {found.store}" if found.store else "has no id"
        return f"the store was replaced: it {has}, ours is {known.store}"
    if found.revision < known.revision:
        return (
            f"the store went back in time: it is at revision {found.revision} and was at {known.revision}"
        )
    return ""


def accepted(mark: Mark) -> Mark:
    """After `accept-store`: whichever store comes next is ours; epochs go on above all remembered."""
    return Mark(None, mark.epoch)
