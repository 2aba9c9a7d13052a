"""Commits → an etcd cluster through its JSON gateway: the store that several hosts share.

The gateway and not gRPC: the HTTP client that we have anyway is enough for it, and gRPC would double
what is installed. Reads are linearizable, always. No leases: an observer's own clock needs none.
Every commit compares the store's id too, so nothing is ever written into another store.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping

from reconciler.adapters import etcd_wire as wire
from reconciler.adapters.etcd_care import Status, compact_if_due, new_id, statuses
from reconciler.adapters.etcd_gateway import Gateway
from reconciler.adapters.etcd_members import members
from reconciler.adapters.etcd_settings import EtcdSettings
from reconciler.adapters.etcd_watch import Watch
from reconciler.adapters.history import well_formed
from reconciler.contracts import Change, Entry, Identity, Snapshot
from reconciler.decide.voters import Member
from reconciler.errors import MayHeal, NeedsPerson, StoreLost

PAGE = 1000  # keys in one answer


class EtcdStore:
    """contracts.Store on etcd. Used from one event loop only.

    known   the store's identity as remembered; nothing is read from or written into any other. With
            None the first one found is taken for ours; so is its id once it has one.
    Making it talks to nobody, so an agent starts while the store is away. Raises NeedsPerson for
    certificates that cannot be used.
    """

    def __init__(self, settings: EtcdSettings, known: Identity | None = None) -> None:
        self.settings = settings
        self._store_id = known.store if known else ""
        self._highest = known.revision if known else 0
        self._gateway = Gateway(settings, known.cluster if known else "")
        self._watches: set[Watch] = set()

    # --- contracts.Store --------------------------------------------------------------------

    async def read(self, prefix: str) -> Snapshot:
        """All at one revision. At most r seconds for each thousand keys."""
        start = self.settings.prefix + prefix
        body = {"key": wire.b64(start), "range_end": wire.after_prefix(start), "limit": PAGE}
        answer = await self._linearizable(body)
        revision = wire.revision_of(answer)
        found = wire.entries_of(answer, self.settings.prefix)
        while answer.get("more"):
            last = self.settings.prefix + next(reversed(found))
            body |= {"key": wire.b64(last + "\0"), "revision": str(revision)}
            answer = await self._linearizable(body)
            found |= wire.entries_of(answer, self.settings.prefix)
        return Snapshot(revision, found)

    async def commit(
        self, compare: Mapping[str, int], puts: Mapping[str, str], deletes: Collection[str] = ()
    ) -> int | None:
        """At most 128 comparisons, and 128 puts and deletes (ValueError), within r seconds.

        Raises UnknownOutcome when it was sent and no answer came; after any other error nothing
        was done. NeedsPerson when it is larger than etcd takes.
        """
        well_formed(puts, deletes)
        gone = dict.fromkeys(deletes)
        if max(len(compare) + 1, len(puts) + len(gone)) > wire.LARGEST_COMMIT:
            raise ValueError(f"a commit of more than {wire.LARGEST_COMMIT} keys")
        size = sum(len(key.encode()) + len(value.encode()) for key, value in puts.items())
        if size > wire.LARGEST_BYTES:
            largest = max(puts, key=lambda key: len(puts[key]))
            raise NeedsPerson(f"{largest}: {size} bytes are more than etcd takes at once: make it smaller")
        prefix = self.settings.prefix
        revision = await self._txn(
            [wire.unchanged(prefix + key, wanted) for key, wanted in compare.items()],
            [wire.put(prefix + key, value) for key, value in puts.items()]
            + [wire.delete(prefix + key) for key in gone],
        )
        if revision is not None and puts:
            self._expect_back(revision)
        return revision

    async def watch(self, revision: int) -> AsyncIterator[Change]:
        """Also over the loss of members; ends as the contract says, or with NeedsPerson, StoreLost."""
        self._gateway.check()
        watch = Watch(self._gateway, revision)
        self._watches.add(watch)
        try:
            async with contextlib.aclosing(watch.changes()) as changes:
                async for change in changes:
                    yield change
        finally:
            self._watches.discard(watch)

    async def close(self) -> None:
        for watch in self._watches:
            watch.end(MayHeal("the store is closed"))
        await self._gateway.close()

    # --- its watches, and its health ----------------------------------------------------------

    @property
    def watched(self) -> int:
        """Every change up to this revision has come on every watch; the highest known without any.

        A commit of one's own that is not reached within r + E: the watch is rebuilt. The store
        does so by itself (`EtcdSettings.silence`); `rebuild` is for callers who know better.
        """
        return min((watch.reached for watch in self._watches), default=self._highest)

    def rebuild(self, why: str = "asked to") -> None:
        """Go on with every watch by another member, from where it is; nothing is lost or repeated."""
        for watch in self._watches:
            watch.rebuild(why)

    @property
    def trouble(self) -> str:
        """What is wrong with the members, in words; "" when the one that serves us is well."""
        return self._gateway.trouble

    async def statuses(self) -> Mapping[str, Status | str]:
        """Of every endpoint: how it is, or why that is not known."""
        return await statuses(self._gateway)

    async def members(self) -> tuple[Member, ...]:
        """Who votes, and who is about to. Raises MayHeal."""
        return await members(self._gateway)

    async def compact_if_due(self) -> int | None:
        """Let history go if nobody else does; the revision before which it went, or None.

        Every agent may call it each few minutes: one of them does it.
        """
        return await compact_if_due(self._gateway, self._txn)

    # --- which store it is ----------------------------------------------------------------------

    async def identity(self) -> Identity:
        """The store that answers; `store` is "" until it was founded. Raises StoreLost as all calls do."""
        key = self.settings.own + "id"
        answer = await self._linearizable({"key": wire.b64(key)})
        found = wire.entries_of(answer, "").get(key, Entry("", 0)).value
        self._same_store(found)
        return Identity(self._gateway.cluster, found, wire.revision_of(answer))

    async def found(self, anew: bool = False) -> Identity:
        """Give the store an id if it has none; with `anew` (a recovery) a new one, whatever it has.

        After a new one every other agent holds the store for lost until it accepts it.
        """
        key, made = self.settings.own + "id", new_id()
        before = (await self.identity()).store
        if before and not anew:
            return await self.identity()
        compare = [wire.has_value(key, before)] if before else [wire.unchanged(key, 0)]
        answer = await self._gateway.call("kv/txn", wire.txn(compare, [wire.put(key, made)]), writes=True)
        if answer.get("succeeded"):
            self._store_id = made
        return await self.identity()

    def _same_store(self, found: str) -> None:
        if self._store_id and found != self._store_id:
            what = f"has the id {found}" if found else "has no id"
            raise StoreLost(
                f"the store was replaced: it {what}, ours is {self._store_id}: look at "
                "`standfast cluster status`, then `standfast cluster accept-store`"
            )
        self._store_id = found

    def _not_older(self, revision: int, before: int) -> None:
        if revision < before:
            raise StoreLost(
                f"the store went back in time: it is at revision {revision} and was at {before}, as after "
                "a restore: look at `standfast cluster status`, then `standfast cluster accept-store`"
            )
        self._highest = max(self._highest, revision)

    # --- requests -------------------------------------------------------------------------------

    async def _linearizable(self, body: wire.Json) -> wire.Json:
        before = self._highest
        answer = await self._gateway.call("kv/range", body)
        self._not_older(wire.revision_of(answer), before)
        return answer

    async def _txn(self, compare: list[wire.Json], success: list[wire.Json]) -> int | None:
        """The revision; None when a comparison failed in our store."""
        key, before = self.settings.own + "id", self._highest
        mine = [wire.has_value(key, self._store_id)] if self._store_id else []
        answer = await self._gateway.call(
            "kv/txn", wire.txn([*mine, *compare], success, [wire.get(key)]), writes=True
        )
        if not answer.get("succeeded") and mine:
            found = wire.entries_of(answer["responses"][0]["response_range"], "")
            self._same_store(found.get(key, Entry("", 0)).value)
        self._not_older(wire.revision_of(answer), before)
        return wire.revision_of(answer) if answer.get("succeeded") else None

    def _expect_back(self, revision: int) -> None:
        loop = asyncio.get_running_loop()
        for watch in self._watches:
            loop.call_later(self.settings.silence, self._came_back, watch, revision, watch.rebuilt)

    def _came_back(self, watch: Watch, revision: int, rebuilt: int) -> None:
        """A watch rebuilt since has a commit of its own to prove itself by."""
        if watch in self._watches and watch.reached < revision and watch.rebuilt == rebuilt:
            watch.rebuild(f"its watch is silent: revision {revision} has not come")
