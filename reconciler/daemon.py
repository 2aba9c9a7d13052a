"""Settings → a running agent: every part made, wired, started and ended in order."""

import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from metrics.account import Account, measure_lag
from metrics.exporter import Exporter
from metrics.exporter import serve as serve_metrics
from metrics.figures import Statistics
from reconciler.adapters.clock import SystemClock
from reconciler.adapters.drivers import Drivers
from reconciler.adapters.facts import standard_sources
from reconciler.adapters.facts.hub import Hub
from reconciler.adapters.garbage import put_aside
from reconciler.adapters.helper import Helper
from reconciler.adapters.journal import SqliteJournal
from reconciler.adapters.linux import LinuxHost
from reconciler.adapters.places import LOCK, alone, boot_id, lost_state, make_directories, note_state
from reconciler.adapters.programs import Programs
from reconciler.adapters.store_memory import MemoryStore
from reconciler.adapters.store_sqlite import SqliteStore
from reconciler.agent import LocalAgent
from reconciler.api.agent import Object
from reconciler.api.server import Server
from reconciler.asks import NodeSeen
from reconciler.contracts import Event, Store
from reconciler.decide.documents import Home
from reconciler.engine.desk import Desk
from reconciler.engine.environment import environment
from reconciler.engine.jobs import Ended, Jobs
from reconciler.engine.library import Library
from reconciler.engine.observe import Observer
from reconciler.engine.queue import KeyQueue, worker
from reconciler.engine.reading import BULK, Reader
from reconciler.engine.reconcile import Reconciler
from reconciler.engine.record import Record
from reconciler.engine.watch import watch
from reconciler.engine.wishes import Wishes
from reconciler.errors import MayHeal, NeedsPerson
from reconciler.joining import join
from reconciler.member import Seams, membership
from reconciler.model import Owner
from reconciler.running import Running
from reconciler.settings import Settings
from reconciler.telling import Telling

WORKERS = 64
TIDY_EVERY = 60.0
SWITCH = 0.0005
"""Seconds a calculating thread may keep the loop waiting: the default adds up, with dozens, to 50 ms."""
FIRST_LOOK = 5.0
"""Seconds for the documents to be read before what was in force is acted on."""
OWN_DOING = 0.05
"""Seconds for which a service at work is not looked at for each thing that its operations change."""
log = logging.getLogger("standfast")


@asynccontextmanager
async def running(settings: Settings, keep: bool = True) -> AsyncIterator[Running]:
    """An agent for the length of the block; what it runs stays up when the block ends.

    `keep`: False keeps nothing on disk but the events. Raises NeedsPerson when another agent has
    this run directory, or a directory cannot be made.
    """
    sys.setswitchinterval(SWITCH)
    async with AsyncExitStack() as stack:
        make_directories(settings)
        stack.enter_context(alone(settings.run / LOCK))
        seams = Seams(lambda key: None, lambda key: None, lambda reason, text, ok: None)
        member = None
        if settings.etcd and keep:
            member = await stack.enter_async_context(
                membership(settings, settings.etcd, boot_id(), SystemClock(), seams)
            )
        helper = Helper()
        stack.callback(helper.shutdown, wait=False, cancel_futures=True)
        if _many_files(settings.services):
            helper.warm()  # not before: the first renewal of an agent that was killed has no time to lose
        lost = lost_state(settings) if keep else ""
        store, notices = await _store(settings, keep)
        notices += [lost] if lost else []
        note_state(settings)
        stack.push_async_callback(store.close)
        journal = SqliteJournal(settings.state / "events.db", settings.events_days, settings.events_mb)
        stack.callback(journal.close)
        account = Account()
        await asyncio.sleep(0)  # each thread that is begun may hold the loop for a slice of the kernel's
        made = await _wired(stack, settings, store, journal, account, helper)
        if member:
            stack.push_async_callback(_cancelled, join(made, member, seams))
        await made.library.load()
        made.agent.notices += notices
        for notice in notices:
            _tell_of_us(made.tell, "Notice", notice, ok=False)
        server = Server(made.agent, settings.socket, settings.roles)
        await server.start()
        stack.push_async_callback(server.close)
        await _metrics(stack, made, account)
        await _others(server, made)
        await _first_look(stack, made)
        if notices:
            _assume_provisioned(made)
        stack.push_async_callback(_cancelled, _tasks(made, account))
        _tell_of_us(made.tell, "Started", f"agent of {settings.node} started")
        try:
            yield made
        finally:
            made.reconciler.halted = True
            # What runs is carried to its end: half an operation is worse than a late exit.
            await made.jobs.drain()


def _many_files(directory: Path) -> bool:
    """So many that they will be read beside us."""
    try:
        with os.scandir(directory) as entries:
            return len(list(islice(entries, BULK + 1))) > BULK
    except OSError:
        return False


