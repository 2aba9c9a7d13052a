"""Files of this node → the documents that all hosts share; what is shared → what is in force here.

A node applies a file when it differs from what it last applied from it. What is in force is what the store
has, whoever applied it; a file that says something else is told so, and overwrites nothing.
"""

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from reconciler.contracts import Driver
from reconciler.decide import asked, claims, keys
from reconciler.decide.asked import Asked
from reconciler.decide.documents import Flavour
from reconciler.decide.travel import needs_stop
from reconciler.engine.cluster import Cluster
from reconciler.engine.desk import Desk
from reconciler.engine.record import Record
from reconciler.errors import Fault, MayHeal, NeedsPerson, StoreLost
from reconciler.model import Service

RETRY = 1.0
NOT_UNDERSTOOD = "the document in the store is not understood: a later version wrote it; upgrade this node"


@dataclass(frozen=True)
class Shared:
    """One document as the store has it. `node`: where its file is. `content`: base64."""

    node: str
    path: str
    flavour: Flavour
    generation: str
    content: str
    deleted: bool = False


@dataclass(frozen=True)
class Offer:
    """A file of this node that is fit to be in force."""

    service: Service
    path: str
    flavour: Flavour
    content: bytes

    @property
    def generation(self) -> str:
        return self.service.generation


class Shelf(Protocol):
    """What is in force here; the library. `refused_here`: why the store's is not, by key.

    loaded  set once it has what was in force before this agent.
    """

    refused_here: dict[str, str]
    loaded: asyncio.Event

    async def know(self, hosts: Mapping[str, Mapping[str, str]]) -> None:
        """The labels of all hosts by name, which documents may select by."""
        ...

    async def take(self, key: str, path: str, flavour: Flavour, content: bytes) -> bool:
        """Put it in force; False when it is refused here."""
        ...

    def let_go(self, key: str, who: str) -> None:
        """It was removed."""
        ...

    def look_again(self) -> None:
        """What is said of a file may be something else now."""
        ...


