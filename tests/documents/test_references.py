"""What `{…}` means at load, and what `bind` makes of the rest at run time."""

import pytest

from reconciler.decide import references
from reconciler.model import Common, Resource, Trigger
from tests.documents.bed import conf, good, resources, said, service, spec_of, yaml

STACK = """
disk#0: {type: vg, name: vgdata}
disk#1: {type: lv, name: app, vg: "{disk#0.name}"}
disk#2: {type: raw, devs: [/dev/sdb, /dev/sdc]}
fs#a: {type: flag, path: %s}
"""
VARS = "{port: 8080, on: true, dir: '/d/{name}', list: [one, two], text: 'a b c'}"


@pytest.mark.parametrize(
    ("written", "resolved"),
    [
        pytest.param("/{name}", "/svc1", id="the service"),
        pytest.param("/{svcname}/{namespace}/{nodename}", "/svc1/root/demo1", id="identity"),
        pytest.param("/{rid}-{rindex}", "/fs#a-a", id="the resource"),
        pytest.param(
            "{run}{etc}{var}", "/run/x/etc/standfast/services/var/lib/standfast", id="directories"
        ),
        pytest.param("/{env.port}", "/8080", id="a number"),
        pytest.param("/{env.on}", "/true", id="a truth value"),
        pytest.param("{env.dir}", "/d/svc1", id="a variable with a reference"),
        pytest.param("/{env.list}", "/one two", id="a list"),
        pytest.param("/{env.list[1]}", "/two", id="an item"),
        pytest.param("/{env.text[2]}", "/c", id="a word"),
        pytest.param("/{#env.list}{env.text[#]}", "/23", id="how many"),
        pytest.param("/{disk#0.name}", "/vgdata", id="another resource"),
        pytest.param("/{disk#1.vg}", "/vgdata", id="through another resource"),
        pytest.param("/{disk#2.devs[1]}", "//dev/sdc", id="an item of another resource"),
        pytest.param("/{app}", "/default", id="the service's keyword, by default"),
        pytest.param("/{nodes[1]}", "/demo2", id="the nodes"),
        pytest.param("/{node.labels.zone}{node.env}", "/aTST", id="the node"),
        pytest.param("/${HOME}/${x:-y}", "/${HOME}/${x:-y}", id="a shell variable is text"),
        pytest.param("/{{name}}", "/{name}", id="doubled braces"),
        pytest.param("/{{{name}}}", "/{svc1}", id="a reference in braces"),
        pytest.param("/{print $1}", "/{print $1}", id="with a space it is text"),
        pytest.param("/{}{1}{a b}{a,b}{:}", "/{}{1}{a b}{a,b}{:}", id="not of the shape"),
        pytest.param('/{"a":{"b":{env.port}}}', '/{"a":{"b":8080}}', id="JSON keeps its braces"),
        pytest.param('/{{"a":{"b":1}}}', '/{"a":{"b":1}}', id="JSON in doubled braces"),
        pytest.param("/{{.Names}}", "/{.Names}", id="a Go template loses one pair"),
        pytest.param("/}}", "/}", id="a pair that closes nothing"),
        pytest.param("/{", "/{", id="a brace left open"),
        pytest.param("/{{x", "/{x", id="a doubled brace left open"),
        pytest.param("/{disk#1.exposed_devs[0]}", "/{disk#1.exposed_devs[0]}", id="known at run time"),
    ],
)
def test_resolved_at_load(written, resolved):
    text = resources(STACK % f"'{written}'", VARS).replace(
        "resources:", "nodes: [demo1, demo2]\n  resources:"
    )
    checked = yaml(text)
    good(checked) if resolved.startswith("/") else None
    assert spec_of(checked, "fs#a")["path"] == resolved


@pytest.mark.parametrize(
    ("written", "part"),
    [
        pytest.param("/{nam}", "Did you mean {name}?", id="a typing slip"),
        pytest.param("/{env.prt}", "Did you mean {env.port}?", id="in a variable"),
        pytest.param("/{disk#0.nme}", "Did you mean {disk#0.name}?", id="in a keyword"),
        pytest.param("/{dsk#0.name}", "there is no resource dsk#0", id="in a rid"),
        pytest.param("/{disk.name}", "Did you mean {disk#", id="without the index"),
        pytest.param("/{disk#0}", "names a resource, not one of its keywords", id="no keyword"),
        pytest.param("/{disk#1.size}", "has no size written", id="a keyword that is not set"),
        pytest.param("/{env.list[2]}", "asks for word 2 of 2", id="past the end"),
        pytest.param(
            "/{fs#a.exposed_devs}", "known only once fs#a itself is up", id="of itself, at run time"
        ),
        pytest.param("/{path}", "refers to itself", id="itself"),
        pytest.param("/{fs#a.path}", "refers to itself", id="itself by name"),
        pytest.param("/{upper:name}", "", id="modifiers are text"),
    ],
)
def test_wrong_reference(written, part):
    checked = yaml(resources(STACK % f"'{written}'", VARS))
    if not part:
        assert spec_of(checked, "fs#a")["path"] == written
        return
    assert checked.service is None
    assert any(part in one and one.startswith("svc1.yaml:10: ") for one in said(checked)), said(checked)


