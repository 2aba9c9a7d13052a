"""What must be kept between passes and restarts: memory, wishes, applied specs, last good documents.

Everything is read from memory and written through to the store. A store that fails costs nothing
but durability: the values stay here, `failing` says why, and the write is tried again.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from reconciler.contracts import Clock, Store
from reconciler.decide.asked import NOBODY, Asked, Frozen, Wish, read, written
from reconciler.decide.frames import packed, unpacked
from reconciler.decide.situations import Memories
from reconciler.engine.shared_wishes import SharedWishes
from reconciler.errors import MayHeal
from reconciler.model import Owner, Resource

RETRY = 2.0
PATIENCE = 1.0
"""Seconds that the start of a resource waits for what it applies to be kept."""
TOGETHER = 0.02
"""Seconds that a write nobody waits for may wait for others: a repair comes first, and one commit
costs as much as ten."""
SHARED_PATIENCE = 5.0
"""Seconds in which the store of several hosts must have taken what was asked."""
SLICE = 0.002  # seconds of values written as JSON before the loop gets its turn
AS_TEXT = ("document", "applied")
"""Kinds kept as the store has them, one string for both, until somebody asks what they say."""


class Desk:
    """Kept values of one node.

    `changed` is called with the key of a service of which something else is to be said now: a wish
    was written, or the store began to fail, or healed.
    """

    def __init__(
        self, store: Store, node: str, boot_id: str, clock: Clock, changed: Callable[[str], None]
    ) -> None:
        self._store, self._boot_id, self._clock, self._changed = store, boot_id, clock, changed
        self._prefix = f"nodes/{node}/"
        self._values: dict[str, Any] = {}  # by name: what `_text` says of it, or that text itself
        self._dirty: set[str] = set()
        self._writing: set[str] = set()
        self._replaced: set[str] = set()  # services of which something went, and that is not written yet
        self._wake, self._urgent = asyncio.Event(), asyncio.Event()
        self._flushed = asyncio.Condition()
        self._puts = self._tried = 0  # writes asked for; of these, attempted
        self._asked: dict[str, Asked] = {}
        self._heard: dict[str, tuple[Wish, float]] = {}  # one-off wishes, and the boot-time clock then
        self._writer: asyncio.Task[None] | None = None
        self.shared: SharedWishes | None = None  # where what was asked is the same for several hosts
        self.failing = ""
        self.last_success = 0.0  # wall-clock

    async def start(self) -> None:
        """Read everything; raises MayHeal when the store does not answer."""
        snapshot = await self._store.read(self._prefix)
        for key, entry in snapshot.entries.items():
            name = key.removeprefix(self._prefix)
            self._values[name] = entry.value if _as_text(name) else json.loads(entry.value)
        self._writer = asyncio.create_task(self._write(), name="desk")

    async def close(self) -> None:
        if self._writer:
            await self.durable()
            self._writer.cancel()

    # --- documents -------------------------------------------------------------------------

    def documents(self) -> Mapping[str, Mapping[str, Any]]:
        """Last good documents by service key: path, flavour, text, deleted."""
        return {service: json.loads(self._values[f"document/{service}"]) for service in self._documents()}

    def _documents(self) -> list[str]:
        return [name.partition("/")[2] for name in self._values if name.startswith("document/")]

    def document(self, service: str) -> Mapping[str, Any] | None:
        text = self._values.get(f"document/{service}")
        return json.loads(text) if text else None

    def put_document(self, service: str, document: Mapping[str, Any]) -> None:
        self._put(f"document/{service}", json.dumps(document))

    def applied_file(self, service: str) -> str:
        """The generation that this node last applied from a file of its own, "" for none."""
        return str(self._values.get(f"file/{service}", ""))

    def put_applied_file(self, service: str, generation: str) -> None:
        if generation != self.applied_file(service):
            self._put(f"file/{service}", generation or None)

    def hosts(self) -> Mapping[str, Mapping[str, str]] | None:
        """Labels of the cluster's hosts by name, as the store had them last; None: never read."""
        kept: Mapping[str, Mapping[str, str]] | None = self._values.get("hosts")
        return kept

    def put_hosts(self, hosts: Mapping[str, Mapping[str, str]]) -> None:
        self._put("hosts", hosts)

    def unsure(self, service: str) -> bool:
        """A commit of its document was sent from here, and may land at any time."""
        return f"sent/{service}" in self._values

    def put_unsure(self, service: str, unsure: bool) -> None:
        if unsure != self.unsure(service):
            self._put(f"sent/{service}", True if unsure else None)

    # --- what was asked --------------------------------------------------------------------

    def asked(self, service: str) -> Asked:
        if self.shared:
            return self.shared.get(service)
        if service not in self._asked:
            stored = self._values.get(f"asked/{service}")
            self._asked[service] = read(stored) if stored else NOBODY
        return self._asked[service]

    def put_asked(self, service: str, asked: Asked) -> None:
        if asked == self.asked(service):
            return
        if self.shared:
            self.shared.put(service, asked)
            self._changed(service)
            return
        self._asked[service] = asked
        self._put(f"asked/{service}", None if asked == NOBODY else written(asked))
        self._changed(service)

    def known(self, service: str) -> float:
        """Seconds since this agent was first asked so for its one-off wish; 0 when there is none."""
        wish, now = self.asked(service).wish, self._clock.boottime()
        if wish is None:
            self._heard.pop(service, None)
            return 0.0
        heard, since = self._heard.get(service, (None, now))
        if heard is None or (heard.id, heard.at) != (wish.id, wish.at):
            since = now
        self._heard[service] = (wish, since)
        return now - since

    async def kept(self, service: str) -> str:
        """ "" once what was asked last will survive a restart, else why it may not.

        Raises MayHeal when several hosts share it and their store does not take it: it is not asked then.
        """
        if self.shared:
            await self.shared.kept(service, SHARED_PATIENCE)
            return ""
        await self.durable()
        return self.failing

    def stir(self, service: str) -> None:
        """Something of it that is decided on, and not kept here, is another now."""
        self._changed(service)

    def node_frozen(self) -> Frozen | None:
        stored = self._values.get("frozen")
        return Frozen(**stored) if stored else None

    def node_drained(self) -> Frozen | None:
        """Who asked this node to give away what it runs, and to take nothing on."""
        stored = dict(self._values.get("drained") or {})
        of_now = stored.pop("boot", "") in ("", self._boot_id)
        return Frozen(**stored) if stored and of_now else None

    def put_node_drained(self, drained: Frozen | None, until_reboot: bool = False) -> None:
        boot = {"boot": self._boot_id} if until_reboot else {}
        self._put("drained", vars(drained) | boot if drained else None)

    def put_node_frozen(self, frozen: Frozen | None) -> None:
        self._put("frozen", vars(frozen) if frozen else None)

    def prune_held(self) -> str:
        """Why documents that are gone are not believed to be, "" when they are."""
        return str(self._values.get("prune", ""))

    def put_prune_held(self, why: str) -> None:
        if why != self.prune_held():
            self._put("prune", why or None)

    # --- memory ----------------------------------------------------------------------------

    def memory(self, owner: Owner) -> Mapping[str, str]:
        """What still holds: for ever, or since this boot."""
        return self.memories(owner.service).of(owner.rid)

    def memories(self, service: str) -> Memories:
        """All of a service, as it is now: what is remembered later makes another value."""
        return Memories(self._values.get(f"memory/{service}", {}), self._boot_id)

    def remember(self, owner: Owner, key: str, value: str | None, until: str = "forever") -> None:
        name = f"memory/{owner.service}"
        everything = dict(self._values.get(name, {}))
        mine = dict(everything.get(owner.rid, {}))
        mine.pop(key, None)
        if value is not None:
            mine[key] = _held(value, self._boot_id if until == "reboot" else "")
        everything[owner.rid] = mine
        if not mine:
            del everything[owner.rid]
        if everything != self._values.get(name, {}):
            self._put(name, everything or None)
            if until == "forever":  # that data was made once must not be forgotten
                self._urgent.set()

    # --- applied specs ---------------------------------------------------------------------

    def applied(self, service: str) -> Mapping[str, Resource]:
        """Resources as last applied here, by rid."""
        name = f"applied/{service}"
        kept: Any = self._values.get(name, {})
        if isinstance(kept, str):
            kept = {rid: unpacked(rid, frame) for rid, frame in json.loads(kept).items()}
            self._values[name] = kept
        return kept  # type: ignore[no-any-return]  # resources by rid

    def put_applied(self, service: str, rid: str, resource: Resource | None) -> None:
        applied = dict(self.applied(service))
        if rid in applied and applied[rid] != resource:
            self._replaced.add(service)
        if resource is None:
            if applied.pop(rid, None) is None:
                return
        elif applied.get(rid) == resource:
            return
        else:
            applied[rid] = resource
        self._put(f"applied/{service}", applied or None)

    def forget(self, service: str) -> None:
        """The service is gone and nothing of it is left here.

        But for what was provisioned: should its document come back, missing data is not made anew.
        What several hosts share of it is forgotten with its next document: it may not be gone for all.
        """
        for kind in ("document", "asked", "applied"):
            self._put(f"{kind}/{service}", None)
        kept = self._values.get(f"memory/{service}", {})
        made = {rid: {"provisioned": m["provisioned"]} for rid, m in kept.items() if "provisioned" in m}
        self._put(f"memory/{service}", made or None)
        self._asked.pop(service, None)
        self._heard.pop(service, None)

    # --- writing ---------------------------------------------------------------------------

    def _put(self, name: str, value: Any) -> None:
        if value is None and name not in self._values:
            return
        if value is None:
            self._values.pop(name)
        else:
            self._values[name] = value
        self._dirty.add(name)
        self._puts += 1
        self._wake.set()

    async def durable(self) -> None:
        """Until all that was put so far is in the store, or an attempt to write it failed."""
        upto = self._puts
        self._urgent.set()
        async with self._flushed:
            await self._flushed.wait_for(lambda: self._tried >= upto)

    async def start_durable(self, service: str) -> None:
        """`durable`, before a start: at once unless its document is new, or what it replaces went just now.

        The next agent goes by the two to know what there may be. Not for ever either: a disk that
        hangs must not keep services down.
        """
        unwritten = self._dirty | self._writing if self._dirty or self._writing else ()
        if f"document/{service}" in unwritten or service in self._replaced:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self.durable()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            await self._company()
            self._wake.clear()
            self._urgent.clear()
            names, self._dirty, upto = self._dirty, set(), self._puts
            self._writing = names
            try:
                puts, deletes = await self._written(names)
                await self._store.commit({}, puts, deletes)
                written = (name.partition("/") for name in names - self._dirty)
                self._replaced -= {service for kind, _, service in written if kind == "applied"}
                self._works("")
                self.last_success = self._clock.wall()
            except Exception as fault:  # also a bug of the store: whoever waits for this must not hang
                self._works(str(fault) if isinstance(fault, MayHeal) else repr(fault))
                self._dirty |= names
                asyncio.get_running_loop().call_later(RETRY, self._wake.set)
            self._writing = set()
            async with self._flushed:
                self._tried = upto
                self._flushed.notify_all()

    def _works(self, failing: str) -> None:
        """Every service has a condition that says whether what is asked of it is kept."""
        turned, self.failing = bool(failing) != bool(self.failing), failing
        if turned:
            for service in self._documents():
                self._changed(service)

    async def _company(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TOGETHER):
                await self._urgent.wait()

    async def _written(self, names: Iterable[str]) -> tuple[dict[str, str], list[str]]:
        """What is to be put, and what deleted. What changes meanwhile is written once more."""
        puts: dict[str, str] = {}
        deletes: list[str] = []
        clock = asyncio.get_running_loop().time
        turn = clock()
        for name in names:
            if name in self._values:
                puts[self._prefix + name] = self._text(name)
            else:
                deletes.append(self._prefix + name)
            if clock() - turn > SLICE:
                await asyncio.sleep(0)
                turn = clock()
        return puts, deletes

    def _text(self, name: str) -> str:
        value = self._values[name]
        if isinstance(value, str) and _as_text(name):
            return value
        if name.startswith("applied/"):
            value = {rid: packed(resource) for rid, resource in value.items()}
        return json.dumps(value)


def _as_text(name: str) -> bool:
    return name.partition("/")[0] in AS_TEXT


@lru_cache(maxsize=1024)
def _held(value: str, boot: str) -> tuple[str, str]:
    """Thousands remember the same: that they were started once, that they are provisioned."""
    return value, boot
