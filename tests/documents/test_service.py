"""A document in order becomes the service it describes."""

import pickle
from dataclasses import replace

import pytest

from reconciler.decide.documents import Home
from reconciler.model import Flex, State, Trigger
from tests.documents.bed import HOME, conf, good, resources, said, service, yaml


@pytest.mark.parametrize(
    ("spec", "field", "value"),
    [
        ("{}", "orchestrate", "ha"),
        ("{}", "monitor_action", "switch"),
        ("orchestrate: start", "monitor_action", "none"),
        ("monitor_action: reboot", "monitor_action", "reboot"),
        ("{}", "nodes", ("demo1",)),
        ("nodes: [demo2, demo1]", "nodes", ("demo2", "demo1")),
        ("nodes: demo2 demo1", "nodes", ("demo2", "demo1")),
        ("nodes: ['demo*']", "nodes", ("demo1", "demo2", "demo10")),
        ("nodes: [demo10, 'demo?']", "nodes", ("demo10", "demo1", "demo2")),
        ("nodes: [zone=a]", "nodes", ("demo1",)),
        ("nodes: [zone=b]", "nodes", ()),
        ("nodes: ['zone=b', demo1, 'demo*']", "selectors", ("zone=b", "demo*")),
        ("nodes: [elsewhere]", "nodes", ("elsewhere",)),
        ("{topology: flex, flex: {min: 2, max: 4}}", "flex", Flex(2, 4, 2)),
        ("{flex: {min: 0}}", "flex", Flex(0, 0, 1)),
        ("parents: [root/db]", "relations", {"parents": ("root/db",)}),
        ("placement: load avg", "placement", "load avg"),
        ("state: stopped", "line", 5),
        ("app@demo1: mine\napp: other", "app", "mine"),
        ("app@nodes: mine\napp: other", "app", "mine"),
        ("app@demo2: theirs\napp: other", "app", "other"),
        ("app@demo1: here\napp@nodes: there", "app", "here"),
        ("requires_safety: fenced", "requires_safety", "fenced"),
        ("priority: 10", "priority", 10),
        ("disable: true", "disable", True),
    ],
)
def test_service_keyword(spec, field, value):
    assert getattr(good(yaml(service(spec))), field) == value


CLUSTER = {
    "demo10": {"zone": "a"},
    "demo2": {"zone": "a"},
    "demo3": {"zone": "b"},
    "demo1": {"zone": "old"},
}


@pytest.mark.parametrize(
    ("written", "nodes"),
    [
        ("zone=a", ("demo1", "demo2", "demo10")),  # it knows its own labels better than the store
        ("zone=b", ("demo3",)),
        ("'demo*'", ("demo1", "demo2", "demo3", "demo10")),
        ("demo10, zone=a", ("demo10", "demo1", "demo2")),
        ("rack=1", ()),
    ],
)
def test_nodes_are_selected_among_the_hosts_of_the_cluster(written, nodes):
    """Names of node.yaml count for a host alone: each host would have a list of its own."""
    home = replace(HOME, hosts=CLUSTER, cluster_nodes=("demo9",))
    assert good(yaml(service(f"nodes: [{written}]"), home)).nodes == nodes


def test_conf_has_defaults_of_its_own():
    found = good(conf("[DEFAULT]\nnodes = demo1 demo2\n[fs#a]\ntype = flag\n"))
    assert (found.orchestrate, found.monitor_action, found.nodes) == ("no", "none", ("demo1", "demo2"))
    common = found.resources[0].common
    assert (common.restart, common.provision, common.creatable) == (0, False, True)


@pytest.mark.parametrize(
    ("written", "provision", "creatable"),
    [("true", True, True), ("command", False, True), ("false", False, False)],
)
def test_provision_in_yaml(written, provision, creatable):
    common = good(yaml(resources(f"fs#a: {{type: flag, provision: {written}}}"))).resources[0].common
    assert (common.provision, common.creatable) == (provision, creatable)


@pytest.mark.parametrize(("written", "creatable"), [("true", True), ("false", False)])
def test_provision_in_conf_is_never_of_its_own_accord(written, creatable):
    checked = conf(f"[fs#a]\ntype = flag\nprovision = {written}\n")
    common = good(checked).resources[0].common
    assert (common.provision, common.creatable) == (False, creatable), said(checked)


