"""The one table of all metrics: name, kind, help, labels, and the bounded values of their states.

Nothing is exported, recorded, alerted on or drawn that is not here; tests hold all four to it.
Every series of a family is always present (states as 0 or 1), instants are Unix times and never
ages, and no label holds text of unbounded variety. Labels that every series would share (host, job)
are the scraper's to add. Stable metrics keep name, labels and meaning; they may gain states.
"""

from typing import NamedTuple

from reconciler.decide.conditions import Stalled
from reconciler.model import Act, Goal, ServiceGoal, State

SVC = ("namespace", "svc")
RID = ("namespace", "svc", "rid")

STATES = tuple(str(state) for state in State)
ACTS = tuple(str(act) for act in Act)
ACTIVITIES = (
    "idle",
    "checking",
    "starting",
    "start failed",
    "stopping",
    "provisioning",
    "unprovisioning",
    "other",
)
ASKED = ("nothing", "start", "stop", "other")
CONDITIONS = ("Ready", "Reconciling", "Stalled")
STATUSES = ("True", "False", "Unknown")
LEVELS = ("none", "lease", "lease+watchdog", "fenced")
EVENTS = ("operation", "job", "state", "decision", "wish", "document", "condition", "daemon", "other")

FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
"""Bucket bounds in seconds of what should take milliseconds: passes, the loop's lag."""
SLOW = (0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0)
"""Bucket bounds in seconds of what a program or a disk may take: operations, jobs."""


class Metric(NamedTuple):
    """`states` are the values of the label `by`, one series for each; exactly one of them is 1,
    except where the help says otherwise."""

    name: str
    kind: str  # gauge, counter, histogram
    help: str
    labels: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    by: str = "state"
    buckets: tuple[float, ...] = ()
    stable: bool = True


