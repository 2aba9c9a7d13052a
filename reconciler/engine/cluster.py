"""What all hosts share → a view of it for every pass, and the claims that a pass takes and gives back.

The view is kept by a watch and goes on while a pass waits. That is no harm: whatever is decided from it is
true only by the comparisons of its commit.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager

from reconciler.contracts import Clock, Entry, Notify, Store
from reconciler.decide import claims, keys
from reconciler.decide.candidates import Near
from reconciler.decide.claims import Claim, Commit, Holder, View, affirm, give, mine, take
from reconciler.decide.sessions import Level, Session, read
from reconciler.decide.standing import Standing
from reconciler.decide.things import Thing
from reconciler.decide.timing import Timing
from reconciler.decide.travel import put_in_force
from reconciler.decide.turn import Situation
from reconciler.engine.follow import Follower
from reconciler.engine.peers import Peers
from reconciler.errors import MayHeal, UnknownOutcome
from reconciler.model import Service

FOLLOWED = (
    keys.SESSIONS,
    keys.CLAIMS,
    keys.THINGS,
    keys.DOCUMENTS,
    keys.WISHES,
    keys.STATUSES,
    keys.HOSTS,
    keys.FROZEN,
)
HANDED_OVER = 10.0
"""Seconds after which somebody else may have taken an address that its holder gave back."""
QUICKER = "the store changed meanwhile: looks again"


class Cluster:
    """`changed`: a service about which something is decided anew. `shown`: one of which another node
    says something else. `listed`: how many things of a service the guard lists.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        timing: Timing,
        standing: Callable[[], Standing],
        listed: Callable[[str], int],
        changed: Notify,
        shown: Notify,
    ) -> None:
        self._store, self._clock, self._standing, self._listed = store, clock, standing, listed
        self._notify, self._shown = changed, shown
        self._back = timing.request + timing.leaderless
        self.follower = Follower(store, FOLLOWED, self._changed, lambda: None, timing.renew)
        self.peers = Peers()
        self._sessions: dict[str, Session | None] = {}
        self._claims: dict[str, dict[int, Claim | None]] = {}
        self._given: dict[str, float] = {}  # services whose claim was given back, and when that was heard
        self.handed_over: set[str] = set()  # of those held here, the ones that were
        self._one_by_one = asyncio.Lock()
        self._waiting: set[str] = set()  # services that had to wait for a slot or a thing
        self._sure: dict[str, int] = {}  # services whose claim we have written, and its epoch
        self.bound: Callable[[str], Iterable[str]] = lambda service: ()  # those that name it in a relation
        self.priority: Callable[[str], int] = lambda service: 0  # smaller is looked at first
        self.document: Callable[[str, str | None], None] = lambda service, text: None
        self.host: Callable[[], None] = lambda: None  # what one tells of itself is something else now
        self.view = View(self.follower.entries, self._sessions, self._claims)

    async def run(self) -> None:
        """For ever; raises StoreLost."""
        await self.follower.run()

    async def read(self) -> None:
        """Returns once the view is there."""
        await self.follower.ready.wait()

    @property
    def trouble(self) -> str:
        return self.follower.trouble

    def held(self, service: str) -> Claim | None:
        """My claim, when it is beyond doubt: without one nothing of a failover service goes up.

        What an agent before us claimed, it may have begun to release; so its claim is written again.
        """
        me = self._holder()
        if me is None or self._sure.get(service) != me.session.epoch:
            return None
        return mine(service, me.session, self.view)

    def mine(self, service: str) -> Claim | None:
        """What the store says my session of now has, beyond doubt or not."""
        me = self._holder()
        return mine(service, me.session, self.view) if me else None

    def has_session(self) -> bool:
        """And time left in it."""
        return self._holder() is not None

    def surely_not(self, service: str) -> bool:
        """My session of now has no claim of it, as far as the store was heard; without one nobody knows."""
        return self._holder() is not None and self.follower.ready.is_set() and self.mine(service) is None

    def one_by_one(self, service: Service) -> AbstractAsyncContextManager[None]:
        """Of services that decide about each other, the next is claimed when the last was answered."""
        related = service.relations or any(self.bound(service.key))
        return self._one_by_one if related else contextlib.nullcontext()

    async def claim(self, service: Service, wanted: tuple[Thing, ...], level: Level) -> str:
        """ "" once `held` says so, else why it has to wait. May raise MayHeal.

        Its key is queued when what it waits for has changed.
        """
        me = self._holder()
        if me is None:
            return f"this node has no session: {self._standing().why}"
        if self.held(service.key):
            return ""
        has = mine(service.key, me.session, self.view)
        made = (
            affirm(service.key, has, me, self.view) if has else take(service, wanted, level, me, self.view)
        )
        if isinstance(made, str):
            self._waiting.add(service.key)
            return made
        given = self._clock.boottime() - self._given.get(service.key, -math.inf) < HANDED_OVER
        why = await self._commit(service.key, made, me)
        if not why and not has:
            (self.handed_over.add if given else self.handed_over.discard)(service.key)
        return why

    def refused(self, service: Service, wanted: tuple[Thing, ...], level: Level) -> str:
        """Why `claim` would have to wait as far as is known here, "" when it would not."""
        me = self._holder()
        if me is None or not self.view.revision(keys.document(service.key)):
            return ""  # whoever asks what a file would lead to puts it in force afterwards
        made = take(service, wanted, level, me, self.view)
        return made if isinstance(made, str) else ""

    def anothers(self, service: str, names: Iterable[str]) -> str:
        """Another service that has one of these things on this node; "" for none."""
        me = self._holder()
        return claims.anothers(service, names, me.session, self.view) if me else ""

    async def extend(self, service: Service, wanted: tuple[Thing, ...], level: Level) -> str:
        """ "" once my claim has these things, too; else why it has to wait. May raise MayHeal."""
        me, held = self._holder(), self.held(service.key)
        if me is None or held is None:
            return "its claim is not held here"
        made = claims.extend(service, held, wanted, level, me, self.view)
        if isinstance(made, str):
            self._waiting.add(service.key)
            return made
        return await self._commit(service.key, made, me)

    async def release(self, service: str) -> str:
        """ "" once no claim of mine is left, else why it stays. May raise MayHeal."""
        me = self._holder()
        has = mine(service, me.session, self.view) if me else None
        if me is None or has is None:
            return ""
        if count := self._listed(service):
            return f"the guard lists {count} things of it that were not seen gone"
        return await self._commit(service, give(service, has, self.view), me)

    async def put_document(self, service: Service, text: str, stop: str, asked: str = "") -> str:
        """ "" once it is in force for all; else why it is not yet. `stop` is from `needs_stop`.

        asked  what is asked of it from then on, "" to leave that as it is.
        """
        me = self._holder()
        if me is None:
            return f"this node has no session: {self._standing().why}"
        made = put_in_force(service, text, stop, self.view, asked)
        if isinstance(made, str):
            self._waiting.add(service.key)
            return made
        return await self._commit(service.key, made, me)

    async def drop_document(self, service: str) -> str:
        """ "" once the document of a removed service is gone; else why it is not."""
        me = self._holder()
        if me is None:
            return f"this node has no session: {self._standing().why}"
        key = keys.document(service)
        compare = {key: self.view.revision(key), **me.compared}
        return await self._commit(service, Commit(compare, {}, (key,)), me)

    async def put_frozen(self, text: str) -> None:
        """The whole cluster, or no more. Raises MayHeal.

        Never deleted, and only over what was read: a word that was given up may come late.
        """
        entry = (await self._store.read(keys.FROZEN)).entries.get(keys.FROZEN)
        over = entry.revision if entry else 0
        revision = await self._store.commit({keys.FROZEN: over}, {keys.FROZEN: text})
        if revision is None:
            raise MayHeal("somebody froze or thawed the cluster at the same moment: ask again")
        self.follower.own(keys.FROZEN, text, revision)

    async def _commit(self, service: str, made: Commit, me: Holder) -> str:
        """An answer counts only under the session it was asked for.

        Without one it may yet be done, late: until another commit on the slot was taken, nobody knows.
        """
        if made.claim or made.deletes:
            self._sure.pop(service, None)
        revision = await self._sent(service, made)
        now = self._holder()
        if now is None or now.session.epoch != me.session.epoch:
            return "the session that it was asked for is over"
        if revision is None:
            self.follower.expect(self.follower.reached + 1, self._back)
            self._waiting.add(service)
            return QUICKER
        for key, value in made.puts.items():
            self.follower.own(key, value, revision)
        for key in made.deletes:
            self.follower.own(key, None, revision)
        if made.claim:
            self._sure[service] = made.claim.epoch
        return ""

    async def _sent(self, service: str, made: Commit) -> int | None:
        try:
            return await self._store.commit(made.compare, made.puts, made.deletes)
        except UnknownOutcome:
            self.follower.expect(self.follower.reached + 1, self._back)
            raise

    def _holder(self) -> Holder | None:
        standing = self._standing()
        session = standing.current(self._clock.boottime())
        return Holder(session, standing.revision) if session else None

    def situation(
        self,
        node: str,
        service: Service,
        waited: Mapping[str, float],
        drained: str,
        stays: str = "",
        refused: str = "",
    ) -> Situation:
        """What `decide.turn` goes by, and nothing else: a value, for the view goes on."""
        me, standing = self._holder(), self._standing()
        if not self.follower.ready.is_set():
            why = f"the store has not been read yet{': ' + self.trouble if self.trouble else ''}"
        else:
            why = "" if me else f"this node has no session: {standing.why or 'its time is over'}"
        slots = dict(self.view.claims.get(service.key, {}))
        return Situation(
            node,
            why,
            slots,
            claims.slots(service),
            {c.node: self.view.sessions.get(c.node) for c in slots.values() if c},
            Near(service, self.peers.all),
            mine(service.key, me.session, self.view) if me else None,
            self.held(service.key) is not None,
            waited,
            drained,
            stays,
            refused,
        )

    # --- what changed ----------------------------------------------------------------------

    def _changed(self, key: str, entry: Entry | None) -> None:
        service = keys.service_of(key)
        text = entry.value if entry else None
        if key.startswith(keys.SESSIONS):
            self._session(key.removeprefix(keys.SESSIONS), entry)
        elif key.startswith(keys.STATUSES):
            node = key.removeprefix(keys.STATUSES).partition("/")[0]
            up = self.peers.is_up(node, service)
            if self.peers.status(node, service, text):
                self._notify(service)
            if self.peers.is_up(node, service) != up:
                self._wake(set(self.bound(service)))
            self._shown(service)
        elif key.startswith(keys.HOSTS):
            if self.peers.host(key.removeprefix(keys.HOSTS), text):
                self._wake(self._known())
            self.host()
        elif key == keys.FROZEN:
            self._wake(self._known())
        elif key.startswith(keys.THINGS):
            self._wake(set(self._waiting))
        else:
            if place := keys.slot_of(key):
                self._slot(place, entry)
            if key.startswith(keys.DOCUMENTS):
                self.document(service, text)
            if service:
                self._waiting.discard(service)
                self._notify(service)

    def _session(self, node: str, entry: Entry | None) -> None:
        """Who may run what is asked anew of every service."""
        if entry is None:
            self._sessions.pop(node, None)
        else:
            self._sessions[node] = read(entry.value)
        self.peers.session(node, self._sessions.get(node), self._claims)
        self._wake(self._known())

    def _known(self) -> set[str]:
        documents = {
            key.removeprefix(keys.DOCUMENTS)
            for key in self.follower.entries
            if key.startswith(keys.DOCUMENTS)
        }
        return documents | self._claims.keys()

    def _slot(self, place: tuple[str, int], entry: Entry | None) -> None:
        service, slot = place
        before, now = self._claims.get(service, {}).get(slot), None
        if entry is not None:
            now = claims.read(entry.value)
            self._claims.setdefault(service, {})[slot] = now
        elif slot in (held := self._claims.get(service, {})):
            del held[slot]
            if not held:
                del self._claims[service]
        if now is None and before is not None:
            self._given[service] = self._clock.boottime()
        else:
            self._given.pop(service, None)
        self.peers.claim(service, before, now, self._sessions.get(now.node) if now else None)
        self._wake(set(self.bound(service)))

    def _wake(self, services: set[str]) -> None:
        self._waiting -= services
        for service in sorted(services, key=lambda key: (self.priority(key), key)):
            self._notify(service)