class Travel:
    def __init__(
        self,
        node: str,
        cluster: Cluster,
        desk: Desk,
        drivers: Mapping[str, Driver],
        records: Mapping[str, Record],
    ) -> None:
        self._node, self._cluster, self._desk = node, cluster, desk
        self._drivers, self._records = drivers, records
        self.shelf: Shelf  # set by who wires the parts
        self.accepted = False  # the store is not the one that files were applied to: a person took it
        self._offers: dict[str, Offer | None] = {}  # to be applied, or removed (None)
        self._waits: dict[str, str] = {}
        self._arrived: dict[str, None] = {}
        self._stale = False  # what is said of files may be something else now
        self._news = asyncio.Event()

    # --- asked by the library --------------------------------------------------------------

    def offer(self, offer: Offer) -> None:
        """A file that is new or was changed."""
        self._offers[offer.service.key] = offer
        self._news.set()

    def remove(self, key: str) -> None:
        """Its file is gone, or it was purged."""
        self._offers[key] = None
        self._news.set()

    def mine(self, key: str) -> bool:
        """Its document in force came from a file of this node."""
        stored = self.stored(key)
        return stored is None or stored.node == self._node

    def stored(self, key: str) -> Shared | None:
        entry = self._cluster.view.entries.get(keys.document(key))
        return read(entry.value) if entry else None

    def unknown(self, key: str) -> bool:
        """The store has something that a later version wrote: it is neither followed nor overwritten."""
        return keys.document(key) in self._cluster.view.entries and self.stored(key) is None

    def behind(self, record: Record) -> str:
        """Why what is in force here is not what the store has, "" when it is: nobody claims by another."""
        stored = self.stored(record.key)
        if stored is None:
            return NOT_UNDERSTOOD if self.unknown(record.key) else ""
        if stored.generation == record.service.generation:
            return ""
        why = self.shelf.refused_here.get(record.key, "it was read a moment ago")
        return f"the document of {stored.node} ({stored.path}) is not in force here: {why}"

    def cannot(self, key: str) -> str:
        """Why this node cannot run it at all, as the others are told; "" when it can."""
        why = self.shelf.refused_here.get(key, "")
        return f"refuses its document: {why}" if why else ""

    def settled(self, key: str, generation: str) -> bool:
        """A file with this content needs no look: it was applied, or is being applied."""
        offer = self._offers.get(key)
        if offer is not None:
            return offer.generation == generation
        return self._desk.applied_file(key) == generation

    def fault(self, key: str, path: str, generation: str) -> Fault | None:
        """Why a file of this node is not what is in force."""
        if why := self._waits.get(key):
            return Fault(path, 0, "", f"is not in force yet: {why}", "It is applied by itself then.")
        stored = self.stored(key)
        if stored is None or key in self._offers or stored.generation == generation:
            return None
        if self._desk.applied_file(key) != generation:
            return None
        if stored.deleted:
            what = f"was removed on {stored.node} after it was applied here"
            return Fault(path, 0, "", what, "Remove this file, or save it with a change to apply it again.")
        what = f"is not what is in force: another one was applied later, on {stored.node} ({stored.path})"
        return Fault(path, 0, "", what, "Make the two files equal, or save this one with a change.")

    # --- told by the store -----------------------------------------------------------------

    def arrived(self, key: str, text: str | None) -> None:
        """The store's document of a service is another one now."""
        self._arrived[key] = None
        self._news.set()

    def host(self) -> None:
        """What a host tells of itself is something else now."""
        self._news.set()

    def ended(self, key: str) -> None:
        """Nothing is left of a removed service here: nobody holding it, its document can go."""
        if (stored := self.stored(key)) and stored.deleted:
            self._offers.setdefault(key, None)
            self._news.set()

    # --- the work --------------------------------------------------------------------------

    async def run(self) -> None:
        """For ever; raises StoreLost."""
        await self.shelf.loaded.wait()  # else it would put that in force over what the store has
        await self._cluster.read()
        kept = self._cluster.view.entries
        for key in [k for k in self._records if keys.document(k) not in kept and k not in self._offers]:
            if not self._desk.applied_file(key):
                continue
            if self.accepted:  # it never had it: what is in force stays, and its file is offered anew
                self._desk.put_applied_file(key, "")
                self._stale = True
            else:  # the cluster removed it while this node was away
                self.shelf.let_go(key, "the cluster")
        while True:
            await self.shelf.know(self._cluster.peers.labels())
            for key in list(self._arrived):
                del self._arrived[key]
                await self._take(key)
            failed = False
            for key in list(self._offers):
                failed = not await self._apply(key) or failed
            if self._stale:  # once for all of them: it looks at every file
                self._stale = False
                self.shelf.look_again()
            if not self._arrived:
                try:
                    async with asyncio.timeout(RETRY if failed else None):
                        await self._news.wait()
                except TimeoutError:
                    continue
            self._news.clear()

    async def _take(self, key: str) -> None:
        stored = self.stored(key)
        if self.unknown(key):
            return  # what is in force stays
        if stored is None or stored.deleted:
            if key in self._records and not self._records[key].deleted:
                self.shelf.let_go(key, stored.node if stored else "the cluster")
            return
        content = base64.b64decode(stored.content)
        await self.shelf.take(key, stored.path, stored.flavour, content)
        self._stale = True

    async def _apply(self, key: str) -> bool:
        """Whether nothing is left to be done about it."""
        offer = self._offers[key]
        try:
            why = await (self._gone(key) if offer is None else self._put(key, offer))
        except StoreLost:
            raise
        except (MayHeal, NeedsPerson) as fault:
            why = str(fault)
        if self._offers.get(key) is offer and not why:
            del self._offers[key]
        if why != self._waits.get(key, ""):
            self._waits[key] = why
            if not why:
                del self._waits[key]
            self._stale = True
        return not why

    async def _put(self, key: str, offer: Offer) -> str:
        stored = self.stored(key)
        same = stored is not None and not stored.deleted and stored.generation == offer.generation
        if not same:
            if self._desk.applied_file(key) == offer.generation:
                return ""  # unchanged since it was applied: another one was applied after it
            if self.unknown(key):
                return NOT_UNDERSTOOD
            stop = self._needs_stop(key, stored, offer.service)
            content = base64.b64encode(offer.content).decode()
            shared = Shared(self._node, offer.path, offer.flavour, offer.generation, content)
            anew = self._asked_anew(key) if stored is None or stored.deleted else ""
            if why := await self._commit(offer.service, shared, stop, anew):
                return why
        elif stored and self._desk.unsure(key) and (why := await self._commit(offer.service, stored)):
            return why
        self._desk.put_applied_file(key, offer.generation)
        return ""

    async def _commit(self, service: Service, shared: Shared, stop: str = "", asked: str = "") -> str:
        """Also what the store has already, where a commit before may land late: it finds it changed."""
        self._desk.put_unsure(service.key, True)
        why = await self._cluster.put_document(service, written(shared), stop, asked)
        if not why:
            self._desk.put_unsure(service.key, False)
        return why

    def _asked_anew(self, key: str) -> str:
        """What was asked before it was removed is over, a purge above all; a freeze still stands."""
        return json.dumps(asked.written(Asked(frozen=self._desk.asked(key).frozen)), sort_keys=True)

    def _needs_stop(self, key: str, stored: Shared | None, after: Service) -> str:
        """Compared with what others run it by; where that is not known here, nobody may."""
        record = self._records.get(key)
        if stored is None or stored.generation == after.generation:
            return ""
        if stored.deleted and not _orphaned(record):
            return "it was removed"
        if record is None or record.service.generation != stored.generation:
            return f"the document of {stored.node} ({stored.path}) is not in force here"
        return needs_stop(record.service, after, self._drivers)

    async def _gone(self, key: str) -> str:
        stored, record = self.stored(key), self._records.get(key)
        if stored is None:
            return ""
        if not stored.deleted:
            service = record.service if record else Service(key.partition("/")[2], key.partition("/")[0])
            return await self._commit(service, replace(stored, deleted=True))
        if record is None and not self._held(key):
            return await self._cluster.drop_document(key)
        return ""

    def _held(self, key: str) -> bool:
        view = self._cluster.view
        return any(
            c is None or not claims.free(c, view.sessions) for c in view.claims.get(key, {}).values()
        )


def _orphaned(record: Record | None) -> bool:
    """What it has up stays, and is to be looked after again when its document comes back."""
    return record is not None and record.deleted and record.service.on_delete == "orphan"


def written(shared: Shared) -> str:
    return json.dumps(asdict(shared), sort_keys=True)


def read(text: str) -> Shared | None:
    """The reverse; None when it is not understood: what is in force stays."""
    try:
        return Shared(**json.loads(text))
    except (ValueError, TypeError):
        return None
