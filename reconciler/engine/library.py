"""Files of the watched directory → the document in force of each service, the last good one kept.

What is invalid, half written, unreadable or doubtful changes nothing: a condition says so, and what
is in force is still looked after.
"""

import asyncio
import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reconciler.contracts import Clock, Event, Recorder
from reconciler.decide.documents import Checked, Flavour, Home, generation_of
from reconciler.engine.desk import Desk
from reconciler.engine.directory import Directory, File, Listing
from reconciler.engine.prune import TOGETHER, Verdict, judge
from reconciler.engine.reading import Reader
from reconciler.engine.record import Record
from reconciler.engine.travel import Offer, Travel
from reconciler.errors import Fault

NOT_HERE = (0, 0, 0, 0, 0, 0)  # the signature of what is no file of this node


@dataclass(frozen=True)
class Trouble:
    """A key whose files are not (all) in force, and why."""

    path: str
    key: str
    faults: tuple[Fault, ...]


class Library:
    def __init__(
        self,
        root: Path,
        reader: Reader,
        desk: Desk,
        records: dict[str, Record],
        recorder: Recorder,
        clock: Clock,
        changed: Callable[[str], None],
        removal_after: float,
    ) -> None:
        """`changed` queues a key. `records` is shared with the passes."""
        self._reader, self._desk, self._records = reader, desk, records
        self._directory = Directory(root, strict=reader.home.root)
        self._recorder, self._clock, self._changed = recorder, clock, changed
        self._removal_after = removal_after
        self._files: Mapping[str, File] = {}
        self._refused: dict[str, _Refused] = {}  # by path, as last checked
        self._loaded: set[str] = set()  # keys in force before this agent started
        self._missing: dict[str, float] = {}  # key → loop time when it was first missed
        self._removed_lately: list[float] = []
        self._scanning = asyncio.Lock()
        self.travel: Travel | None = None  # where several hosts share their documents
        self.refused_here: dict[str, str] = {}  # what the store has and this node cannot read, by key
        self._again: asyncio.Future[None] | None = None
        self.verdict = Verdict()
        self.loaded = asyncio.Event()
        self.real = ""
        self.listed = False
        self.scans = 0
        self.last_success = 0.0  # wall-clock
        self.troubles: dict[str, Trouble] = {}  # by path
        self.lints: dict[str, tuple[Fault, ...]] = {}  # by key

    async def load(self) -> None:
        """What was in force before this daemon started."""
        stored = dict(self._desk.documents())
        self.verdict = Verdict(held=self._desk.prune_held())
        if self.travel:
            self._reader.home = replace(self.home, hosts=self._desk.hosts())
        for key, kept in stored.items():
            checked = await self._reader.checked(_file(key, kept), len(stored))
            if checked.service is None:  # a newer agent reads it more strictly
                self.troubles[str(kept["path"])] = Trouble(str(kept["path"]), key, checked.faults)
                continue
            record = Record(key, checked.service, checked.document, deleted=bool(kept.get("deleted")))
            self._records[key] = record
            self._loaded.add(key)
            self._changed(key)
        self.loaded.set()

    @property
    def home(self) -> Home:
        """What documents may refer to, and select by, as of now."""
        return self._reader.home

    @property
    def held(self) -> set[str]:
        """Keys whose removal waits for a person."""
        return set(self._missing) if self.verdict.held else set()

    async def settle(self) -> None:
        """Look until all that is missing is judged."""
        again_in: float | None = 0.0
        while again_in is not None:
            await asyncio.sleep(again_in)
            again_in = await self.scan()

    async def scan(self, confirmed: bool = False) -> float | None:
        """Look at the directory; returns the seconds after which a removal is to be judged again."""
        async with self._scanning:
            listed = await self._directory.listed(self._files)
            self.real, self.listed = listed.real, listed.readable
            if listed.readable:
                await self._take_in(listed)
                self._files = listed.files
                self.last_success = self._clock.wall()
            self.scans += 1
            again_in = self._judge_missing(listed, confirmed)
            self._desk.put_prune_held(self.verdict.held)  # the next daemon must not remove it either
            return again_in

    # --- what is there ---------------------------------------------------------------------

    async def _take_in(self, listed: Listing) -> None:
        by_key: dict[str, list[File]] = {}
        for file in listed.files.values():
            by_key.setdefault(file.key, []).append(file)
        troubles = {f.file: Trouble(f.file, "", (f,)) for f in listed.strays}
        changed: list[File] = []
        for key, files in by_key.items():
            if len(files) > 1:
                for file in files:
                    troubles[file.path] = Trouble(file.path, key, (_duplicate(file, files),))
            elif files[0].fault:
                troubles[files[0].path] = Trouble(files[0].path, key, (files[0].fault,))
            elif self.travel and self._travels(files[0], troubles):
                continue
            elif known := self._known(files[0]):
                troubles[files[0].path] = Trouble(files[0].path, known.meant, known.faults)
            elif self.travel or self._is_new(files[0]):  # in force here may be what no other host knows
                changed.append(files[0])
        async for file, checked in self._reader.all(changed):
            self._refused.pop(file.path, None)
            if checked.service is None:
                refused = self._refused[file.path] = _Refused(file, checked.faults, _meant(file, checked))
                troubles[file.path] = Trouble(file.path, refused.meant, checked.faults)
            elif self.travel:
                self.travel.offer(Offer(checked.service, file.path, file.flavour, file.content or b""))
                self.lints[file.key] = checked.lints
            else:
                self._put_in_force(file, checked)
        self._tell(troubles)

    def _travels(self, file: File, troubles: dict[str, Trouble]) -> bool:
        """It was offered to all hosts already; whether it is in force is told."""
        assert self.travel
        generation = generation_of(file.content or b"")
        if fault := self.travel.fault(file.key, file.path, generation):
            troubles[file.path] = Trouble(file.path, file.key, (fault,))
        return self.travel.settled(file.key, generation)

    # --- what all hosts share --------------------------------------------------------------

    async def take(self, key: str, path: str, flavour: Flavour, content: bytes) -> bool:
        """Put in force what the store has; False when this node refuses it: what is in force stays."""
        file = File(path, key, flavour, NOT_HERE, content)
        if not self._is_new(file):
            return True
        checked = await self._reader.checked(file)
        if checked.service is None:
            self.refused_here[key] = "; ".join(fault.what for fault in checked.faults)
            return False
        self.refused_here.pop(key, None)
        self._put_in_force(file, checked)
        return True

    def let_go(self, key: str, who: str) -> None:
        """Its document was removed, here or on another node."""
        record = self._records[key]
        self._count_what_was_begun(record)
        record.deleted, record.faults = True, ()
        self.lints.pop(key, None)
        self._keep_as_deleted(key)
        self._event(key, f"removed by {who}, on_delete: {record.service.on_delete}", "Removed")
        self._changed(key)

    async def know(self, hosts: Mapping[str, Mapping[str, str]]) -> None:
        """The cluster's hosts, by name with their labels: whoever selects by them has other nodes now."""
        if hosts == self.home.hosts:
            return
        self._reader.home = replace(self.home, hosts=hosts)
        self._desk.put_hosts(hosts)
        choosers = [record for record in self._records.values() if record.service.selectors]
        for record in choosers:
            await self._select_anew(record, len(choosers))

    async def _select_anew(self, record: Record, together: int) -> None:
        kept = self._desk.document(record.key)
        if kept is None:
            return
        before = record.service
        checked = await self._reader.checked(_file(record.key, kept), together)
        if record.service is not before or checked.service is None or checked.service == before:
            return  # a document that came meanwhile was read with the same hosts
        if checked.service.nodes != before.nodes:
            self._event(record.key, f"its nodes are {checked.service.nodes_shown}", "Nodes")
        record.service, record.document = checked.service, checked.document
        self._changed(record.key)

    def look_again(self) -> None:
        """What is said of files may be something else now."""
        self._again = asyncio.ensure_future(self.settle())

    def _known(self, file: File) -> "_Refused | None":
        """Of a file that was refused and has not changed since."""
        refused = self._refused.get(file.path)
        return refused if refused and refused.file is file else None

    def _is_new(self, file: File) -> bool:
        """What is in force is not this very content from this very path."""
        record = self._records.get(file.key)
        if record is None or record.deleted or record.service.source != file.path:
            return True
        return record.service.generation != generation_of(file.content or b"")

    def _put_in_force(self, file: File, checked: Checked) -> None:
        assert checked.service is not None
        record = self._records.get(file.key)
        known = record is not None and not record.deleted
        if record and known and record.service.generation == checked.service.generation:
            record.service, record.document = checked.service, checked.document
            self._desk.put_document(file.key, _kept(file))
        else:
            text = "changed" if known else "new"
            self._event(file.key, f"{file.path}: {text}", "Changed" if known else "New")
            if record is None:
                record = self._records[file.key] = Record(file.key, checked.service)
            elif known:
                self._count_what_was_begun(record)
            record.service, record.document, record.deleted = checked.service, checked.document, False
            # What failed under the old document is no verdict on the new one.
            record.budgets.clear()
            record.attempt.failed_until = record.attempt.conflict_until = 0.0
            self._desk.put_document(file.key, _kept(file))
        self._missing.pop(file.key, None)
        self.lints[file.key] = checked.lints
        self._changed(file.key)

    def _count_what_was_begun(self, record: Record) -> None:
        """An agent that was killed may have begun to start what it could not keep any more as applied.

        To be asked before its document is replaced: what of that is down is forgotten by the first pass.
        """
        asked, service = self._desk.asked(record.key), record.service
        by_itself = service.orchestrate != "no" and service.state == "started"
        wanted = asked.standing.verb == "start" if asked.standing else by_itself
        if record.key not in self._loaded or record.passes or not (wanted or asked.wish):
            return
        applied = self._desk.applied(record.key)
        for resource in service.resources:
            if resource.rid not in applied and not resource.common.disable:
                self._desk.put_applied(record.key, resource.rid, resource)

    def _tell(self, troubles: dict[str, Trouble]) -> None:
        """Faults as conditions of their services; said once each."""
        for path, trouble in troubles.items():
            old = self.troubles.get(path)
            if old is None or old.faults != trouble.faults:
                for fault in trouble.faults:
                    self._event(trouble.key, str(fault), "Invalid", ok=False)
        by_key: dict[str, tuple[Fault, ...]] = {}
        for trouble in troubles.values():
            by_key[trouble.key] = by_key.get(trouble.key, ()) + trouble.faults
        self.troubles = troubles
        for key, record in self._records.items():
            faults = by_key.get(key, ())
            if record.faults != faults:
                record.faults = faults
                self._changed(key)

    # --- what is gone ----------------------------------------------------------------------

    def _judge_missing(self, listed: Listing, confirmed: bool) -> float | None:
        """`confirmed`: a person saw what is held back, and that goes; what went since is judged anew."""
        now, seen = asyncio.get_running_loop().time(), self.held if confirmed else set()
        present = {file.key for file in listed.files.values()}
        # Renamed with its old name inside, it is refused: that must not remove what it describes.
        present |= {known.meant for file in listed.files.values() if (known := self._known(file))}
        in_force = [k for k, record in self._records.items() if not record.deleted and self._of_a_file(k)]
        self._missing = {k: self._missing.get(k, now) for k in in_force if k not in present}
        if said := seen & self._missing.keys():
            self.verdict = Verdict(frozenset(said))
            for key in said:
                self._remove(key, now)
            return self._removal_after if self._missing else None
        ripe = [k for k, at in self._missing.items() if now - at >= self._removal_after]
        if len(ripe) < len(self._missing):
            # All that vanished together is judged together.
            return self._removal_after
        self._removed_lately = [at for at in self._removed_lately if now - at < TOGETHER]
        lately, held = len(self._removed_lately), bool(self.verdict.held)
        verdict = judge(in_force, ripe, lately, listed.readable, held)
        if verdict.held and verdict.held != self.verdict.held:
            self._event("", f"prune held: {verdict.held}", "PruneHeld", ok=False)
        self.verdict = verdict
        for key in verdict.removed:
            self._remove(key, now)
        return None

    def discard(self, key: str) -> None:
        """The service was purged: its document goes, too, and nothing stays of it. Blocks shortly.

        If the file cannot be removed the service stays, asked to be stopped: made anew it would be
        provisioned again.
        """
        record = self._records[key]
        try:
            self._directory.remove(record.service.source)
        except FileNotFoundError:
            pass
        except OSError as fault:
            why = f"{record.service.source} cannot be removed: {fault.strerror}; remove it yourself"
            self._event(key, why, "Purged", ok=False)
            return
        if self.travel:
            self.travel.remove(key)
        record.deleted = True
        self._keep_as_deleted(key)
        self._changed(key)

    def _keep_as_deleted(self, key: str) -> None:
        """The next daemon goes on with it."""
        if kept := self._desk.document(key):
            self._desk.put_document(key, {**kept, "deleted": True})

    def _of_a_file(self, key: str) -> bool:
        """Of a file of this node, and not only of another one's."""
        return self.travel is None or (self.travel.mine(key) and bool(self._desk.applied_file(key)))

    def _remove(self, key: str, now: float) -> None:
        if self.travel:
            self._removed_lately.append(now)
            self._missing.pop(key, None)
            self._desk.put_applied_file(key, "")
            self.travel.remove(key)
            return
        record = self._records[key]
        self._count_what_was_begun(record)
        record.deleted = True
        record.faults = ()
        self._removed_lately.append(now)
        del self._missing[key]
        self.lints.pop(key, None)
        self._keep_as_deleted(key)
        self._event(
            key, f"{record.service.source}: removed, on_delete: {record.service.on_delete}", "Removed"
        )
        self._changed(key)

    def _event(self, key: str, text: str, reason: str, ok: bool = True) -> None:
        self._recorder.record(Event(self._clock.wall(), "document", key, reason=reason, text=text, ok=ok))


@dataclass(frozen=True)
class _Refused:
    """A file as it was refused, and the key of the service that it means."""

    file: File
    faults: tuple[Fault, ...]
    meant: str


def _meant(file: File, checked: Checked) -> str:
    """The key its own metadata name, else that of its path."""
    metadata = checked.document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return f"{file.key.partition('/')[0]}/{name}" if isinstance(name, str) and name else file.key


def _duplicate(file: File, files: list[File]) -> Fault:
    others = ", ".join(f.path for f in files if f is not file)
    return Fault(
        file.path,
        0,
        "",
        f"two files describe {file.key}: also {others}",
        "Remove one; what was in force stays.",
    )


def _file(key: str, kept: Mapping[str, Any]) -> File:
    return File(str(kept["path"]), key, kept["flavour"], NOT_HERE, base64.b64decode(str(kept["content"])))


def _kept(file: File) -> dict[str, str]:
    content = base64.b64encode(file.content or b"").decode()
    return {"path": file.path, "flavour": file.flavour, "content": content}
