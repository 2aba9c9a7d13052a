"""Three voters over one truth → a store that goes on while two of them reach each other, as etcd does.

A client talks to one voter, and to the next when that one does not answer. A voter answers while it
reaches the leader; the leader leads while a majority reaches it, both ways. What a voter took and could not
hand on is dropped, or lands when there is a leader again, though the client has given up. A watch stands
still while its voter does not hear the leader, and goes on with what came meanwhile.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from itertools import count
from random import Random

from reconciler.contracts import Change, Snapshot, Store
from reconciler.errors import MayHeal, UnknownOutcome
from reconciler.testing.processes import elsewhere, later

VOTERS = range(3)
KEPT = 5.0
"""Seconds for which a voter keeps what it could not hand on to a leader."""
RETRY = 0.05


class Voters:
    """`election`: seconds that one takes at most."""

    def __init__(self, truth: Store, dice: Random, election: float) -> None:
        self.truth, self.dice, self._election = truth, dice, election
        self.leader: int | None = 0
        self.calm = True  # all hear all, and one of them leads
        self.clients = count()  # spread over the voters
        self._down: Counter[int] = Counter()
        self._cut: Counter[tuple[int, int]] = Counter()  # from one to another
        self._electing = False

    # --- what befalls them -----------------------------------------------------------------

    def fall(self, voter: int) -> None:
        """As often as it falls, it has to rise."""
        self._down[voter] += 1
        self._changed()

    def rise(self, voter: int) -> None:
        self._down[voter] -= 1
        self._changed()

    def cut(self, pairs: Collection[tuple[int, int]]) -> None:
        """What the first sends does not reach the second any more."""
        self._cut.update(pairs)
        self._changed()

    def mend(self, pairs: Collection[tuple[int, int]]) -> None:
        self._cut.subtract(pairs)
        self._changed()

    def depose(self) -> None:
        """Its disk was slow: another election, for nothing."""
        self.leader = None
        self._changed()

    def _changed(self) -> None:
        if self.leader is not None and not self._may_lead(self.leader):
            self.leader = None
        quiet = not (+self._down or +self._cut)
        self.calm = quiet and self.leader is not None
        if self.leader is None and not self._electing and any(map(self._may_lead, VOTERS)):
            self._electing = True
            later(self.dice.uniform(0.1, 1.0) * self._election, self._elected)

    def _elected(self) -> None:
        self._electing = False
        if self.leader is None and (able := [voter for voter in VOTERS if self._may_lead(voter)]):
            self.leader = self.dice.choice(able)
        self._changed()

    # --- who reaches whom ------------------------------------------------------------------

    def up(self, voter: int) -> bool:
        return self._down[voter] <= 0

    def hears(self, voter: int, other: int) -> bool:
        """What the other sends."""
        return self.up(voter) and self.up(other) and self._cut[other, voter] <= 0

    def _may_lead(self, voter: int) -> bool:
        return any(
            self.hears(voter, other) and self.hears(other, voter) for other in VOTERS if other != voter
        )

    def told(self, voter: int) -> bool:
        """It hears of what the others decide."""
        return self.leader is not None and (voter == self.leader or self.hears(voter, self.leader))

    def asks(self, voter: int) -> bool:
        """The leader hears of what it was asked."""
        return self.leader is not None and (voter == self.leader or self.hears(self.leader, voter))

    def reached(self, voter: int) -> bool:
        return self.asks(voter) and self.told(voter)


class VotedStore:
    """contracts.Store of one client. `at`: the voter that it talks to. `request`: seconds for an answer."""

    def __init__(self, voters: Voters, request: float) -> None:
        self.voters, self._request = voters, request
        self._truth, self.at = voters.truth, next(voters.clients) % len(VOTERS)

    async def read(self, prefix: str) -> Snapshot:
        if not self.voters.calm:
            await self._reached(MayHeal("no answer"))
        return await self._truth.read(prefix)

    async def commit(
        self, compare: Mapping[str, int], puts: Mapping[str, str], deletes: Collection[str] = ()
    ) -> int | None:
        if self.voters.calm:
            return await self._truth.commit(compare, puts, deletes)
        if not self.voters.up(self.at):
            raise self._left(MayHeal("connection refused"))
        unknown = UnknownOutcome("no answer to a commit")
        try:
            async with asyncio.timeout(self._request):
                landed = await asyncio.shield(elsewhere(self._landed(self.at, compare, puts, deletes)))
                while not self.voters.told(self.at):  # noqa: ASYNC110 — faults come at will
                    await asyncio.sleep(RETRY)
        except TimeoutError:
            raise self._left(unknown) from None
        if landed is None:
            raise self._left(unknown)
        return landed[0]

    async def _landed(
        self, voter: int, compare: Mapping[str, int], puts: Mapping[str, str], deletes: Collection[str]
    ) -> tuple[int | None] | None:
        """What became of it; None: it was dropped."""
        kept = KEPT
        while not self.voters.asks(voter):
            await asyncio.sleep(RETRY)
            kept -= RETRY
            if kept <= 0 or not self.voters.up(voter) or self.voters.dice.random() < RETRY:
                return None
        return (await self._truth.commit(compare, puts, deletes),)

    async def watch(self, revision: int) -> AsyncIterator[Change]:
        at = self.at
        async for change in self._truth.watch(revision):
            while not self.voters.calm and not self.voters.told(at):
                if not self.voters.up(at):
                    raise self._left(MayHeal("connection reset"))
                await asyncio.sleep(RETRY)
            yield change

    async def close(self) -> None:
        """The voters stay."""

    async def _reached(self, none: MayHeal) -> None:
        """A linearizable read asks the leader, and waits for its answer."""
        if not self.voters.up(self.at):
            raise self._left(MayHeal("connection refused"))
        try:
            async with asyncio.timeout(self._request):
                while not self.voters.reached(self.at):  # noqa: ASYNC110 — faults come at will
                    await asyncio.sleep(RETRY)
        except TimeoutError:
            raise self._left(none) from None

    def _left(self, why: MayHeal) -> MayHeal:
        """The next one may do better."""
        self.at = (self.at + 1) % len(VOTERS)
        return why
