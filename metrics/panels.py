"""A few words for each panel → Grafana's dashboards, kept as JSON beside this file.

`python -m metrics.panels` writes them anew; a test holds the files equal to what is said here.
"""

import json
from pathlib import Path

from metrics.grafana import HERE, Panel, dashboard, p, rate, variable

ONE = f'{HERE},namespace="$namespace",svc="$svc"'

FLEET = (
    Panel(
        "stat",
        "Agents that answer",
        [(f"sum(up{{{HERE}}})", "")],
        "Agents that were scraped.",
        wide=4,
        high=4,
    ),
    Panel(
        "stat",
        "Wanted up",
        [(f'sum(standfast_service_desired_state{{{HERE},state="up"}})', "")],
        "Services that some host is to keep up.",
        wide=4,
        high=4,
    ),
    Panel(
        "stat",
        "Up",
        [(f'sum(standfast_service_state{{{HERE},state="up"}})', "")],
        "Services that are up, over all hosts.",
        wide=4,
        high=4,
    ),
    Panel(
        "stat",
        "Not as wanted",
        [(f"count(standfast_service_in_sync{{{HERE}}} == 0) or vector(0)", "")],
        "Services with a resource that is not as it is wanted.",
        wide=4,
        high=4,
        bad=1,
    ),
    Panel(
        "stat",
        "Frozen",
        [(f"sum(standfast_service_frozen{{{HERE}}})", "")],
        "Nothing repairs these.",
        wide=4,
        high=4,
    ),
    Panel(
        "stat",
        "Refused files",
        [(f"sum(standfast_directory_refused_files{{{HERE}}})", "")],
        "Files in watched directories that are not in force.",
        wide=4,
        high=4,
        bad=1,
    ),
    Panel(
        "timeseries",
        "Services by state",
        [(f"sum by (state) (standfast_service_state{{{HERE}}})", "{{state}}")],
        "Observed, over all hosts.",
        wide=12,
        stacked=True,
    ),
    Panel(
        "timeseries",
        "Services by what is wanted",
        [(f"sum by (state) (standfast_service_desired_state{{{HERE}}})", "{{state}}")],
        "Desired, over all hosts.",
        wide=12,
        stacked=True,
    ),
    Panel(
        "table",
        "Stalled",
        [(f"standfast_service_stalled{{{HERE}}} == 1", "")],
        "Services that need a person, and why.",
        wide=12,
        high=9,
    ),
    Panel(
        "table",
        "Firing alerts",
        [('ALERTS{alertname=~"Standfast.*",alertstate="firing"}', "")],
        "As Prometheus sees them.",
        wide=12,
        high=9,
    ),
    Panel(
        "timeseries",
        "Resources lost",
        [
            (
                f"sum by (namespace, svc) (increase(standfast_resource_losses_total{{{HERE}}}[1h])) > 0",
                "{{svc}}",
            )
        ],
        "In the last hour, by service: what had been up and was repaired.",
        wide=12,
    ),
    Panel(
        "table",
        "Frozen, and since when",
        [(f"(standfast_service_frozen_timestamp_seconds{{{HERE}}} > 0) * 1000", "")],
        "Services that an operator froze.",
        wide=12,
        unit="dateTimeFromNow",
    ),
    Panel(
        "timeseries",
        "Sources that fail",
        [(f"standfast_source_failing{{{HERE}}} > 0", "{{instance}} {{source}}")],
        "Questions about a host that have no answer; what depends on them is unknown.",
        wide=12,
    ),
    Panel(
        "table",
        "Agents",
        [(f"standfast_build_info{{{HERE}}}", "")],
        "Which host runs which version.",
        wide=12,
    ),
)

