"""All that is wrong is told at once, each with its line and what to do."""

import pytest

from tests.documents.bed import HOME, conf, good, resources, said, service, yaml


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        pytest.param("fs#a: {type: flagg}", 7, ["fs.flagg", 'Did you mean "flag"?'], id="a kind mistyped"),
        pytest.param("fs#a: {path: /x}", 7, ["type is missing"], id="no type, and none by default"),
        pytest.param(
            "task#a: {type: host}",
            7,
            ["there is no kind", "none in this group"],
            id="a group without kinds",
        ),
        pytest.param("fs: {type: flag}", 7, ["spec.resources.fs:", "group#index"], id="no index"),
        pytest.param("fs#a: ", 7, ["is empty; a map is wanted"], id="an empty resource"),
        pytest.param("fs#a: {type: tmpfs}", 7, ["mnt is missing"], id="a required keyword"),
        pytest.param(
            "fs#a:\n  type: tmpfs\n  mnt: data", 9, ['"data" is not an absolute path'], id="a relative path"
        ),
        pytest.param(
            "fs#a:\n  type: tmpfs\n  mnt: /a\n  mntOpt: x", 10, ['Did you mean "mnt_opt"?'], id="camelCase"
        ),
        pytest.param(
            "fs#a:\n  type: flag\n  pth: /a", 9, ['Did you mean "path"?'], id="a keyword mistyped"
        ),
        pytest.param(
            "fs#a:\n  type: flag\n  path: ", 9, ["is empty; text is wanted"], id="a keyword left empty"
        ),
        pytest.param("fs#a:\n  type: flag\n  path: 5", 9, ['Quote it: "5"'], id="a number for text"),
        pytest.param(
            "fs#a:\n  type: tmpfs\n  mnt: /a\n  perm: 0755", 10, ['Write "0755"'], id="a bare mode"
        ),
        pytest.param(
            "fs#a:\n  type: flag\n  restart: '3'", 9, ["without quotes: 3"], id="text for a number"
        ),
        pytest.param("fs#a:\n  type: flag\n  restart: -1", 9, ["too small", "least is 0"], id="too small"),
        pytest.param("fs#a:\n  type: flag\n  monitor: yes", 9, ["Write true"], id="yes is text"),
        pytest.param(
            "fs#a:\n  type: flag\n  restart_delay: 5 min", 9, ['Did you mean "5m"?'], id="no duration"
        ),
        pytest.param(
            "disk#a:\n  type: loop\n  file: /a\n  size: 10 gigs",
            10,
            ['Did you mean "10GiB"?'],
            id="no size",
        ),
        pytest.param(
            "fs#a:\n  type: flag\n  timeouts:\n    strt: 5s",
            10,
            ['Did you mean "start"?'],
            id="inside a map",
        ),
        pytest.param(
            "fs#a:\n  type: flag\n  timeouts:\n    start: soon",
            9,
            ["not a duration"],
            id="a duration inside a map",
        ),
        pytest.param(
            "fs#a:\n  type: flag\n  start_timeout: 5s",
            9,
            ["Write timeouts: {start: …}"],
            id="the name in .conf",
        ),
        pytest.param(
            "fs#a:\n  type: flag\n  pre_start: x",
            9,
            ["Write triggers: {pre_start: …}"],
            id="a trigger flat",
        ),
        pytest.param(
            "fs#a:\n  type: flag\n  stop_requires: x", 9, ["Write requires: {stop: …}"], id="requires flat"
        ),
        pytest.param(
            "fs#a:\n  type: flag\n  after: [fs#b]", 9, ["no resource fs#b"], id="after what is not there"
        ),
        pytest.param(
            "fs#a:\n  type: flag\n  after: [fs#a]", 9, ["cannot wait for itself"], id="after itself"
        ),
        pytest.param(
            "fs#a:\n  type: flag\n  requires: {start: ['fs#a(upp)']}",
            9,
            ["cannot wait"],
            id="requires itself",
        ),
        pytest.param(
            "fs#b: {type: flag}\nfs#a:\n  type: flag\n  requires: {start: ['fs#b(upp)']}",
            10,
            ['"upp" is not a state'],
            id="a state mistyped",
        ),
        pytest.param(
            "fs#a:\n  type: flag\n  encap: true", 9, ["is not supported", "guest"], id="a keyword left out"
        ),
        pytest.param(
            "fs#a:\n  type: flag\n  provision: always", 9, ["none of true, false"], id="a word of a choice"
        ),
        pytest.param(
            "ip#0:\n  name: a\n  ipname: b\n  dev: c",
            9,
            ["says the same as name"],
            id="both names of one keyword",
        ),
        pytest.param(
            "fs#a:\n  type: flag\n  path@demo2: x", 9, ["not an absolute path"], id="another node's value"
        ),
        pytest.param(
            "fs#a:\n  type: flag\n  pth@demo2: /x", 9, ['Did you mean "path"?'], id="another node's keyword"
        ),
        pytest.param(
            "fs#a:\n  type: flag\n  'path@': /x", 9, ["is no keyword"], id="a scope without a name"
        ),
        pytest.param(
            "disk#0: {type: loop, file: /x, size: '{disk#1.base_devs}'}\ndisk#1: {type: raw, devs: [/a]}",
            7,
            ["is not a size"],
            id="a size known only later",
        ),
        pytest.param(
            "fs#a: {type: flag, restart: '{disk#1.exposed_devs}'}\ndisk#1: {type: raw, devs: [/a]}",
            7,
            ["known only at run time"],
            id="a number known only later",
        ),
    ],
)
def test_resource_fault(text, line, parts):
    checked = yaml(resources(text))
    assert checked.service is None
    hits = [
        fault
        for fault, one in zip(checked.faults, said(checked), strict=True)
        if all(p in one for p in parts)
    ]
    assert [fault.line for fault in hits] == [line], said(checked)
    assert all(fault.todo for fault in checked.faults)


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        pytest.param("monitorAction: none", ['Did you mean "monitor_action"?'], id="camelCase"),
        pytest.param("orchestrate: true", ["none of", "ha"], id="a wrong word"),
        pytest.param("flex_min: 1", ["Write flex: {min: …}"], id="the name in .conf"),
        pytest.param("flex: {min: 3, max: 2}", ["more than max"], id="flex turned round"),
        pytest.param("flex: {min: 1, max: 2, target: 3}", ["not between"], id="flex past its bounds"),
        pytest.param("nodes: {a: b}", ["a list is wanted"], id="nodes as a map"),
        pytest.param("nodes: [1]", ['Quote it: "1"'], id="a node's name as a number"),
        pytest.param("resources: [a]", ["a map is wanted"], id="resources as a list"),
        pytest.param("subsets: {a: {}}", ["group:subset"], id="a subset without its group"),
        pytest.param("vars: {a: {b: c}}", ["is a map"], id="a map as variable"),
        pytest.param("drpnodes: [x]", ["is not supported", "disaster"], id="a keyword left out"),
        pytest.param("constraints: x", ["is not supported"], id="another keyword left out"),
    ],
)
def test_service_fault(spec, parts):
    checked = yaml(service(spec))
    assert checked.service is None
    hits = [
        fault
        for fault, one in zip(checked.faults, said(checked), strict=True)
        if all(p in one for p in parts)
    ]
    assert [fault.line for fault in hits] == [5], said(checked)


