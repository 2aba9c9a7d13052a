"""Alerts and recording rules: each fires on what it is for and is silent beside it, by promtool."""

import json
import re
import shutil
import subprocess
from importlib import resources as files
from typing import NamedTuple

import pytest
from ruamel.yaml import YAML

from metrics.catalogue import BY_NAME, CATALOGUE, FOREIGN, series
from reconciler.decide.conditions import Stalled

HOST = 'job="standfast",instance="a:9833"'
SVC = f'{HOST},namespace="root",svc="web"'
FIRES_ON = {"job": "standfast", "instance": "a:9833"}
FIRES_ON_SVC = {**FIRES_ON, "namespace": "root", "svc": "web"}
PEER = f'{HOST},peer="demo2"'
FIRES_ON_PEER = {**FIRES_ON, "peer": "demo2"}
LONG = "x200"  # minutes


class Alarm(NamedTuple):
    """Series of an alert that fires and of one that must not, after so many minutes."""

    fires: dict[str, str]
    silent: dict[str, str]
    labels: dict[str, str] = FIRES_ON_SVC
    after: int = 30


def desired(state, value=1):
    return {f'standfast_service_desired_state{{{SVC},state="{state}"}}': f"{value}{LONG}"}


def observed(state, value=1):
    return {f'standfast_service_state{{{SVC},state="{state}"}}': f"{value}{LONG}"}


def one(name, values, labels=SVC):
    return {f"{name}{{{labels}}}" if labels else name: values}


def stalled(reason, values):
    return one("standfast_service_stalled", values, f'{SVC},reason="{reason}"')


def buckets(name, low, high, labels):
    """A histogram that grows by `low` a minute below 10 ms and by `high` above."""
    return {
        f'{name}_bucket{{{labels},le="0.01"}}': f"0+{low}{LONG}",
        f'{name}_bucket{{{labels},le="0.25"}}': f"0+{low + high}{LONG}",
        f'{name}_bucket{{{labels},le="+Inf"}}': f"0+{low + high}{LONG}",
    }


