"""The engine as the API sees it: objects to read, wishes to take, changes to follow."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from reconciler.api.agent import Object, Principal
from reconciler.api.fanout import Fanout
from reconciler.contracts import Clock, Event, Journal
from reconciler.decide.documents import Home, check
from reconciler.decide.documents.identity import identity
from reconciler.engine.desk import Desk
from reconciler.engine.jobs import Jobs
from reconciler.engine.library import Library
from reconciler.engine.reconcile import Reconciler
from reconciler.engine.record import Record
from reconciler.engine.view import View, plan_object
from reconciler.engine.wishes import Wishes
from reconciler.errors import Fault, NeedsPerson, Refused
from reconciler.settings import Settings


class LocalAgent:
    """Everything a client can see or ask for on one node; implements `api.agent.Agent`."""

    def __init__(
        self,
        settings: Settings,
        home: Home,
        reconciler: Reconciler,
        desk: Desk,
        jobs: Jobs,
        library: Library,
        wishes: Wishes,
        journal: Journal,
        clock: Clock,
        wake: Callable[[str], None],
    ) -> None:
        """`wake` queues a key."""
        self._settings, self._home, self._reconciler, self._desk = settings, home, reconciler, desk
        self._jobs = jobs
        self._library, self._wishes, self._journal = library, wishes, journal
        self._clock, self._wake = clock, wake
        self._records = reconciler.records
        self._view = View(settings.node, desk, jobs)
        self._objects: dict[str, Object] = {}
        self._built_from: dict[str, tuple[Any, ...]] = {}
        self.fanout = Fanout()
        self.started = clock.wall()
        self.notices: list[str] = []  # what a person should know of the agent itself

    # --- kept up by the passes -------------------------------------------------------------

    def passed(self, key: str) -> None:
        """A pass over the key ended: build its object anew if anything of it changed."""
        record = self._records[key]
        source = _source(record, self._desk, self._jobs)
        if self._built_from.get(key) != source:
            self._built_from[key] = source
            self._build(record)

    def _build(self, record: Record) -> Object:
        old = self._objects.get(record.key)
        made = self._view.service(record, old, self._clock.wall())
        if made != old:
            self._objects[record.key] = made
            self.fanout.publish("service", made)
        return made

    def gone(self, key: str) -> None:
        """Nothing is left of the service."""
        self._objects.pop(key, None)
        self._built_from.pop(key, None)
        namespace, _, name = key.partition("/")
        self.fanout.publish("deleted", {"metadata": {"namespace": namespace, "name": name}})

    def happened(self, event: Event) -> None:
        self.fanout.publish("event", vars(event))

    # --- read ------------------------------------------------------------------------------

    def services(self) -> Sequence[Object]:
        return [
            self._objects.get(key) or self._build(record) for key, record in sorted(self._records.items())
        ]

    def service(self, key: str) -> Object | None:
        record = self._records.get(key)
        return None if record is None else self._objects.get(key) or self._build(record)

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
        checked = await asyncio.to_thread(check, content.encode(), shown, key, flavour, self._home)
        if checked.service is None:
            raise Refused(checked.faults)
        return plan_object(await self._reconciler.foresee(Record(key, checked.service, checked.document)))

    async def why(self, key: str) -> Object:
        loop_now = asyncio.get_running_loop().time()
        return self._view.why(self._records[key], self._clock.wall(), loop_now)

    def documents(self) -> Sequence[Object]:
        """Every file seen, in force or not, with its faults and lints."""
        listed: list[Object] = []
        for key, record in self._records.items():
            path = record.service.source
            if not record.deleted and path not in self._library.troubles:
                lints = [_fault(f) for f in self._library.lints.get(key, ())]
                listed.append({"path": path, "key": key, "valid": True, "faults": [], "lints": lints})
        for trouble in self._library.troubles.values():
            faults = [_fault(f) for f in trouble.faults]
            key = trouble.key
            listed.append({"path": trouble.path, "key": key, "valid": False, "faults": faults, "lints": []})
        return sorted(listed, key=lambda d: str(d["path"]))

    def node(self) -> Object:
        frozen = self._desk.node_frozen()
        return {
            "name": self._settings.node,
            "env": self._settings.env,
            "labels": dict(self._settings.labels),
            "started": self.started,
            "services_directory": str(self._settings.services),
            "state_directory": str(self._settings.state),
            "run_directory": str(self._settings.run),
            "frozen": frozen
            and {
                "scope": "node",
                "who": frozen.who,
                "since": frozen.at,
                "reason": frozen.reason,
                "until": frozen.until or None,
            },
            "prune_held": self._library.verdict.held,
            "directory_readable": self._library.listed,
            "store": {"ok": not self._desk.failing, "message": self._desk.failing},
            "notices": list(self.notices),
            "services": len(self._records),
        }

    async def events(self, seconds: float, service: str, limit: int, after: int) -> Sequence[Object]:
        found = await asyncio.to_thread(self._journal.since, seconds, service, limit)
        return [vars(event) for event in found if event.number > after]

    def subscribe(self) -> AsyncIterator[tuple[str, Object]]:
        return self.fanout.subscribe()

    # --- ask -------------------------------------------------------------------------------

    async def ask(self, key: str, wish: Object, principal: Principal) -> Object:
        if wish.get("state_only"):
            if key not in self._records:
                raise NeedsPerson(f"{key}: there is no such service")
            self._wishes.provisioned(key, tuple(wish.get("rids") or ()), wish["verb"] == "provision")
            await self._desk.durable()
            self._wake(key)
            return {"id": ""}
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
        record.faults,
        dict(record.budgets),
        dict(record.stops),
        record.service.generation,
        desk.failing,
        (attempt.conflict, attempt.failed),
    )


def _fault(fault: Fault) -> Object:
    return {
        "file": fault.file,
        "line": fault.line,
        "path": fault.path,
        "what": fault.what,
        "todo": fault.todo,
        "text": str(fault),
    }
