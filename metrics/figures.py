"""The account, the agent's statistics and its own figures → their series on a page."""

import platform
from collections.abc import Collection, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol, TypedDict

from metrics.account import Account
from metrics.catalogue import BY_NAME, SVC
from metrics.page import Page, labelled
from reconciler.model import Act


class SourceFigures(Protocol):
    """One fact source's doings since the start; `last_success` is wall-clock time, 0: none yet."""

    @property
    def looks(self) -> int: ...
    @property
    def failures(self) -> int: ...
    @property
    def events(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def last_success(self) -> float: ...
    @property
    def subjects(self) -> int: ...
    @property
    def failing(self) -> int: ...


class ClusterFigures(TypedDict):
    """`seen`: as `cluster` of node.json. `wall`: wall-clock time of that. Sizes in bytes, 0: not known."""

    seen: Mapping[str, Any]
    wall: float
    guard_up: bool
    guard_lines: int
    store_size: int
    store_quota: int
    store_voters: int


class Statistics(TypedDict, total=False):
    """What is read off the agent at each scrape; what is left out is not exported.

    documents  by service key: is its file in force? Also of services that never were.
    """

    node_frozen: bool
    jobs_running: int
    queue_depth: int
    sources: Mapping[str, SourceFigures]
    documents: Mapping[str, bool]
    refused_files: int
    directory_readable: bool
    directory_last_success: float
    prune_held: bool
    store_up: bool
    store_last_success: float
    events_dropped: int
    cluster: ClusterFigures


def write_account(page: Page, account: Account, drivers: Collection[str]) -> None:
    """`drivers`: those in use, whose starts and stops are shown from 0 on."""
    for name, counts in (
        ("standfast_operations_total", account.operations),
        ("standfast_operation_failures_total", account.failed_operations),
        ("standfast_events_total", account.events),
        ("standfast_event_failures_total", account.bad_events),
    ):
        metric = BY_NAME[name]
        for state in metric.states:
            page.value(name, counts[state], labelled((metric.by,), (state,)))
    for act, histogram in account.operation_seconds.items():
        page.histogram("standfast_operation_duration_seconds", histogram, labelled(("act",), (act,)))
    usual = {(str(act), driver) for act in (Act.START, Act.STOP) for driver in drivers}
    for job in sorted(usual | account.jobs.keys()):
        labels = labelled(("act", "driver"), job)
        page.value("standfast_jobs_total", account.jobs[job], labels)
        page.value("standfast_job_failures_total", account.failed_jobs[job], labels)
        page.histogram("standfast_job_duration_seconds", account.job_seconds[job], labels)
    page.value("standfast_reconcile_total", account.passes)
    page.value("standfast_reconcile_failures_total", account.failed_passes)
    page.value("standfast_reconcile_last_success_timestamp_seconds", account.last_pass)
    page.histogram("standfast_reconcile_duration_seconds", account.pass_seconds)
    page.histogram("standfast_loop_lag_seconds", account.lag)


def write_statistics(page: Page, figures: Statistics) -> None:
    """What the agent knows of itself; what it leaves out is left out here."""
    for key, name in SINGLE.items():
        if key in figures:
            page.value(name, figures[key])  # type: ignore[literal-required]  # keys of SINGLE are its own
    for key, valid in figures.get("documents", {}).items():
        page.value("standfast_document_valid", valid, labelled(SVC, key.split("/", 1)))
    if "cluster" in figures:
        _write_cluster(page, figures["cluster"])
    for source, seen in figures.get("sources", {}).items():
        labels = labelled(("source",), (source,))
        page.value("standfast_source_up", not seen.failing, labels)
        page.value("standfast_source_subjects", seen.subjects, labels)
        page.value("standfast_source_failing", seen.failing, labels)
        page.value("standfast_source_looks_total", seen.looks, labels)
        page.value("standfast_source_look_failures_total", seen.failures, labels)
        page.value("standfast_source_look_seconds_total", seen.seconds, labels)
        page.value("standfast_source_events_total", seen.events, labels)
        page.value("standfast_source_last_success_timestamp_seconds", seen.last_success, labels)


def _write_cluster(page: Page, figures: ClusterFigures) -> None:
    seen, wall = figures["seen"], figures["wall"]
    session = seen["session"]
    page.value("standfast_session_open", session["open"])
    page.value("standfast_session_epoch", session["epoch"])
    page.states("standfast_session_level", session["level"])
    page.value("standfast_duplicate_node", session["duplicate"])
    page.value("standfast_cluster_view_up", not seen["trouble"])
    page.value("standfast_cluster_store_bytes", figures["store_size"])
    page.value("standfast_cluster_store_quota_bytes", figures["store_quota"])
    page.value("standfast_cluster_store_voters", figures["store_voters"])
    page.value("standfast_failover_seconds", seen["failover"])
    page.value("standfast_guard_up", figures["guard_up"])
    page.value("standfast_guard_lines", figures["guard_lines"])
    for name, one in seen["nodes"].items():
        labels = labelled(("peer",), (name,))
        page.value("standfast_peer_alive", one["alive"], labels)
        page.value("standfast_peer_maintenance", one["maintenance"], labels)
        page.value("standfast_peer_drained", bool(one["drained"]), labels)
        renewed = 0 if one["age"] is None else wall - one["age"]
        page.value("standfast_peer_last_renewal_timestamp_seconds", renewed, labels)


SINGLE = {
    "node_frozen": "standfast_node_frozen",
    "queue_depth": "standfast_queue_depth",
    "jobs_running": "standfast_jobs_running",
    "refused_files": "standfast_directory_refused_files",
    "directory_readable": "standfast_directory_readable",
    "directory_last_success": "standfast_directory_last_success_timestamp_seconds",
    "prune_held": "standfast_prune_held",
    "store_up": "standfast_store_up",
    "store_last_success": "standfast_store_last_success_timestamp_seconds",
    "events_dropped": "standfast_events_dropped_total",
}


def write_agent(page: Page, node: str, seconds: float, errors: int) -> None:
    """Who this is, and how the last page went."""
    build = (_version(), platform.python_version())
    page.value("standfast_build_info", 1, labelled(("version", "python"), build))
    page.value("standfast_node_info", 1, labelled(("node",), (node,)))
    page.value("standfast_scrape_duration_seconds", seconds)
    page.value("standfast_scrape_errors_total", errors)


@cache
def _version() -> str:
    try:
        return version("standfast")
    except PackageNotFoundError:  # run from a tree that was never installed
        return "unknown"