ALARMS = {
    "StandfastNoSession": Alarm(
        one("standfast_session_open", f"0{LONG}", HOST),
        one("standfast_session_open", f"1{LONG}", HOST),
        FIRES_ON,
    ),
    "StandfastDuplicateNode": Alarm(
        one("standfast_duplicate_node", f"1{LONG}", HOST),
        one("standfast_duplicate_node", f"0{LONG}", HOST),
        FIRES_ON,
    ),
    "StandfastPeerDead": Alarm(
        one("standfast_peer_alive", f"0{LONG}", PEER),
        one("standfast_peer_alive", f"1{LONG}", PEER),
        FIRES_ON_PEER,
    ),
    "StandfastClusterViewStale": Alarm(
        one("standfast_cluster_view_up", f"0{LONG}", HOST),
        one("standfast_cluster_view_up", f"1{LONG}", HOST),
        FIRES_ON,
    ),
    "StandfastStoreFilling": Alarm(
        one("standfast_cluster_store_bytes", f"1000{LONG}", HOST)
        | one("standfast_cluster_store_quota_bytes", f"2000{LONG}", HOST),
        one("standfast_cluster_store_bytes", f"999{LONG}", HOST)
        | one("standfast_cluster_store_quota_bytes", f"2000{LONG}", HOST),
        FIRES_ON,
    ),
    "StandfastFewVoters": Alarm(
        one("standfast_cluster_store_voters", f"2{LONG}", HOST),
        one("standfast_cluster_store_voters", f"3{LONG}", HOST),
        FIRES_ON,
    ),
    "StandfastGuardGone": Alarm(
        one("standfast_guard_up", f"0{LONG}", HOST), one("standfast_guard_up", f"1{LONG}", HOST), FIRES_ON
    ),
    "StandfastPeerDrained": Alarm(
        one("standfast_peer_drained", "1x2000", PEER),
        one("standfast_peer_drained", "0x2000", PEER),
        FIRES_ON_PEER,
        after=1500,
    ),
    "StandfastServiceDown": Alarm(
        {**desired("up"), **observed("down")}, {**desired("up", 0), **desired("down"), **observed("down")}
    ),
    "StandfastServiceStartFails": Alarm(
        stalled("StartFailed", "0 1 0 0 0 1 0 0" + " 0 0 0 1" * 20), stalled("StartFailed", f"0{LONG}")
    ),
    "StandfastServiceDegraded": Alarm(
        {**desired("up"), **observed("warn")}, {**desired("up"), **observed("warn", 0)}
    ),
    "StandfastServiceUnknown": Alarm(observed("unknown"), observed("unknown", 0)),
    "StandfastServiceNotStopped": Alarm(
        {**desired("down"), **observed("warn")}, {**desired("untouched"), **observed("up")}
    ),
    "StandfastServiceStalled": Alarm(
        stalled("Blocked", f"1{LONG}"),
        stalled("StartFailed", f"1{LONG}"),
        {**FIRES_ON_SVC, "reason": "Blocked"},
    ),
    "StandfastServiceDrift": Alarm(
        one("standfast_service_in_sync", f"0{LONG}"),
        one("standfast_service_in_sync", "0 0 0 0 0 0 1 0 0 0 0 0 0 1" + " 0 0 0 0 0 0 1" * 20),
    ),
    "StandfastResourceFlapping": Alarm(
        one("standfast_resource_losses_total", f"0+1{LONG}", f'{SVC},rid="ip#0"'),
        one("standfast_resource_losses_total", "0 1 1 2" + " 2" * 60, f'{SVC},rid="ip#0"'),
        {**FIRES_ON_SVC, "rid": "ip#0"},
    ),
    "StandfastFrozenTooLong": Alarm(
        one("standfast_service_frozen_timestamp_seconds", "60x2000"),
        one("standfast_service_frozen_timestamp_seconds", "0x2000"),
        after=1500,
    ),
    "StandfastPlacementNotOptimal": Alarm(
        one("standfast_service_placement", f"1{LONG}", f'{SVC},state="non-optimal"'),
        one("standfast_service_placement", f"1{LONG}", f'{SVC},state="optimal"'),
        after=90,
    ),
    "StandfastDocumentInvalid": Alarm(
        one("standfast_document_valid", f"0{LONG}"), one("standfast_document_valid", f"1{LONG}")
    ),
    "StandfastPruneHeld": Alarm(
        one("standfast_prune_held", f"1{LONG}", HOST),
        one("standfast_prune_held", f"0{LONG}", HOST),
        FIRES_ON,
    ),
    "StandfastDirectoryUnreadable": Alarm(
        one("standfast_directory_readable", f"0{LONG}", HOST),
        one("standfast_directory_readable", f"1{LONG}", HOST),
        FIRES_ON,
    ),
    "StandfastAgentDown": Alarm(
        one("up", f"0{LONG}", HOST), one("up", f"0{LONG}", 'job="node",instance="a:9100"'), FIRES_ON
    ),
    "StandfastAgentAbsent": Alarm(
        one("up", f"1{LONG}", HOST), one("standfast_build_info", f"1{LONG}", HOST), {}
    ),
    "StandfastAgentRestarting": Alarm(
        one("process_start_time_seconds", f"0+100{LONG}", HOST),
        one("process_start_time_seconds", f"100{LONG}", HOST),
        FIRES_ON,
    ),
    "StandfastReconcileStuck": Alarm(
        one("standfast_queue_depth", f"3{LONG}", HOST) | one("standfast_reconcile_total", f"7{LONG}", HOST),
        one("standfast_queue_depth", f"3{LONG}", HOST)
        | one("standfast_reconcile_total", f"0+7{LONG}", HOST),
        FIRES_ON,
    ),
    "StandfastServiceNotLookedAt": Alarm(
        one("standfast_service_last_pass_timestamp_seconds", f"60{LONG}"),
        one("standfast_service_last_pass_timestamp_seconds", f"60+60{LONG}"),
    ),
    "StandfastReconcileHotLoop": Alarm(
        one("standfast_reconcile_total", f"0+600{LONG}", HOST) | one("standfast_service_info", f"1{LONG}"),
        one("standfast_reconcile_total", f"0+10{LONG}", HOST) | one("standfast_service_info", f"1{LONG}"),
        FIRES_ON,
    ),
    "StandfastLoopLag": Alarm(
        buckets("standfast_loop_lag_seconds", 10, 50, HOST),
        buckets("standfast_loop_lag_seconds", 60, 0, HOST),
        FIRES_ON,
    ),
    "StandfastSourceFailing": Alarm(
        one("standfast_source_up", f"0{LONG}", f'{HOST},source="mounts"'),
        one("standfast_source_up", f"1{LONG}", f'{HOST},source="mounts"'),
        {**FIRES_ON, "source": "mounts"},
    ),
    "StandfastStoreUnreachable": Alarm(
        one("standfast_store_up", f"0{LONG}", HOST), one("standfast_store_up", f"1{LONG}", HOST), FIRES_ON
    ),
    "StandfastEventsDropped": Alarm(
        one("standfast_events_dropped_total", f"0+1{LONG}", HOST),
        one("standfast_events_dropped_total", f"9{LONG}", HOST),
        FIRES_ON,
    ),
    "StandfastMetricsIncomplete": Alarm(
        one("standfast_scrape_errors_total", f"0+1{LONG}", HOST),
        one("standfast_scrape_errors_total", f"9{LONG}", HOST),
        FIRES_ON,
    ),
    "StandfastVersionSkew": Alarm(
        one("standfast_build_info", "1x2000", f'{HOST},version="1"')
        | one("standfast_build_info", "1x2000", 'instance="b",version="2"'),
        one("standfast_build_info", "1x2000", f'{HOST},version="1"')
        | one("standfast_build_info", "1x2000", 'instance="b",version="1"'),
        {},
        after=1600,
    ),
}