def test_all_at_once_in_the_order_of_the_lines():
    text = resources(
        "fs#a: {type: nix}\nfs#b: {type: flag, pth: /x}\nfs#c: {type: tmpfs, mnt: x, perm: 755}"
    )
    lines = [fault.line for fault in yaml(text.replace("kind: Service", "kind: Servce")).faults]
    assert lines == [2, 7, 8, 9, 9]


def test_a_fault_reads_as_where_what_and_what_to_do():
    fault = yaml(resources("disk#0:\n  type: loop\n  file: /x\n  size: 10 gigs")).faults[0]
    assert str(fault) == (
        'svc1.yaml:10: spec.resources.disk#0.size: "10 gigs" is not a size.\n'
        '    A size is a number with KiB, MiB, GiB or TiB. Did you mean "10GiB"?'
    )


def test_bare_numbers_are_lint():
    text = "fs#a: {type: tmpfs, mnt: /m, stat_timeout: 5, timeouts: {start: 30}}\n"
    checked = yaml(resources(text + "disk#0: {type: loop, file: /f, size: 1048576}"))
    spec = {r.rid: r.spec for r in good(checked).resources}
    assert (spec["fs#a"]["stat_timeout"], spec["disk#0"]["size"]) == (5.0, 2**20)
    assert {lint.todo for lint in checked.lints} == {"Write 5s", "Write 30s", "Write 1048576B"}


def test_no_lint_about_units_in_conf():
    checked = conf("[fs#a]\ntype = tmpfs\nmnt = /m\nstat_timeout = 5\n")
    assert good(checked)
    assert not checked.lints


def test_an_app_without_a_check_is_lint():
    assert "may be started a second time" in yaml(resources("app#a: {start: /bin/x}")).lints[0].what


@pytest.mark.parametrize("scope", ["drpnodes", "encapnodes"])
def test_a_scope_that_never_matches_is_lint(scope):
    checked = yaml(resources(f"fs#a: {{type: flag, path: /a, path@{scope}: /b}}"))
    assert good(checked).resources[0].spec["path"] == "/a"
    assert "matches no node" in checked.lints[0].what


def test_home_is_what_makes_a_document_wrong_here():
    assert HOME.env != "PRD"
    assert yaml(service("env@demo1: PRD")).service is None
    assert yaml(service("env@demo2: PRD")).service