def test_a_circle_through_variables_and_resources_is_a_fault():
    checked = yaml(
        resources(
            "fs#a: {type: flag, path: '{fs#b.path}'}\nfs#b: {type: flag, path: '{env.x}'}",
            "{x: '{fs#a.path}'}",
        )
    )
    assert "{env.x} → {fs#a.path} → {fs#b.path} → {env.x}" in " ".join(said(checked))


def test_resources_that_wait_for_each_other_are_a_fault():
    text = "fs#a: {type: flag, path: '/{disk#0.name}'}\n"
    text += "disk#0: {type: vg, name: x, after: [fs#b]}\nfs#b: {type: flag, after: [fs#a]}"
    assert any("wait for each other" in one for one in said(yaml(resources(text))))


A, B = "fs#a: {{type: flag, requires: {{{0}}}}}\n", "fs#b: {{type: flag, requires: {{{0}}}}}\n"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        pytest.param(
            A.format("start: [fs#b]") + B.format("start: [fs#a]"), "never start", id="of each other"
        ),
        pytest.param(
            "ip#0: {name: 10.0.0.1, dev: a, requires: {start: [fs#a]}}\nfs#a: {type: flag}",
            "ip#0.requires.start: could never start: they wait for each other, ip#0 → fs#a → ip#0",
            id="the order of the groups counts",
        ),
        pytest.param(
            A.format("start: ['fs#b(stdby up)']") + "fs#b: {type: flag, after: [fs#a]}",
            "never start",
            id="and after",
        ),
        pytest.param(
            A.format("stop: ['fs#b(down)']") + B.format("stop: ['fs#a(down)']"),
            "never stop",
            id="of a stop",
        ),
        pytest.param(
            A.format("start: [fs#b]") + B.format("stop: ['fs#a(down)']"), "", id="one needs the other"
        ),
        pytest.param(
            A.format("start: ['fs#b(down)']") + B.format("start: [fs#a]"), "", id="down is before its start"
        ),
        pytest.param(
            "ip#0: {name: 10.0.0.1, dev: a, requires: {start: ['fs#a(warn,up)']}}\nfs#a: {type: flag}",
            "",
            id="it may be so without a start",
        ),
        pytest.param(
            "ip#0: {name: 10.0.0.1, dev: a, requires: {start: [fs#a]}, optional: true}\nfs#a: {type: flag}",
            "",
            id="what is optional holds nothing up",
        ),
    ],
)
def test_requirements_in_a_circle_are_a_fault(text, word):
    faults = said(yaml(resources(text)))
    assert len(faults) == bool(word), faults
    assert word in " ".join(faults)


def test_a_long_chain_is_a_fault_not_a_crash():
    names = ", ".join(f"v{n}: '{{env.v{n + 1}}}'" for n in range(3000))
    checked = yaml(resources("fs#a: {type: flag}", "{" + names + ", v3000: x}"))
    assert any("refers through more than" in one for one in said(checked))


def test_doubling_does_not_explode():
    names = ", ".join(f"v{n}: '{{env.v{n + 1}}}{{env.v{n + 1}}}'" for n in range(30))
    lists = ", ".join(f"w{n}: ['{{env.w{n + 1}}}', '{{env.w{n + 1}}}']" for n in range(30))
    checked = yaml(resources("fs#a: {type: flag}", "{" + names + ", v30: x, " + lists + ", w30: [x, y]}"))
    assert any("too long" in one for one in said(checked))


def test_refs_and_late():
    service = good(yaml(resources(STACK % "'/{disk#1.exposed_devs[0]}/{disk#0.name}'")))
    by_rid = {resource.rid: resource for resource in service.resources}
    assert by_rid["fs#a"].refs == {"disk#1", "disk#0"}
    assert by_rid["fs#a"].late
    assert by_rid["disk#1"].refs == {"disk#0"}
    assert not by_rid["disk#1"].late