METRICS = files.files("metrics")


def rules(file):
    groups = YAML(typ="safe").load((METRICS / file).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules("alerts.yaml")}
RECORDED = {rule["record"]: rule for rule in rules("rules.yaml")}


def metrics_in(query):
    """Names of metrics in a query: words that no selector, grouping or string holds."""
    query = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]', " ", query)
    query = re.sub(r"\b(by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", " ", query)
    return {
        word for word in re.findall(r"[a-zA-Z_:][\w:]*(?!\s*\()\b", query) if "_" in word or word == "up"
    }


def promtool(*args, cwd=None):
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed: apt install prometheus")
    told = subprocess.run(["promtool", *args], capture_output=True, text=True, cwd=cwd)
    assert told.returncode == 0, told.stdout + told.stderr


def test_promtool_accepts_the_rules():
    promtool("check", "rules", str(METRICS / "alerts.yaml"), str(METRICS / "rules.yaml"))


def test_every_alert_is_tested():
    assert set(ALARMS) == set(ALERTS)


def expected(alert, labels):
    """The alert as it is sent, its templates filled in."""

    def filled(text):
        return re.sub(r"{{ \$labels\.(\w+) }}", lambda found: labels.get(found[1], ""), text)

    rule = ALERTS[alert]
    return {
        "exp_labels": {**labels, **rule["labels"]},
        "exp_annotations": {name: filled(text) for name, text in rule["annotations"].items()},
    }


@pytest.mark.parametrize(
    ("every", "at_most"), [(1, 1000), (10, 10**6)], ids=["within hours", "after a day"]
)
def test_every_alert_fires_and_every_alert_is_silent(tmp_path, every, at_most):
    """Rules are evaluated every so many minutes: the slow ones would cost thousands of turns."""
    tests = []
    for name, alarm in ALARMS.items():
        if (alarm.after > 1000) != (at_most > 1000):
            continue
        for what, given in (("fires", alarm.fires), ("silent", alarm.silent)):
            wanted = [expected(name, alarm.labels)] if what == "fires" else []
            at = {"eval_time": f"{alarm.after}m", "alertname": name, "exp_alerts": wanted}
            tests.append(
                {
                    "name": f"{name} {what}",
                    "interval": "1m",
                    "input_series": [{"series": s, "values": v} for s, v in given.items()],
                    "alert_rule_test": [at],
                }
            )
    files_ = [str(METRICS / "alerts.yaml"), str(METRICS / "rules.yaml")]
    case = {"rule_files": files_, "evaluation_interval": f"{every}m", "tests": tests}
    (tmp_path / "cases.yaml").write_text(json.dumps(case))
    promtool("test", "rules", "cases.yaml", cwd=tmp_path)