SERVICE = (
    Panel(
        "state-timeline",
        "State, by host",
        [(f"standfast_service_state{{{ONE}}} == 1", "{{instance}} {{state}}")],
        "Observed availability on each host.",
        wide=24,
        high=6,
    ),
    Panel(
        "state-timeline",
        "Wanted, by host",
        [(f"standfast_service_desired_state{{{ONE}}} == 1", "{{instance}} {{state}}")],
        "What each host is to do with it.",
        wide=12,
        high=6,
    ),
    Panel(
        "state-timeline",
        "Asked by operators",
        [(f'standfast_service_asked{{{ONE},verb!="nothing"}} == 1', "{{instance}} {{verb}}")],
        "Wishes that stand.",
        wide=6,
        high=6,
    ),
    Panel(
        "state-timeline",
        "Frozen",
        [(f"standfast_service_frozen{{{ONE}}}", "{{instance}}")],
        "While it is frozen nothing is repaired.",
        wide=6,
        high=6,
    ),
    Panel(
        "state-timeline",
        "Resources",
        [(f"standfast_resource_state{{{ONE}}} == 1", "{{instance}} {{rid}} {{state}}")],
        "Every resource as it was seen.",
        wide=24,
        high=10,
    ),
    Panel(
        "timeseries",
        "Resources that drifted",
        [(f"standfast_resource_in_sync{{{ONE}}} == 0", "{{instance}} {{rid}}")],
        "Shown while a resource is not as it is wanted.",
        wide=12,
    ),
    Panel(
        "state-timeline",
        "Stalled",
        [(f"standfast_service_stalled{{{ONE}}} == 1", "{{instance}} {{reason}}")],
        "Why it would not get there by itself.",
        wide=12,
    ),
    Panel(
        "timeseries",
        "Lost, in the last hour",
        [(f"increase(standfast_resource_losses_total{{{ONE}}}[1h])", "{{instance}} {{rid}}")],
        "How often a resource that was up was found not up.",
        wide=12,
    ),
    Panel(
        "timeseries",
        "Failed jobs, in the last hour",
        [(f"increase(standfast_resource_job_failures_total{{{ONE}}}[1h])", "{{instance}} {{rid}}")],
        "Starts, stops and provisions that failed.",
        wide=12,
    ),
    Panel(
        "table",
        "What it is made of",
        [(f"standfast_resource_info{{{ONE}}}", "")],
        "Resources and their drivers.",
        wide=12,
        high=8,
    ),
    Panel(
        "table",
        "Conditions",
        [(f"standfast_service_condition{{{ONE}}} == 1", "")],
        "Ready, Reconciling and Stalled on each host.",
        wide=12,
        high=8,
    ),
    Panel(
        "timeseries",
        "Since the last pass",
        [(f"time() - (standfast_service_last_pass_timestamp_seconds{{{ONE}}} > 0)", "{{instance}}")],
        "Seconds since it was last looked at.",
        wide=12,
        unit="s",
    ),
    Panel(
        "state-timeline",
        "Resources at work",
        [(f"standfast_resource_running{{{ONE}}} == 1", "{{instance}} {{rid}}")],
        "Jobs that run.",
        wide=12,
    ),
)

