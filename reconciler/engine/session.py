"""A node that may hold claims → its session: opened or continued, renewed in time, ended at once when lost.

    nothing ──open: epoch + 1, or continue: same boot and secret──▶ sent ──acknowledged──▶ held
    held ──deadline passed, another token, closed, guard gone──▶ nothing

Every renewal compares both of its keys and puts a fresh random token. A token of mine that is found
counts from the clock read before *that* token was sent, however late its answer.
"""

import asyncio
import math
import secrets
from collections.abc import Callable
from dataclasses import replace

from reconciler.contracts import Clock, Guard, Keepsake, Store
from reconciler.decide import keys
from reconciler.decide.sessions import Level, Renewal, Session, continues, deadline, renewal, written
from reconciler.decide.standing import Standing, Terms
from reconciler.engine.opening import DUPLICATE, POISON, Me, Opening
from reconciler.engine.own_keys import Found, Kept, entry, found_keys, rewritten
from reconciler.errors import MayHeal, NeedsPerson, StoreLost, UnknownOutcome

ENDING = ("killing", "stopping")
MOST_STRAYS = 3
MOST_SENT = 100  # renewals without an answer that are told from those of another me


class OwnSession:
    """One agent's. `told` hears of every change; `acknowledged` of the revision of every renewal."""

    def __init__(
        self,
        me: Me,
        store: Store,
        clock: Clock,
        guard: Guard,
        keepsake: Keepsake,
        terms: Terms,
    ) -> None:
        self._me, self._store, self._clock = me, store, clock
        self._guard, self._keepsake = guard, keepsake
        self._terms, self.opening = terms, Opening(clock)
        self._cleared = False  # a person has ended the maintenance
        self._left_open = False  # by a boot before this one, in maintenance
        self._kept: Kept | None = None
        self._granted: Terms | None = None  # what the record in the store promises
        self._acked = -math.inf  # clock before the last acknowledged send
        self._given = math.inf  # the deadline that the guard has
        self._opened = False  # the guard was given a deadline
        self._guarded = False  # and is still the one that was
        self._strays = 0
        self._leaving: asyncio.Future[None] | None = None
        self._wake, self._turned = asyncio.Event(), asyncio.Event()
        self.standing = Standing(why="not opened yet")
        self.told: Callable[[Standing], None] = lambda standing: None
        self.heard: Callable[[], None] = lambda: None
        self.acknowledged: Callable[[int], None] = lambda revision: None
        self.least_epoch: Callable[[], int] = lambda: 0
        self.token: Callable[[], str] = lambda: secrets.token_hex(8)  # never the same one twice

    async def live(self) -> None:
        """Until it leaves; raises StoreLost."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            self._wake.clear()
            if self._leaving and await self._left(self._leaving):
                return
            try:
                pause = await self._turn()
            except StoreLost:
                raise
            except (MayHeal, NeedsPerson) as fault:
                self._say(str(fault))
                pause = self._least().every / 10
            self._turned.set()
            try:
                async with asyncio.timeout_at(began + max(pause, self._least().every / 50)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def set_terms(self, terms: Terms) -> None:
        """Raised, they are used once the record says so; lowered, the record says so once they are used.

        Until the store answers nothing changes; the standing tells what is in force.
        """
        self._terms, self._cleared = terms, not math.isinf(terms.wait)
        self._wake.set()

    @property
    def terms(self) -> Terms:
        """Those that are wanted."""
        return self._terms

    async def agreed(self) -> None:
        """Until they are in force; or keep nothing open, and there is nothing to be renewed by them."""
        while True:
            session = self.standing.session
            if session is None and self._kept is None and self._cleared and not self._left_open:
                return
            if session and session.wait == self._terms.wait and self._granted == self._terms:
                return
            self._turned.clear()
            await self._turned.wait()

    async def leave(self) -> None:
        """Close it, with nothing up any more. Raises MayHeal while anything is listed."""
        self._leaving = asyncio.get_running_loop().create_future()
        self._wake.set()
        await self._leaving

    async def _left(self, asked: "asyncio.Future[None]") -> bool:
        """Between two renewals, so that none of them is in its way."""
        kept, self._leaving = self._kept, None
        try:
            if kept is not None:
                if self._opened:
                    await self._guard.close()
                self._kept, self._opened, self._guarded = None, False, False
                self._tell(Standing(why="left"))
                await self._put_closed(kept)
        except (MayHeal, NeedsPerson) as fault:
            if self._kept is not None:
                asked.set_exception(fault)
                return False
        asked.set_result(None)  # a close that the store did not take: it waits for T
        return True

    async def _put_closed(self, kept: Kept) -> None:
        """It has stopped for sure: whatever a service requires, it may be succeeded."""
        own = keys.session(self._me.node)
        closed = replace(kept.session, open=False, epoch=kept.session.epoch + 1, level=Level.FENCED)
        compare = {own: kept.revision, keys.beat(self._me.node): kept.beat}
        await self._store.commit(compare, {own: written(closed)})

    # --- one turn --------------------------------------------------------------------------

    async def _turn(self) -> float:
        """Seconds until the next one."""
        if self._kept is None and not await self._begin():
            return self._terms.every
        if self._kept is None:
            return 0.0
        return await self._renew(self._kept)

    async def _renew(self, kept: Kept) -> float:
        now = self._clock.boottime()
        if self._passed(now):
            return await self._end("no renewal was acknowledged before the deadline")
        if self._guard.lost.is_set():
            self._guarded = False
            self._say("the guard is gone: nothing is renewed without one")
            return self._least().every / 10
        if self._opened and not self._guarded:
            await self._guard.open(kept.session.epoch, self._given)
            self._guarded = True
        record, token = self._record(kept.session), self.token()
        kept.sent[token] = now
        puts = {keys.beat(self._me.node): token}
        if record != kept.session:
            puts[keys.session(self._me.node)] = written(record)
            kept.records[token] = record
        compare = {keys.session(self._me.node): kept.revision, keys.beat(self._me.node): kept.beat}
        refused = False
        try:
            revision = await self._store.commit(compare, puts)
            refused = revision is None
        except UnknownOutcome:
            revision = None
            if len(kept.sent) > MOST_SENT:  # in maintenance it may go on for days
                kept.drop(next(iter(kept.sent)))
        except MayHeal:
            kept.drop(token)  # it was not even sent
            raise
        if revision is None:
            return await self._look_back(kept, token, refused)
        self.heard()
        session_at = revision if record != kept.session else kept.revision
        return await self._mine(kept, token, Found(record, "", session_at, token, revision))

    async def _look_back(self, kept: Kept, token: str, refused: bool) -> float:
        """It was refused, or nobody knows: which of my tokens stands there?

        The beat alone tells of a renewal that got through, for that compared the session, too; one request
        is all there is time for between an election and the deadline. A refusal with the beat of
        before is the session's: it is read then.
        """
        mark = await entry(self._store, keys.beat(self._me.node))
        self.heard()
        if mark and mark.value in kept.sent and (mark.revision != kept.beat or not refused):
            record = kept.records.get(mark.value)
            at = mark.revision if record else kept.revision
            return await self._mine(
                kept, mark.value, Found(record or kept.session, "", at, mark.value, mark.revision)
            )
        found = await self._read()
        known = found.token if found.token in kept.sent else token
        match renewal(False, kept.session, known, (found.session, found.token)):
            case Renewal.MINE:
                return await self._mine(kept, known, found)
            case _:
                return await self._lost(kept, found)

    async def _mine(self, kept: Kept, token: str, found: Found) -> float:
        """That token stands: the deadline moves, unless it has passed before we heard."""
        assert found.session is not None
        if self._passed(self._clock.boottime()):
            return await self._end("no renewal was acknowledged before the deadline")
        moved = found.beat != kept.beat
        if moved:  # what else was sent compares an older beat: it fails
            kept.sent, kept.records = {token: kept.sent[token]}, {}
        kept.session, kept.revision, kept.beat = found.session, found.revision, found.beat
        if found.session.wait == self._terms.wait:
            self._granted = self._terms
        self._acked = max(self._acked, kept.sent[token])
        if self._acked == -math.inf:
            return 0.0  # the beat of the agent before us: nothing of ours yet
        if not moved:
            return 0.0  # known before: a shorter deadline would count from too long ago
        instant = deadline(self._acked, self._least().limit)
        if not self._opened and instant <= self._clock.boottime():
            return 0.0  # heard of too late to begin with: the next one may be quicker
        await self._give(instant)
        self.acknowledged(kept.beat)
        return self._least().every if self._record(kept.session) == kept.session else 0.0

    def _least(self) -> Terms:
        """Of what is wanted and what the record promises: both are kept."""
        if self._granted is None or self._granted.limit > self._terms.limit:
            return self._terms
        return self._granted

    def _record(self, now: Session) -> Session:
        """The record to be written with this renewal: a shorter T only once the guard has a shorter D."""
        terms = self._terms
        if terms.wait < now.wait and self._given > deadline(self._acked, terms.limit):
            return now
        return replace(now, wait=terms.wait, level=terms.level)

    def _passed(self, now: float) -> bool:
        return self._opened and now >= self._given

    async def _give(self, instant: float) -> None:
        """The guard gets it first, and all who act after it."""
        assert self._kept is not None
        if self._opened:
            await self._guard.extend(instant)  # that fails: the old deadline stands, and passes
        else:
            try:
                await self._guard.open(self._kept.session.epoch, instant)
            except MayHeal as fault:
                await self._end(str(fault))
                return
        self._opened = self._guarded = True
        self._given, self._strays = instant, 0
        self._tell(Standing(self._kept.session, self._kept.revision, instant))

    # --- its end ---------------------------------------------------------------------------

    async def _lost(self, kept: Kept, found: Found) -> float:
        record = found.session
        if record is None or not record.open:
            return await self._end("the session was lost: another node closed it")
        if record.fencing:
            return await self._end(f"the session was lost: {record.fencing} has begun to fence this node")
        if not self._opened and self._strays < MOST_STRAYS and found.token != POISON:
            self._kept, self._strays = None, self._strays + 1
            return 0.0  # of the agent before us, still on its way when we read: begin again
        self.opening.duplicate = True
        why = f"the session was lost: {DUPLICATE}"
        self._tell(Standing(why=why, duplicate=True))
        if record.epoch == kept.session.epoch:
            await self._poison(found)
        return await self._end(why)

    async def _poison(self, found: Found) -> None:
        """The other me must not go on either, and neither of us with this session: before our end."""
        compare = {keys.session(self._me.node): found.revision, keys.beat(self._me.node): found.beat}
        try:
            self._keepsake.new_secret()
        except MayHeal as fault:
            self._say(f"{self.standing.why}; {fault}")
        try:
            await self._store.commit(compare, {keys.beat(self._me.node): POISON})
        except (MayHeal, NeedsPerson) as fault:
            self._say(f"{self.standing.why}; {fault}")

    async def _end(self, why: str) -> float:
        """All who act stop now; the guard ends what it lists."""
        opened, self._opened, self._guarded = self._opened, False, False
        self._kept, self._granted = None, None
        self._acked, self._given = -math.inf, math.inf
        self._tell(Standing(why=why, duplicate=self.opening.duplicate))
        if not opened:
            return self._terms.every
        try:
            await self._guard.trip(why)
        except MayHeal as fault:
            self._say(f"{why}; {fault}")
        return 0.0

    # --- its beginning ---------------------------------------------------------------------

    async def _begin(self) -> bool:
        """Continue the session of an agent before us, or open one; False: not yet."""
        if self._guard.lost.is_set():
            return self._not_yet("the guard is gone")
        guard, found = await self._guard.state(), await self._read()
        record, secret = found.session, self._keepsake.secret()
        if found.text and record is None:
            return self._not_yet(
                f"the record of {self._me.node} is not understood: a later version wrote it"
            )
        own = record is not None and (record.boot_id, record.secret) == (self._me.boot_id, secret)
        if record and continues(record, self._me.boot_id, secret) and record.epoch > guard.last:
            self._kept = Kept(record, found.revision, found.beat, {found.token: -math.inf})
            if math.isinf(record.wait):
                self._terms = self._terms.maintenance  # its owner clears it, not a restart
            return True
        if guard.phase != "idle":
            if guard.phase not in ENDING:
                await self._guard.trip("the session that it guards is over")
            return self._not_yet("waits until the guard has seen everything gone")
        self._left_open = bool(record and record.open and not own and math.isinf(record.wait))
        if record and self._left_open:
            return await self._left_in_maintenance(record, found)
        if record and (why := self.opening.why_not(record, found, own)):
            return self._not_yet(why)
        return await self._open(found, secret, guard.last)

    async def _left_in_maintenance(self, record: Session, found: Found) -> bool:
        """Nobody else ends that. Once a person says that it is over, it stands for T like any other: with a
        token of nobody, so that all begin to count now, and another me that lives after all would stop.
        """
        if not self._cleared:
            return self._not_yet(
                "an earlier session of this node is open, in maintenance: "
                "`standfast node maintenance --off` here ends it"
            )
        mortal = replace(record, wait=self._terms.wait)
        self._left_open = not await rewritten(self._store, found, mortal, POISON)
        return False

    async def _open(self, found: Found, secret: str, last: int) -> bool:
        before = found.session.epoch if found.session else 0
        epoch = max(before, last, self.least_epoch()) + 1
        terms = self._terms
        record = Session(self._me.node, epoch, self._me.boot_id, secret, terms.wait, terms.level)
        token, now = self.token(), self._clock.boottime()
        own, beat = keys.session(self._me.node), keys.beat(self._me.node)
        revision = await self._store.commit(
            {own: found.revision, beat: found.beat}, {own: written(record), beat: token}
        )
        self.heard()
        if revision is None:
            return False
        self.opening.opened()
        self._kept = Kept(record, revision, found.beat, {token: now})
        await self._mine(self._kept, token, Found(record, "", revision, token, revision))
        return False

    # --- small things ----------------------------------------------------------------------

    async def _read(self) -> Found:
        found = await found_keys(self._store, self._me.node)
        self.heard()
        return found

    def _not_yet(self, why: str) -> bool:
        self._tell(Standing(why=why, duplicate=self.opening.duplicate))
        return False

    def _say(self, why: str) -> None:
        self._tell(replace(self.standing, why=why))

    def _tell(self, standing: Standing) -> None:
        if standing != self.standing:
            self.standing = standing
            self.told(standing)