def _assume_provisioned(made: Running) -> None:
    """What was remembered is lost: what is missing now may have been there once.

    Nothing of the documents at hand is made anew by itself then; `provision` makes it by word.
    """
    for key, record in made.records.items():
        for resource in record.service.resources:
            made.desk.remember(Owner(key, resource.rid), "provisioned", "yes")


async def foretell(settings: Settings, documents: Mapping[str, str]) -> dict[str, Object]:
    """Plans of documents by name (`NAME.yaml`, `NS/NAME.conf`) without an agent: nothing is done.

    What this user may not look at is unknown. What an agent remembers is not read: all that is
    missing is planned to be created. Raises Refused for a document with faults.
    """
    async with AsyncExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="standfast-")))
        journal = SqliteJournal(scratch / "events.db")
        stack.callback(journal.close)
        helper = Helper()
        stack.callback(helper.shutdown, wait=False, cancel_futures=True)
        made = await _wired(stack, settings, MemoryStore(), journal, Account(), helper)
        return {name: await made.agent.preview(name, text) for name, text in documents.items()}


async def _wired(
    stack: AsyncExitStack,
    settings: Settings,
    store: Store,
    journal: SqliteJournal,
    account: Account,
    helper: Helper,
) -> Running:
    """Every part made and handed to those that need it; the hub's event channels are open."""
    clock, boot, tell = SystemClock(), boot_id(), Telling(journal, account)
    queue = KeyQueue()
    stack.callback(queue.close)
    desk = Desk(store, settings.node, boot, clock, queue.add)
    await desk.start()
    stack.push_async_callback(desk.close)

    records: dict[str, Record] = {}
    programs = Programs(settings)
    host = LinuxHost(settings, programs, lambda owner: environment(records, settings.node, owner))
    stack.callback(host.close)
    await asyncio.sleep(0)
    starter, node = programs.runner.starter, NodeSeen(settings.node, boot, settings.labels)
    sources = standard_sources(settings, desk.memory, node, programs, host.run_check, starter)
    hub = Hub(settings, lambda key: _news(queue, jobs, key), sources)
    await hub.start()
    stack.push_async_callback(hub.close)

    drivers, home = Drivers(), _home(settings)
    await asyncio.to_thread(drivers.load)
    observer = Observer(hub, drivers, lambda owner, text: _bug(tell, owner, text))
    reconciler = Reconciler(settings, drivers, observer, desk, tell, clock, records)

    def ended(done: Ended) -> None:
        resource = records[done.job.owner.service].whole.get(done.job.owner.rid)
        if resource:
            seconds = asyncio.get_running_loop().time() - done.job.started
            account.job(done.job.step.act.value, resource.kind, seconds, done.ok or done.turned)
        reconciler.ended(done)
        queue.add(done.job.owner.service)

    jobs = Jobs(host, hub, desk, tell, clock, settings.max_jobs, ended)
    orphans = programs.runner.orphans
    jobs.under_way = lambda service: orphans.under_way(service) | host.under_way(service)
    reader = Reader(home, helper)
    library = Library(
        settings.services, reader, desk, records, tell, clock, queue.add, settings.removal_after
    )
    wishes = Wishes(desk, records, tell, clock)
    shown = (reconciler, desk, jobs, library, wishes, journal, hub, clock, queue.add)
    agent = LocalAgent(settings, *shown, _kind(store))
    # The ring is closed last: a pass starts jobs, and what it saw becomes the agent's objects.
    reconciler.jobs, reconciler.passed, reconciler.gone = jobs, agent.passed, agent.gone
    reconciler.discard, reconciler.kept = library.discard, agent.kept.keep
    tell.listeners.append(agent.happened)
    parts = (queue, jobs, desk, library, agent, reconciler, tell, hub, programs, wishes, host)
    return Running(settings, drivers, records, *parts)


def _news(queue: KeyQueue, jobs: Jobs, key: str) -> None:
    """A fact differs. What our own operations do is news, too: the end of their job asks for a pass."""
    if jobs.at_work(key):
        queue.add_soon(key, OWN_DOING)
    else:
        queue.add(key)


def _tasks(made: Running, account: Account) -> list[asyncio.Task[None]]:
    """What goes on for as long as the agent lives."""
    settings, loop = made.settings, asyncio.get_running_loop()

    async def counted(key: str) -> float:
        started, ok = loop.time(), False
        try:
            again_in = await made.reconciler.reconcile(key)
            ok = True
            return again_in
        finally:
            account.passed(loop.time() - started, ok, key)

    def report(key: str, fault: Exception) -> None:
        expected = isinstance(fault, NeedsPerson | MayHeal)
        log.error("pass of %s failed: %s", key, fault, exc_info=None if expected else fault)
        _tell_of_us(made.tell, "PassFailed", f"pass failed: {fault!r}", key, ok=False)

    forever: list[Coroutine[Any, Any, None]] = [
        worker(made.queue, counted, report, settings.look_every, settings.retry_max, made.reconciler.pace)
        for _ in range(WORKERS)
    ]
    forever += [watch(settings.services, made.library.scan, settings), measure_lag(account)]
    forever += [
        made.programs.runner.see_orphans_out(),
        _tidy(made.programs),
        put_aside(lambda: len(made.records), made.settled),
    ]
    return [asyncio.create_task(task) for task in forever]