def test_common_keywords():
    text = """
fs#b: {type: flag}
fs#a:
  type: flag
  optional: true
  monitor: true
  restart: 7
  restart_delay: 2s
  standby: true
  shared: true
  subset: early
  tags: [x, y]
  after: [fs#b]
  unprovision: false
  on_change: ignore
  timeouts: {start: 1m}
  triggers: {blocking_pre_start: "true", post_stop: "sync"}
  requires: {stop: ["fs#c(down, stdby down)"], start: [fs#b]}
fs#c: {type: flag}
"""
    common = (
        good(
            yaml(
                resources(text).replace("resources:", "subsets: {fs:early: {parallel: true}}\n  resources:")
            )
        )
        .resources[1]
        .common
    )
    assert (common.optional, common.monitor, common.restart, common.restart_delay) == (True, True, 7, 2.0)
    assert (common.standby, common.shared, common.subset, common.parallel) == (True, True, "early", True)
    assert (common.tags, common.after, common.unprovision, common.on_change) == (
        {"x", "y"},
        ("fs#b",),
        False,
        "ignore",
    )
    assert common.timeouts == {"start": 60.0}
    assert common.triggers == (
        Trigger("pre", "start", "true", True),
        Trigger("post", "stop", "sync", False),
    )
    assert common.requires["stop"] == (("fs#c", frozenset({State.DOWN, State.STANDBY_DOWN})),)
    assert common.requires["start"] == (("fs#b", frozenset({State.UP, State.STANDBY_UP})),)


def test_a_driver_gets_plain_finished_values():
    text = """
fs#a: {type: tmpfs, mnt: /m, perm: "0755", stat_timeout: 1500ms}
disk#0: {type: loop, file: /i, size: 10MiB}
disk#1: {type: raw, devs: [/dev/a]}
ip#0: {ipname: 10.0.0.1, ipdev: br0, netmask: 24}
"""
    spec = {resource.rid: resource.spec for resource in good(yaml(resources(text))).resources}
    assert spec["fs#a"]["perm"] == "0755"
    assert spec["fs#a"]["stat_timeout"] == 1.5
    assert spec["disk#0"]["size"] == 10 * 2**20
    assert spec["disk#1"]["devs"] == ("/dev/a",)
    assert (spec["ip#0"]["name"], spec["ip#0"]["dev"], spec["ip#0"]["netmask"]) == ("10.0.0.1", "br0", 24)
    assert "comment" not in spec["fs#a"]
    assert "user" not in spec["fs#a"]


def test_a_spec_holds_only_the_drivers_keywords():
    found = good(yaml(resources("fs#a: {type: flag, monitor: true, comment: hello}"))).resources[0]
    assert found.spec == {"path": "/run/x/flags/root/svc1/fs#a"}
    assert (found.kind, found.line) == ("fs.flag", 7)


@pytest.mark.parametrize(
    ("written", "home", "fine"),
    [("PRD", "TST", False), ("PRD", "PRD", True), ("TST", "PRD", True), ("DEV", "TST", True)],
)
def test_a_prd_service_needs_a_prd_node(written, home, fine):
    checked = yaml(service(f"env: {written}"), Home("demo1", env=home))
    assert (checked.service is not None) is fine, said(checked)


@pytest.mark.parametrize(
    ("key", "metadata", "part"),
    [
        ("root/svc1", "{name: svc1}", ""),
        ("root/svc1", "{name: svc1, namespace: root}", ""),
        ("web/svc1", "{name: svc1}", ""),
        ("/svc1", "{name: svc1, namespace: web}", ""),
        ("web/svc1", "{name: svc1, namespace: db}", "contradicts the directory"),
        ("root/svc1", "{name: svc2}", "contradicts the file"),
        ("root/svc1", "{}", "name is missing"),
        ("root/svc1", "{name: svc1, lables: {}}", 'Did you mean "labels"?'),
        ("root/svc1", "{name: svc1, labels: {tier: 1}}", 'Quote it: "1"'),
    ],
)
def test_identity_and_metadata(key, metadata, part):
    text = f"apiVersion: standfast/v1\nkind: Service\nmetadata: {metadata}\nspec: {{}}\n"
    checked = yaml(text, HOME, key)
    if part:
        assert part in " ".join(said(checked))
        assert checked.service is None
    else:
        namespace = key.partition("/")[0] or "web"
        assert good(checked).key == f"{namespace}/svc1"


def test_the_generation_names_the_content_alone():
    one, other = yaml(service("app: x")), yaml(service("app: y"))
    assert one.generation == good(one).generation != other.generation
    assert one.generation == yaml(service("app: x"), Home("demo2")).generation


def test_a_checked_document_travels_between_processes():
    checked = yaml(resources("fs#a: {type: flag, timeouts: {start: 5s}}"))
    assert pickle.loads(pickle.dumps(checked)) == checked
