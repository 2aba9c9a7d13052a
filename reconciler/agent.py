"""The engine as the API sees it: objects to read, wishes to take, changes to follow."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from reconciler.adapters.facts.hub import Hub
from reconciler.adapters.journal import SqliteJournal
from reconciler.api.agent import Object, Principal
from reconciler.api.fanout import Fanout
from reconciler.contracts import Clock, Event
from reconciler.decide.cases import written
from reconciler.decide.documents import check
from reconciler.decide.documents.identity import identity
from reconciler.engine.decisions import Decisions, Kept
from reconciler.engine.desk import Desk
from reconciler.engine.jobs import Jobs
from reconciler.engine.library import Library
from reconciler.engine.neighbours import Neighbours
from reconciler.engine.reconcile import Reconciler
from reconciler.engine.record import Record
from reconciler.engine.view import View, frozen_object, plan_object
from reconciler.engine.wishes import Wishes
from reconciler.errors import Fault, NeedsPerson, Refused
from reconciler.settings import Settings

TOGETHER = 0.02
"""Seconds after a pass until all are told of it: on its way up a service changes at every step."""
AT_ONCE = 10  # objects built before the loop gets its turn
SHARE, MOST = 9.0, 0.5
"""Building what is shown leaves nine times as long free as it took, but at most half a second: many
services on their way up would spend a tenth of it on what nobody has read yet."""


class LocalAgent:
    """Everything a client can see or ask for on one node; implements `api.agent.Agent`."""

    def __init__(
        self,
        settings: Settings,
        reconciler: Reconciler,
        desk: Desk,
        jobs: Jobs,
        library: Library,
        wishes: Wishes,
        journal: SqliteJournal,
        hub: Hub,
        clock: Clock,
        wake: Callable[[str], None],
        store_kind: str,
    ) -> None:
        """`wake` queues a key."""
        self._hub, self._store_kind = hub, store_kind
        self.metrics = ""  # where they are served
        self.api = ""  # where it is, over TLS
        self._settings, self._reconciler, self._desk = settings, reconciler, desk
        self._jobs = jobs
        self._library, self._wishes, self._journal = library, wishes, journal
        self._clock, self._wake = clock, wake
        self._records = reconciler.records
        self._view = View(settings.node, desk, jobs)
        self._objects: dict[str, Object] = {}
        self._built_from: dict[str, tuple[Any, ...]] = {}
        self._changed: dict[str, None] = {}  # keys whose object is older than their last pass
        self._building = 0.0  # seconds it took lately
        self._free = 0.0  # loop time until which others come first
        self.neighbours: Neighbours | None = None  # where several hosts share a store
        self.fanout = Fanout()
        self.kept = Decisions()  # told by the passes
        self.started = clock.wall()
        self.notices: list[str] = []  # what a person should know of the agent itself

    def among(self, neighbours: Neighbours) -> None:
        """Services are those of several hosts from now on."""
        self.neighbours = neighbours
        self._view.others, self._view.claims = neighbours.others, neighbours.claims
        self._view.ranked = neighbours.ranked

    # --- kept up by the passes -------------------------------------------------------------

    def passed(self, key: str) -> None:
        """A pass over the key ended: build its object anew, soon, if anything of it changed."""
        source = _source(self._records[key], self._desk, self._jobs)
        if self._built_from.get(key) == source:
            return
        self._built_from[key] = source
        if not self._changed:
            loop = asyncio.get_running_loop()
            loop.call_at(max(loop.time() + TOGETHER, self._free), self._build_changed)
        self._changed[key] = None

    def shown(self, key: str) -> None:
        """Another node says something else of it."""
        if key in self._records:
            self._built_from.pop(key, None)
            self.passed(key)

    def _build_changed(self) -> None:
        """A few; the others in the next turns of the loop."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for key in list(self._changed)[:AT_ONCE]:
            self._build(self._records[key])
        self._building += loop.time() - began
        if self._changed:
            loop.call_soon(self._build_changed)
        else:
            self._free = loop.time() + min(SHARE * self._building, MOST)
            self._building = 0.0

    def _current(self, record: Record) -> Object:
        """As of its last pass."""
        known = None if record.key in self._changed else self._objects.get(record.key)
        return known or self._build(record)

    def _build(self, record: Record) -> Object:
        self._changed.pop(record.key, None)
        old = self._objects.get(record.key)
        made = self._view.service(record, old, self._clock.wall())
        if made != old:
            self._objects[record.key] = made
            if self.neighbours:
                self.neighbours.tell(record, made)
            self.fanout.publish("service", made)
        return made

    def gone(self, key: str) -> None:
        """Nothing is left of the service."""
        if self.neighbours:
            self.neighbours.forget(key)
        self._objects.pop(key, None)
        self._changed.pop(key, None)
        self._built_from.pop(key, None)
        namespace, _, name = key.partition("/")
        self.fanout.publish("deleted", {"metadata": {"namespace": namespace, "name": name}})

    def happened(self, event: Event) -> None:
        self.fanout.publish("event", vars(event))

    # --- read ------------------------------------------------------------------------------

    def services(self) -> Sequence[Object]:
        return [self._current(record) for _, record in sorted(self._records.items())]

    def service(self, key: str) -> Object | None:
        record = self._records.get(key)
        return None if record is None else self._current(record)

    async def plan(self, key: str) -> Object:
        return plan_object(await self._reconciler.foresee(self._records[key]))

    async def preview(self, path: str, content: str) -> Object:
        """What a file of this name, with this content, would lead to. Raises Refused."""
        found = identity(path)
        if found is None or isinstance(found, Fault):
            fault = found or Fault(path, 0, "", "is not a name of a document", "NAME.yaml or NS/NAME.yaml")
            raise Refused((fault,))
        key, flavour = found
        shown = str(self._settings.services / path)
        checked = await asyncio.to_thread(check, content.encode(), shown, key, flavour, self._library.home)
        if checked.service is None:
            raise Refused(checked.faults)
        return plan_object(await self._reconciler.foresee(Record(key, checked.service, checked.document)))

    async def why(self, key: str) -> Object:
        loop_now = asyncio.get_running_loop().time()
        record = self._records[key]
        made = self._view.why(record, self._clock.wall(), loop_now)
        if self.neighbours:
            more = self.neighbours.why(record.service, self._desk.asked(key))
            made["lines"] += [{"indent": indent, "text": text} for indent, text in more]
        return made

    def documents(self) -> Sequence[Object]:
        """Every file seen, in force or not, with its faults and lints."""
        library, listed = self._library, []
        for key, record in self._records.items():
            path = record.service.source
            if not record.deleted and path not in library.troubles:
                lints = library.lints.get(key, ())
                listed.append(_document(path, key, record.service.generation, (), lints))
        listed += [_document(t.path, t.key, "", t.faults, ()) for t in library.troubles.values()]
        return sorted(listed, key=lambda d: str(d["path"]))

    def node(self) -> Object:
        settings, frozen = self._settings, self._desk.node_frozen()
        return {
            "apiVersion": "standfast/v1",
            "kind": "Node",
            "name": settings.node,
            "version": version("standfast"),
            "env": settings.env,
            "labels": dict(settings.labels),
            "cluster_nodes": list(settings.cluster_nodes),
            "hosts": self._library.home.hosts,
            "started": self.started,
            "paths": {
                "services": str(settings.services),
                "state": str(settings.state),
                "run": str(settings.run),
            },
            "frozen": frozen_object(frozen),
            "drained": frozen_object(self._desk.node_drained()),
            "cluster": self.neighbours.seen() if self.neighbours else None,
            "prune_held": sorted(self._library.held),
            "store": {"kind": self._store_kind, "trouble": self._desk.failing},
            "notices": list(self.notices),
            "journal": {"trouble": self._journal.trouble, "dropped": self._journal.dropped},
            "sources": {
                name: {"ok": not seen.failing, "why": _failing(seen.failing, seen.subjects)}
                for name, seen in self._hub.statistics().items()
            },
            "services": len(self._records),
            "metrics": self.metrics,
            "api": self.api,
        }

    def what_if(self, node: str, change: str) -> Object:
        if self.neighbours is None:
            raise NeedsPerson("this host is alone: with it all its services are down")
        services = [record.service for record in self._records.values()]
        return self.neighbours.what_if(node, change, services, self._desk.asked)

    async def decisions(self, service: str) -> Sequence[Object]:
        return await asyncio.to_thread(self._cases, self.kept.all(service))

    def _cases(self, kept: Sequence[Kept]) -> list[Object]:
        """On a thread: what was decided on does not change any more."""
        return [
            {
                "number": one.number,
                "at": one.given.here.now,
                "node": one.given.here.node,
                "service": one.key,
                "case": written(one.given, self._library.home),
            }
            for one in kept
        ]

    async def events(self, seconds: float, service: str, limit: int, after: int) -> Sequence[Object]:
        found = await asyncio.to_thread(self._journal.since, seconds, service, limit)
        return [vars(event) for event in found if event.number > after]

    def subscribe(self) -> AsyncIterator[tuple[str, Object]]:
        return self.fanout.subscribe()

    # --- ask -------------------------------------------------------------------------------

    async def ask(self, key: str, wish: Object, principal: Principal) -> Object:
        made = await self._wishes.ask(key, wish, principal.name)
        self._build(self._records[key])
        return {"id": made.id}

    async def ask_node(self, wish: Object, principal: Principal) -> Object:
        await self._wishes.ask_node(wish, principal.name)
        for key in self._records:
            self._wake(key)
        self.fanout.publish("node", self.node())
        return {"id": ""}

    async def prune(self, principal: Principal) -> Object:
        """Remove what is held back; a person confirmed."""
        await self._library.scan(confirmed=True)
        return {"pruned": sorted(self._library.verdict.removed)}


def _source(record: Record, desk: Desk, jobs: Jobs) -> tuple[Any, ...]:
    """All that an object is made of, to tell whether it must be made anew."""
    attempt = record.attempt
    return (
        record.decision,
        record.plan,
        tuple((rid, job.step.act) for rid, job in jobs.of(record.key).items()),
        record.seen,
        record.goals,
        desk.asked(record.key),
        record.asked,
        record.faults,
        dict(record.budgets),
        dict(record.stops),
        record.service.generation,
        record.service.source,
        record.service.nodes,
        desk.failing,
        (attempt.conflict, attempt.failed),
    )


def _document(
    path: str, key: str, generation: str, faults: Sequence[Fault], lints: Sequence[Fault]
) -> Object:
    return {
        "path": path,
        "key": key,
        "generation": generation,
        "valid": not faults,
        "in_force": not faults,
        "faults": [asdict(fault) for fault in faults],
        "lints": [asdict(lint) for lint in lints],
    }


def _failing(failing: int, subjects: int) -> str:
    return f"{failing} of {subjects} questions have no answer" if failing else ""