def test_a_reference_takes_the_type_of_its_keyword():
    text = 'ip#0: {name: a, dev: b, check_carrier: "{env.on}", netmask: "{env.n}", restart: "{env.n}"}'
    resource = good(yaml(resources(text, "{on: 'false', n: '24'}"))).resources[0]
    assert (resource.spec["check_carrier"], resource.spec["netmask"], resource.common.restart) == (
        False,
        24,
        24,
    )


def test_a_list_takes_the_words_of_a_reference():
    text = (
        'disk#0: {type: raw, devs: ["{env.devs}", /dev/c]}\ndisk#1: {type: raw, devs: "{env.devs} /dev/d"}'
    )
    service = good(yaml(resources(text, "{devs: [/dev/a, /dev/b]}")))
    assert service.resources[0].spec["devs"] == ("/dev/a", "/dev/b", "/dev/c")
    assert service.resources[1].spec["devs"] == ("/dev/a", "/dev/b", "/dev/d")


def test_unquoted_is_told_so():
    assert (
        'without quotes is a map. Quote it: "{name}"'
        in said(yaml(resources("fs#a: {type: flag, path: {name}}")))[0]
    )
    assert "Quote it" in said(yaml(resources("disk#0: {type: raw, devs: [{name}]}")))[0]
    assert "Quote it" in said(yaml(service("app: {nodename}")))[0]


def test_in_conf_the_unknown_stays_text_and_doubled_braces_too():
    checked = conf("[fs#a]\ntype = flag\npath = /{nix}/{{name}}/{name}\n")
    assert spec_of(checked, "fs#a")["path"] == "/{nix}/{svc1}/svc1"
    assert [lint.line for lint in checked.lints] == [3]


EXPOSED = {"disk#1": {"exposed_devs": ("/dev/a", "/dev/b"), "base_devs": ()}}


@pytest.mark.parametrize(
    ("value", "bound", "missing"),
    [
        ("{disk#1.exposed_devs[1]}", "/dev/b", ()),
        ("x {disk#1.exposed_devs} y", "x /dev/a /dev/b y", ()),
        ("{#disk#1.exposed_devs}", "2", ()),
        ("{disk#1.base_devs[#]}", "0", ()),
        ("{disk#1.exposed_devs[2]}", "{disk#1.exposed_devs[2]}", ("{disk#1.exposed_devs[2]}",)),
        ("{disk#9.exposed_devs[0]}", "{disk#9.exposed_devs[0]}", ("{disk#9.exposed_devs[0]}",)),
        (("{disk#1.exposed_devs}", "c"), ("/dev/a", "/dev/b", "c"), ()),
        (("{disk#1.base_devs}",), (), ()),
        ({"A": "{disk#1.exposed_devs[0]}"}, {"A": "/dev/a"}, ()),
        ("{name} ${x}", "{name} ${x}", ()),
        (7, 7, ()),
    ],
)
def test_bind(value, bound, missing):
    assert references.bind({"k": value}, EXPOSED) == ({"k": bound}, missing)


def test_bind_a_resource_with_its_triggers():
    trigger = Trigger("pre", "start", "blockdev --setrw {disk#1.exposed_devs[0]}")
    late = Resource("fs#a", "fs.ext4", {"dev": "x"}, Common(triggers=(trigger,)), late=True)
    bound, missing = references.bind_resource(late, EXPOSED)
    assert bound.common.triggers[0].command == "blockdev --setrw /dev/a"
    assert missing == ()
    plain = Resource("fs#a", "fs.ext4", {"dev": "{disk#1.exposed_devs[0]}"})
    assert references.bind_resource(plain, EXPOSED)[0] is plain


def test_an_index_on_a_late_value_is_handed_on():
    text = STACK % "'{disk#1.exposed_devs}'" + 'fs#b: {type: flag, path: "/{fs#a.path[1]}{#fs#a.path}"}'
    assert (
        spec_of(yaml(resources(text)), "fs#b")["path"] == "/{disk#1.exposed_devs[1]}{#disk#1.exposed_devs}"
    )


@pytest.mark.parametrize("text", ["a{b}c", "{{x}}", "${HOME}{y}", "}", '{"a":{"b":1}}', "{print $1}"])
def test_escaped_text_means_itself(text):
    import json

    checked = yaml(resources(f"fs#a: {{type: flag, path: {json.dumps('/' + references.escaped(text))}}}"))
    assert spec_of(checked, "fs#a")["path"] == f"/{text}"