OTHER = SVC.replace("web", "other")
RECORDINGS = [
    (one("standfast_service_info", "1x9"), "instance:standfast_services:count", 1),
    (
        one("standfast_service_in_sync", "1x9") | one("standfast_service_in_sync", "0x9", OTHER),
        "instance:standfast_services_in_sync:ratio",
        0.5,
    ),
    (desired("up"), "instance:standfast_services_wanted_up:count", 1),
    (observed("up"), "instance:standfast_services_up:count", 1),
    (one("standfast_reconcile_total", "0+60x9", HOST), "instance:standfast_reconcile:rate5m", 1),
    (
        buckets("standfast_reconcile_duration_seconds", 100, 0, HOST),
        "instance:standfast_reconcile_duration_seconds:p99_5m",
        0.0099,
    ),
    (
        buckets("standfast_loop_lag_seconds", 100, 0, HOST),
        "instance:standfast_loop_lag_seconds:p99_5m",
        0.0099,
    ),
    (
        buckets("standfast_job_duration_seconds", 100, 0, f'{HOST},act="start",driver="x"'),
        "instance_act_driver:standfast_job_duration_seconds:p95_1h",
        0.0095,
    ),
]


def test_every_recording_says_what_its_name_says(tmp_path):
    assert {name for _, name, _ in RECORDINGS} == set(RECORDED)
    tests = [
        {
            "name": name,
            "interval": "1m",
            "input_series": [{"series": s, "values": v} for s, v in given.items()],
            "promql_expr_test": [
                {
                    # Rounded: promtool compares floats bit by bit.
                    "expr": f"round(sum({name}), 0.0001)",
                    "eval_time": "8m",
                    "exp_samples": [{"labels": "{}", "value": value}],
                }
            ],
        }
        for given, name, value in RECORDINGS
    ]
    case = {"rule_files": [str(METRICS / "rules.yaml")], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "cases.yaml").write_text(json.dumps(case))
    promtool("test", "rules", "cases.yaml", cwd=tmp_path)


CATALOGUED = {name for metric in CATALOGUE for name in series(metric)}


@pytest.mark.parametrize("name", [*ALERTS, *RECORDED])
def test_names_only_what_is_catalogued(name):
    query = {**ALERTS, **RECORDED}[name]["expr"]
    used = metrics_in(query)
    assert used, query
    assert {n for n in used if not n.startswith(FOREIGN)} <= CATALOGUED | set(RECORDED)
    for metric, label, operator, value in re.findall(r'(\w+)\{(\w+)(=~|!=|=)"([^"]+)"', query):
        if metric in BY_NAME:
            states = BY_NAME[metric].states
            assert operator == "!=" or any(re.fullmatch(value, state) for state in states), (metric, label)
            assert label == BY_NAME[metric].by


def test_the_words_of_queries_are_found():
    query = 'sum by (job, le) (rate(a_b_bucket{x="c_d"}[5m])) > on (e_f) max_of(0.9, i:g_h:x) and up == 0'
    assert metrics_in(query) == {"a_b_bucket", "i:g_h:x", "up"}


def test_alerts_say_what_and_what_to_do():
    for name, rule in ALERTS.items():
        assert re.fullmatch(r"Standfast([A-Z][a-z]+)+", name)
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert (
            rule["annotations"]["description"].endswith((".", "?"))
            or ": standfast " in (rule["annotations"]["description"])
        )


def test_a_reason_that_alerts_name_exists():
    named = re.findall(r'reason!?="(\w+)"', (METRICS / "alerts.yaml").read_text())
    assert set(named) <= {str(reason) for reason in Stalled}
