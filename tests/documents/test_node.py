"""node.yaml becomes settings, or all its faults."""

from dataclasses import fields
from pathlib import Path

import pytest

from reconciler.decide.documents.kinds import schema
from reconciler.decide.documents.node import read_node
from reconciler.settings import Api, Etcd, Fence, Settings

HEAD = "apiVersion: standfast/v1\nkind: Node\n"


def read(text: str):
    return read_node((HEAD + text).encode(), "node.yaml")


def test_every_setting_can_be_written_and_nothing_else():
    written = set(schema("node.json")["properties"]["spec"]["properties"])
    assert {field.name for field in fields(Settings)} == written | {"node", "labels"}


def test_what_is_written_becomes_fields():
    settings, faults = read(
        "metadata: {name: demo1, labels: {zone: a}}\n"
        "spec: {env: PRD, look_every: 1m, cluster_nodes: [demo1, demo2], state: /s, events: false, "
        "roles: {ops: operator}}"
    )
    assert not faults
    assert settings == {
        "node": "demo1",
        "labels": {"zone": "a"},
        "env": "PRD",
        "look_every": 60.0,
        "cluster_nodes": ("demo1", "demo2"),
        "state": "/s",
        "events": False,
        "roles": {"ops": "operator"},
    }
    assert Settings(**{**settings, "state": Path(settings["state"])}).look_every == 60.0


def test_the_store_of_several_hosts():
    settings, faults = read(
        "spec:\n  failover_time: 30s\n  watchdog: /dev/watchdog0\n"
        "  etcd: {endpoints: ['https://10.0.0.1:2379', 'https://10.0.0.2:2379'], ca: /ca.pem}"
    )
    assert not faults
    assert settings["etcd"] == Etcd(("https://10.0.0.1:2379", "https://10.0.0.2:2379"), ca="/ca.pem")
    assert settings["failover_time"] == 30.0


def test_who_may_ask_over_tls():
    settings, faults = read(
        "spec:\n  api: {listen: '10.0.0.1:9834', certificate: /c, key: /k, client_ca: /a, "
        "roles: {ops laptop: operator}, default: viewer}"
    )
    assert not faults
    roles = {"ops laptop": "operator"}
    assert settings["api"] == Api("10.0.0.1:9834", "/c", "/k", "/a", roles, "viewer")


def test_how_others_are_fenced():
    settings, faults = read(
        "spec:\n  fencing:\n    n2: {agent: fence_ipmilan, timeout: 30s, "
        "options: {ip: 10.0.9.2, lanplus: true, ipport: 623}}"
    )
    assert not faults
    options = {"ip": "10.0.9.2", "lanplus": "1", "ipport": "623"}
    assert settings["fencing"] == {"n2": Fence("fence_ipmilan", options, 30.0)}


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("spec: {lookEvery: 5s}", 3, 'Did you mean "look_every"?'),
        ("spec:\n  look_every: often", 4, "not a duration"),
        ("spec:\n  max_jobs: 0", 4, "too small"),
        ("spec:\n  roles: {ops: boss}", 4, "none of"),
        ("spec:\n  run: here", 4, "absolute path"),
        ("spec:\n  metrics_listen: here", 4, "form"),
        ("spec:\n  api: {listen: ':9834', certificate: c, key: k}", 4, "client_ca"),
        ("spec:\n  api: {listen: here, certificate: c, key: k, client_ca: a}", 4, "form"),
        ("spec:\n  api: {listen: ':1', certificate: c, key: k, client_ca: a, default: admin}", 4, "viewer"),
        ("spec:\n  failover_time: quick", 4, "form"),
        ("spec:\n  failover_time: 2s", 4, "choose at least"),
        ("spec:\n  etcd: {endpoints: []}", 4, "empty"),
        ("spec:\n  etcd: {endpoints: ['10.0.0.1:2379']}", 4, "form"),
        ("spec:\n  etcd: {endpoints: ['http://a:1'], key: /k}", 4, "certificate"),
        ("specs: {}", 3, 'Did you mean "spec"?'),
        ("metadata: {name: a b}", 3, "form"),
        ("a: [", 3, "is not YAML"),
    ],
)
def test_node_fault(text, line, part):
    settings, faults = read(text)
    assert settings == {}
    assert [fault.line for fault in faults if part in f"{fault.what} {fault.todo}"] == [line], faults


@pytest.mark.parametrize("content", [b"", b"\xff", b"- 1", b"null", b"5"])
def test_no_node_at_all_is_a_fault(content):
    assert read_node(content, "node.yaml")[1]