async def _first_look(stack: AsyncExitStack, made: Running) -> None:
    """What was edited or removed while no agent ran, before anything is begun on what was in force.

    A directory that does not answer is not waited for any longer than `FIRST_LOOK`.
    """
    if made.records or made.agent.notices:  # or when what was in force is lost
        look = asyncio.create_task(made.library.settle())
        stack.push_async_callback(_cancelled, [look])
        await asyncio.wait({look}, timeout=FIRST_LOOK)


async def _metrics(stack: AsyncExitStack, made: Running, account: Account) -> None:
    """The listener is a convenience: a port that is taken must not keep services down."""
    settings = made.settings
    if not settings.metrics_listen:
        return
    exporter = Exporter(settings.node, made.agent.services, lambda: _statistics(made), account)
    try:
        listener = await serve_metrics(exporter, settings.metrics_listen)
    except (NeedsPerson, MayHeal) as fault:
        made.agent.notices.append(f"no metrics: {fault}")
        log.warning("no metrics: %s", fault)
        return
    made.agent.metrics = f"{settings.metrics_listen.rpartition(':')[0]}:{listener.port}"
    stack.push_async_callback(listener.close)


async def _others(server: Server, made: Running) -> None:
    """Likewise: a certificate that is not there, or on a disk that hangs, must not keep services down."""
    api = made.settings.api
    if api is None:
        return
    try:
        async with asyncio.timeout(FIRST_LOOK):
            port = await server.serve_others(api)
    except (NeedsPerson, MayHeal, TimeoutError) as fault:
        text = f"no API over TLS: {fault or 'its files cannot be read: no answer'}"
        made.agent.notices.append(text)
        _tell_of_us(made.tell, "Notice", text, ok=False)
        log.warning("%s", text)
        return
    made.agent.api = f"{api.listen.rpartition(':')[0]}:{port}"


def _statistics(made: Running) -> Statistics:
    library = made.library
    documents = {key: not record.faults for key, record in made.records.items() if not record.deleted}
    documents |= {t.key: False for t in library.troubles.values() if t.key}
    figures: Statistics = {
        "node_frozen": made.desk.node_frozen() is not None,
        "jobs_running": len(made.jobs.running),
        "queue_depth": len(made.queue),
        "sources": made.hub.statistics(),
        "documents": documents,
        "refused_files": len(library.troubles),
        "directory_readable": library.listed,
        "directory_last_success": library.last_success,
        "prune_held": bool(library.verdict.held),
        "store_up": not made.desk.failing,
        "store_last_success": made.desk.last_success,
        "events_dropped": made.tell.dropped,
    }
    if made.of_cluster:
        figures["cluster"] = made.of_cluster()
    return figures


async def _store(settings: Settings, keep: bool) -> tuple[Store, list[str]]:
    """The store of one host. One that cannot be had is stood in for by memory: services come first."""
    if not keep:
        return MemoryStore(), []
    try:
        opened = await SqliteStore.open(settings.state / "state.db")
    except (MayHeal, OSError) as fault:
        return MemoryStore(), [f"nothing is kept over a restart: {fault}"]
    return opened.store, [opened.set_aside] if opened.set_aside else []


def _kind(store: Store) -> str:
    return "memory" if isinstance(store, MemoryStore) else "sqlite"


def _home(settings: Settings) -> Home:
    return Home(
        node=settings.node,
        env=settings.env,
        labels=settings.labels,
        cluster_nodes=settings.cluster_nodes,
        services=str(settings.services),
        state=str(settings.state),
        run=str(settings.run),
        root=os.geteuid() == 0,
    )


def _tell_of_us(tell: Telling, reason: str, text: str, service: str = "", ok: bool = True) -> None:
    tell.record(Event(SystemClock().wall(), "daemon", service, reason=reason, text=text, ok=ok))


def _bug(tell: Telling, owner: Owner, text: str) -> None:
    log.error("a bug in the driver of %s:\n%s", owner, text)
    last = text.strip().splitlines()[-1]
    at = SystemClock().wall()
    tell.record(
        Event(at, "daemon", owner.service, owner.rid, reason="Bug", text=last, ok=False, output=text)
    )


async def _tidy(programs: Programs) -> None:
    while True:
        await asyncio.sleep(TIDY_EVERY)
        await programs.rotate_logs()


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