LOOP = (
    Panel(
        "timeseries",
        "Passes a second",
        [
            (rate("standfast_reconcile_total", "instance"), "{{instance}}"),
            (rate("standfast_reconcile_failures_total", "instance"), "{{instance}} failed"),
        ],
        "Turns of the loop, over all services.",
    ),
    Panel(
        "timeseries",
        "Duration of a pass",
        [
            (p(0.5, "standfast_reconcile_duration_seconds"), "median"),
            (p(0.99, "standfast_reconcile_duration_seconds"), "99 %"),
        ],
        "A pass never waits for a job.",
        unit="s",
    ),
    Panel(
        "timeseries",
        "Lag of the event loop",
        [(p(0.99, "standfast_loop_lag_seconds", "instance"), "{{instance}} 99 %")],
        "How late the agent wakes up.",
        unit="s",
        bad=0.1,
    ),
    Panel(
        "timeseries",
        "Waiting and running",
        [
            (f"standfast_queue_depth{{{HERE}}}", "{{instance}} wait for a pass"),
            (f"standfast_jobs_running{{{HERE}}}", "{{instance}} jobs run"),
        ],
        "Services in the queue, jobs under way.",
    ),
    Panel(
        "timeseries",
        "Jobs, by act and driver",
        [(rate("standfast_jobs_total", "act, driver"), "{{act}} {{driver}}")],
        "Jobs a second.",
    ),
    Panel(
        "timeseries",
        "Duration of a job",
        [(p(0.95, "standfast_job_duration_seconds", "act, driver"), "{{act}} {{driver}} 95 %")],
        "By act and driver.",
        unit="s",
    ),
    Panel(
        "heatmap",
        "Operations by duration",
        [(rate("standfast_operation_duration_seconds_bucket", "le"), "{{le}}")],
        "Single acts on the host.",
        unit="s",
    ),
    Panel(
        "timeseries",
        "Failed operations",
        [(rate("standfast_operation_failures_total", "act"), "{{act}}")],
        "Acts that failed, a second.",
    ),
    Panel(
        "timeseries",
        "Events",
        [
            (rate("standfast_events_total", "kind"), "{{kind}}"),
            (rate("standfast_events_dropped_total", "instance"), "{{instance}} not kept"),
        ],
        "What is written into the journal.",
    ),
    Panel(
        "timeseries",
        "Looks of the sources",
        [(rate("standfast_source_looks_total", "source"), "{{source}}")],
        "Looks a second, by source of facts.",
    ),
    Panel(
        "timeseries",
        "Time spent in looks",
        [(rate("standfast_source_look_seconds_total", "source"), "{{source}}")],
        "Seconds a second.",
        unit="s",
    ),
    Panel(
        "timeseries",
        "Events heard and looks failed",
        [
            (rate("standfast_source_events_total", "source"), "{{source}} events"),
            (rate("standfast_source_look_failures_total", "source"), "{{source}} failed"),
        ],
        "Without events a change is found by the next look.",
    ),
    Panel(
        "timeseries",
        "Store",
        [(f"standfast_store_up{{{HERE}}}", "{{instance}} takes writes")],
        "0 while what is asked for may be forgotten.",
    ),
    Panel(
        "timeseries",
        "Processor",
        [(f"rate(process_cpu_seconds_total{{{HERE}}}[$__rate_interval])", "{{instance}}")],
        "Share of one core.",
        unit="percentunit",
    ),
    Panel(
        "timeseries",
        "Memory",
        [(f"process_resident_memory_bytes{{{HERE}}}", "{{instance}}")],
        "Resident memory of the agent.",
        unit="bytes",
    ),
    Panel(
        "timeseries",
        "Scrape",
        [(f"standfast_scrape_duration_seconds{{{HERE}}}", "{{instance}}")],
        "How long a page of metrics takes to write.",
        unit="s",
    ),
)


SERVICE_VARIABLES = (
    variable(
        "namespace",
        "Namespace",
        f"label_values(standfast_service_info{{{HERE}}}, namespace)",
        several=False,
    ),
    variable(
        "svc",
        "Service",
        f'label_values(standfast_service_info{{{HERE},namespace="$namespace"}}, svc)',
        several=False,
    ),
)


DASHBOARDS = {
    "fleet.json": dashboard("standfast-fleet", "Standfast / Fleet overview", FLEET),
    "service.json": dashboard(
        "standfast-service", "Standfast / Service detail", SERVICE, SERVICE_VARIABLES
    ),
    "loop.json": dashboard("standfast-loop", "Standfast / Control loop", LOOP),
}


def text(name: str) -> str:
    return json.dumps(DASHBOARDS[name], indent=2) + "\n"


if __name__ == "__main__":
    for file in DASHBOARDS:
        (Path(__file__).parent / "dashboards" / file).write_text(text(file))