CATALOGUE: tuple[Metric, ...] = (
    # --- services on this host
    Metric(
        "standfast_service_info",
        "gauge",
        "1; what a service is, in its labels.",
        (*SVC, "topology", "orchestrate", "app"),
    ),
    Metric(
        "standfast_service_desired_state",
        "gauge",
        "What this host is to do with the service.",
        SVC,
        tuple(str(goal) for goal in ServiceGoal),
    ),
    Metric(
        "standfast_service_state",
        "gauge",
        "Availability of the service on this host: all that counts, merged.",
        SVC,
        STATES,
    ),
    Metric(
        "standfast_service_overall_state",
        "gauge",
        "Everything of the service on this host merged; warn as soon as anything logged a warning.",
        SVC,
        STATES,
    ),
    Metric(
        "standfast_service_in_sync",
        "gauge",
        "1 when every resource of the service on this host is as it is wanted, 0 when one drifted.",
        SVC,
    ),
    Metric(
        "standfast_service_activity",
        "gauge",
        "What this host is doing with the service.",
        SVC,
        ACTIVITIES,
    ),
    Metric(
        "standfast_service_provisioned",
        "gauge",
        "Whether what the service needs was created.",
        SVC,
        ("true", "false", "mixed", "n/a"),
    ),
    Metric(
        "standfast_service_placement",
        "gauge",
        "Whether the service is up where its placement policy wants it.",
        SVC,
        ("optimal", "non-optimal", "n/a"),
    ),
    Metric("standfast_service_frozen", "gauge", "1 while the service or this host is frozen.", SVC),
    Metric(
        "standfast_service_frozen_timestamp_seconds",
        "gauge",
        "Since when the service is frozen; 0 when it is not.",
        SVC,
    ),
    Metric(
        "standfast_service_asked",
        "gauge",
        "What an operator asked for and still stands.",
        SVC,
        ASKED,
        "verb",
    ),
    Metric(
        "standfast_service_asked_timestamp_seconds",
        "gauge",
        "Since when an operator's wish stands; 0 without one.",
        SVC,
    ),
    Metric(
        "standfast_service_condition",
        "gauge",
        "Conditions of the service; one status of each is 1.",
        (*SVC, "condition"),
        STATUSES,
        "status",
    ),
    Metric(
        "standfast_service_stalled",
        "gauge",
        "Why the service will not get there by itself; all 0 when it is not stalled.",
        SVC,
        tuple(str(reason) for reason in Stalled),
        "reason",
    ),
    Metric(
        "standfast_service_last_pass_timestamp_seconds",
        "gauge",
        "When the last pass over the service succeeded; 0 when none has.",
        SVC,
    ),
    Metric(
        "standfast_document_valid",
        "gauge",
        "1 when the service's file is in force, 0 when it was refused and an earlier one is, or none.",
        SVC,
    ),
    # --- resources
    Metric(
        "standfast_resource_info",
        "gauge",
        "1; what a resource is, in its labels.",
        (*RID, "driver", "optional", "monitor", "standby", "disabled"),
    ),
    Metric(
        "standfast_resource_desired_state",
        "gauge",
        "What is wanted of the resource here.",
        RID,
        tuple(str(goal) for goal in Goal),
    ),
    Metric("standfast_resource_state", "gauge", "State of the resource as seen here.", RID, STATES),
    Metric(
        "standfast_resource_in_sync",
        "gauge",
        "1 when the resource is as it is wanted here, or nothing is wanted of it.",
        RID,
    ),
    Metric(
        "standfast_resource_state_timestamp_seconds",
        "gauge",
        "When the resource came into its present state.",
        RID,
    ),
    Metric("standfast_resource_running", "gauge", "1 while a job of the resource runs.", RID),
    Metric(
        "standfast_resource_stopped",
        "gauge",
        "1 while the resource is down because an operator stopped it on purpose.",
        RID,
    ),
    Metric(
        "standfast_resource_losses_total",
        "counter",
        "Times the resource was seen not up after it had been up as wanted.",
        RID,
    ),
    Metric("standfast_resource_job_failures_total", "counter", "Jobs of the resource that failed.", RID),
    # --- work
    Metric("standfast_reconcile_total", "counter", "Passes, over all services."),
    Metric("standfast_reconcile_failures_total", "counter", "Passes that ended in an error."),
    Metric("standfast_reconcile_duration_seconds", "histogram", "How long passes take.", buckets=FAST),
    Metric(
        "standfast_reconcile_last_success_timestamp_seconds",
        "gauge",
        "When a pass last succeeded; 0 when none has.",
    ),
    Metric("standfast_queue_depth", "gauge", "Services that wait for a pass."),
    Metric("standfast_jobs_running", "gauge", "Jobs that run now."),
    Metric("standfast_jobs_total", "counter", "Jobs that ended, by act and driver.", ("act", "driver")),
    Metric("standfast_job_failures_total", "counter", "Of these, failed.", ("act", "driver")),
    Metric(
        "standfast_job_duration_seconds",
        "histogram",
        "How long jobs take, by act and driver.",
        ("act", "driver"),
        buckets=SLOW,
    ),
    Metric(
        "standfast_operations_total", "counter", "Operations performed on this host.", states=ACTS, by="act"
    ),
    Metric("standfast_operation_failures_total", "counter", "Of these, failed.", states=ACTS, by="act"),
    Metric(
        "standfast_operation_duration_seconds",
        "histogram",
        "How long operations take.",
        states=ACTS,
        by="act",
        buckets=SLOW,
    ),
    Metric("standfast_events_total", "counter", "Events by kind.", states=EVENTS, by="kind"),
    Metric("standfast_event_failures_total", "counter", "Of these, bad news.", states=EVENTS, by="kind"),
    Metric("standfast_events_dropped_total", "counter", "Events that could not be kept in the journal."),
    # --- what it stands on
    Metric(
        "standfast_source_up", "gauge", "1 when every question to the source has an answer.", ("source",)
    ),
    Metric("standfast_source_subjects", "gauge", "Questions the source is asked.", ("source",)),
    Metric("standfast_source_failing", "gauge", "Of these, without an answer.", ("source",)),
    Metric("standfast_source_looks_total", "counter", "Looks the source took.", ("source",)),
    Metric("standfast_source_look_failures_total", "counter", "Of these, failed.", ("source",)),
    Metric("standfast_source_look_seconds_total", "counter", "Seconds spent in looks.", ("source",)),
    Metric("standfast_source_events_total", "counter", "Events heard by the source.", ("source",)),
    Metric(
        "standfast_source_last_success_timestamp_seconds",
        "gauge",
        "When the source last answered; 0 when it has not.",
        ("source",),
    ),
    Metric("standfast_store_up", "gauge", "1 when the last write to the store succeeded."),
    Metric(
        "standfast_store_last_success_timestamp_seconds", "gauge", "When the store last answered; 0: never."
    ),
    Metric("standfast_directory_readable", "gauge", "1 when the directory of documents could be read."),
    Metric(
        "standfast_directory_last_success_timestamp_seconds",
        "gauge",
        "When the directory of documents was last read; 0: never.",
    ),
    Metric("standfast_directory_refused_files", "gauge", "Files in the directory that are not in force."),
    Metric("standfast_prune_held", "gauge", "1 while removals are held until someone confirms them."),
    Metric("standfast_loop_lag_seconds", "histogram", "How late the event loop runs.", buckets=FAST),
    # --- the cluster; absent on a host that is alone
    Metric("standfast_session_open", "gauge", "1 while this host has a session: it may hold services."),
    Metric("standfast_session_epoch", "gauge", "The number of its session; 0 without one."),
    Metric(
        "standfast_session_level",
        "gauge",
        "How surely this host has stopped when its session is closed.",
        states=LEVELS,
        by="level",
    ),
    Metric("standfast_duplicate_node", "gauge", "1 while another host lives under this one's name."),
    Metric("standfast_cluster_view_up", "gauge", "1 while what all hosts share is followed."),
    Metric(
        "standfast_cluster_store_bytes",
        "gauge",
        "Size of the store that all hosts share, where it is largest; 0: not known yet.",
    ),
    Metric(
        "standfast_cluster_store_quota_bytes",
        "gauge",
        "Size at which that store takes nothing more, and every holder stops; 0: not known.",
    ),
    Metric(
        "standfast_cluster_store_voters",
        "gauge",
        "Members of that store that vote: with one or two, the loss of one stops every failover service; "
        "0: not known yet.",
    ),
    Metric(
        "standfast_failover_seconds",
        "gauge",
        "Seconds from the crash of a host to the claim of another, at most.",
    ),
    Metric("standfast_guard_up", "gauge", "1 while the guard answers."),
    Metric("standfast_guard_lines", "gauge", "Things the guard would stop if the session ended now."),
    Metric(
        "standfast_service_claim_held",
        "gauge",
        "1 while this host holds the claim of the service; no series on a host that is alone.",
        SVC,
    ),
    Metric("standfast_peer_alive", "gauge", "1 while the session of a host is open.", ("peer",)),
    Metric("standfast_peer_maintenance", "gauge", "1 while nobody closes its session.", ("peer",)),
    Metric("standfast_peer_drained", "gauge", "1 while it gives away what it runs.", ("peer",)),
    Metric(
        "standfast_peer_last_renewal_timestamp_seconds",
        "gauge",
        "When this host last saw it renew its session; 0: not yet.",
        ("peer",),
    ),
    # --- the agent
    Metric("standfast_build_info", "gauge", "1; version of the agent.", ("version", "python")),
    Metric("standfast_node_info", "gauge", "1; the name this host goes by.", ("node",)),
    Metric("standfast_node_frozen", "gauge", "1 while this host is frozen."),
    Metric(
        "standfast_scrape_duration_seconds",
        "gauge",
        "How long the last page of metrics took to write.",
        stable=False,
    ),
    Metric(
        "standfast_scrape_errors_total",
        "counter",
        "Services left out of a page because they could not be written.",
        stable=False,
    ),
)

BY_NAME = {metric.name: metric for metric in CATALOGUE}

FOREIGN = ("up", "process_", "python_")
"""Names, or their beginnings, that others export and rules may use."""


def series(metric: Metric) -> tuple[str, ...]:
    """Names of the series a metric is seen as in queries."""
    if metric.kind == "histogram":
        return tuple(metric.name + suffix for suffix in ("_bucket", "_sum", "_count"))
    return (metric.name,)
