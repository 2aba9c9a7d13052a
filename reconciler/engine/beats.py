"""Sessions and beats of all nodes, by this node's own clock → who is dead, and their sessions closed.

Everybody may find a node dead; comparing the beat that stood and the session makes it one close.
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from reconciler.contracts import Clock, Entry, Store
from reconciler.decide import keys
from reconciler.decide.sessions import (
    Answers,
    Level,
    Session,
    Still,
    answered,
    dead,
    may_judge,
    read,
    suspected,
    under_fence,
    watched,
    written,
)
from reconciler.engine.follow import Follower
from reconciler.errors import MayHeal, NeedsPerson, StoreLost

LONGEST, SHORTEST = 0.25, 0.02  # seconds between two looks at the clocks


class Beats:
    """`gap` is I + 2r, `back` is r + E. `alive`: whether a node is myself with a session of now."""

    def __init__(
        self, store: Store, clock: Clock, gap: float, back: float, alive: Callable[[str], bool]
    ) -> None:
        self._store, self._clock, self._gap, self._back, self._alive = store, clock, gap, back, alive
        self._follower = Follower(store, (keys.SESSIONS, keys.BEATS), self._changed, self.heard, gap / 4)
        self._stills: Mapping[str, Still] = {}
        self._answers: Answers | None = None
        self._renewed: Answers | None = None  # the same of renewals of mine alone
        self._tried: dict[str, tuple[int, int]] = {}
        self.closed: Callable[[str], None] = lambda node: None

    async def follow(self) -> None:
        """For ever; raises StoreLost."""
        await self._follower.run()

    def heard(self) -> None:
        """The store answered me."""
        self._answers = answered(self._answers, self._clock.boottime(), self._gap)

    def acknowledged(self, revision: int) -> None:
        """A renewal of mine, which has to come back."""
        self._renewed = answered(self._renewed, self._clock.boottime(), self._gap)
        self._follower.expect(revision, self._back)

    @property
    def trouble(self) -> str:
        return self._follower.trouble

    def still(self) -> Mapping[str, float]:
        """Seconds since I saw each node's beat move. From any thread."""
        now = self._clock.boottime()
        return {node: now - still.since for node, still in self._stills.items()}

    def highest_epoch(self) -> int:
        return max((session.epoch for session, _ in self._sessions().values() if session), default=0)

    async def judge(self) -> None:
        """For ever: close each session whose beat stood for its T, unless the silence was the store's."""
        while True:
            await asyncio.sleep(self._until_due())
            while found := self.dead():  # anew each time: what it compares is what stood just now
                node = found[0]
                try:
                    await self.close(node)
                except StoreLost:
                    raise
                except (MayHeal, NeedsPerson):
                    await asyncio.sleep(self._gap / 4)  # it stands there still, or not: look again
                    self._tried.pop(node, None)

    def dead(self) -> tuple[str, ...]:
        """Nodes whose session may be closed now."""
        now = self._clock.boottime()
        if not may_judge(self._answers, now, self._gap):
            return ()
        return tuple(
            node
            for node, (session, revision) in self._sessions().items()
            if dead(session, self._stills.get(node), now)
            and not self._alive(node)
            and self._tried.get(node) != (revision, self._stills[node].revision)
        )

    def suspected(self, suspicion: float) -> tuple[str, ...]:
        """Nodes that may be fenced now, not being fenced by another that is alive.

        None while renewals of mine were not acknowledged throughout: then it may be me who is cut off.
        """
        now, sessions = self._clock.boottime(), self._sessions()

        def alive(name: str) -> bool:
            session, still = sessions.get(name, (None, 0))[0], self._stills.get(name)
            return (
                session is not None and session.open and still is not None and now - still.since < suspicion
            )

        return tuple(
            node
            for node, (session, _) in sessions.items()
            if suspected(session, self._stills.get(node), self._renewed, now, suspicion)
            and not self._alive(node)
            and not (session and alive(session.fencing) and not self._alive(session.fencing))
        )

    async def begin_fence(self, node: str, me: str) -> int:
        """Mark its session: it cannot renew any more. Its epoch; 0 when it moved meanwhile."""
        session, revision = self._sessions().get(node, (None, 0))
        still = self._stills.get(node)
        if session is None or still is None or not session.open:
            return 0
        compare = {keys.session(node): revision, keys.beat(node): still.revision}
        return session.epoch if await self._put(node, replace(session, fencing=me), compare) else 0

    def lives(self, node: str) -> bool:
        """Its session is not over, as far as anybody said; before the store was read, nobody has."""
        if not self._follower.ready.is_set():
            return True
        session, _ = self._sessions().get(node, (None, 0))
        return session is not None and session.open

    def fences_of(self, me: str) -> dict[str, int]:
        """Nodes that may still wait to hear how my fence of them ended, and the epoch that it was for.

        Raises MayHeal before the store was read.
        """
        if not self._follower.ready.is_set():
            raise MayHeal("the store has not been read yet")
        marked = {node: session for node, (session, _) in self._sessions().items() if session}
        return {
            node: session.epoch - (not session.open)
            for node, session in marked.items()
            if session.fencing == me and session.level is not Level.FENCED
        }

    async def fence_failed(self, node: str, epoch: int, me: str) -> bool:
        """Whether the node need not wait to hear of my fence any more: told once its session is closed."""
        session, revision = self._sessions().get(node, (None, 0))
        if session is None or session.fencing != me or session.epoch != epoch + (not session.open):
            return True
        if session.open:
            return False
        if not under_fence(session):
            return True
        return await self._put(node, replace(session, fencing=""), {keys.session(node): revision})

    async def close(self, node: str, surely: bool = False, epoch: int = 0) -> bool:
        """Whether it was closed by this. `surely`: a fence or a person says that it is off; then one that
        is closed already counts as surely stopped from now on. `epoch`: only the session of that one.
        """
        session, revision = self._sessions().get(node, (None, 0))
        if epoch and session is not None and session.epoch != epoch + (not session.open):
            return False  # closed and opened again since
        if session is not None and not session.open and surely:
            return await self._confirm(node, session, revision)
        still = self._stills.get(node)
        if still is None:
            return False
        self._tried[node] = (revision, still.revision)
        if session is None or not session.open:
            return False
        closed = replace(session, open=False, epoch=session.epoch + 1)
        if surely:
            closed = replace(closed, level=Level.FENCED)
        compare = {keys.session(node): revision, keys.beat(node): still.revision}
        if not await self._put(node, closed, compare):
            return False
        self.closed(node)
        return True

    async def _put(self, node: str, record: Session, compare: Mapping[str, int]) -> bool:
        """Whether the store took it."""
        text = written(record)
        done = await self._store.commit(compare, {keys.session(node): text})
        self.heard()
        if done is None:
            # It moved, or another node was quicker; a watch that does not say so is silent.
            self._follower.expect(self._follower.reached + 1, self._back)
            return False
        self._follower.own(keys.session(node), text, done)
        return True

    async def _confirm(self, node: str, session: Session, revision: int) -> bool:
        """Of one that is closed: that it has stopped for sure, whatever its level said."""
        sure = replace(session, level=Level.FENCED)
        done = await self._store.commit({keys.session(node): revision}, {keys.session(node): written(sure)})
        self.heard()
        if done is None:
            return False
        self._follower.own(keys.session(node), written(sure), done)
        return True

    def _sessions(self) -> dict[str, tuple[Session | None, int]]:
        return {
            key.removeprefix(keys.SESSIONS): (read(entry.value), entry.revision)
            for key, entry in self._follower.entries.items()
            if key.startswith(keys.SESSIONS)
        }

    def _changed(self, key: str, entry: Entry | None) -> None:
        if not key.startswith(keys.BEATS):
            return
        revisions = {node: still.revision for node, still in self._stills.items()}
        node = key.removeprefix(keys.BEATS)
        if entry is None:
            revisions.pop(node, None)
        else:
            revisions[node] = entry.revision
        self._stills = watched(self._stills, revisions, self._clock.boottime())

    def _until_due(self) -> float:
        """Until the next beat will have stood for its T."""
        now = self._clock.boottime()
        due = [
            self._stills[node].since + session.wait - now
            for node, (session, _) in self._sessions().items()
            if session and session.open and node in self._stills
        ]
        return min(max(min(due, default=math.inf), SHORTEST), LONGEST)
