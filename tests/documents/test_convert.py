"""A converted .conf checks to the same service, on every node."""

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.decide.documents import Home, check
from reconciler.decide.documents.convert import convert
from tests.documents.bed import HOME, good
from tests.documents.test_conf import GUIDE, SECTIONS

ODD = """
[DEFAULT]
app = yes
nodes = demo1 demo2
priority = 7
comment = # not: a comment, 'quoted' "twice"
[env]
a = {unknown} and {{braces}}
b = ${HOME} {name} {"x":{"y":1}}
c = no
[fs#a]
type = flag
path@demo1 = /{env.a}/{nix[0]}
path@nodes = /one
path = /{rid}}
optional = T
restart = 2
restart_delay = 0
provision = false
[fs#b]
type = tmpfs
mnt = /x/{{name}}
mnt_opt = {env.c},{#nodes}
stat_timeout = 90
post_start@demo2 = echo {nix} {nodename}
after = fs#a
[app#a]
start = sh -c "echo {env.b} | tee {fs#b.mnt}" # text
check = true
environment = A={env.c} B={nix}
limit_as = 10gi
umask = 0022
"""


def same(service):
    return replace(
        service,
        source="",
        generation="",
        line=0,
        resources=tuple(replace(resource, line=0) for resource in service.resources),
    )


@pytest.mark.parametrize("node", ["demo1", "demo2", "demo3"])
@pytest.mark.parametrize(
    "text",
    [pytest.param(GUIDE, id="guide"), pytest.param(SECTIONS, id="sections"), pytest.param(ODD, id="odd")],
)
def test_there_and_checked_the_same(text, node):
    home = Home(node, cluster_nodes=("demo1", "demo2", "demo3"))
    before = good(check(text.encode(), "svc1.conf", "web/svc1", "conf", home))
    made, faults, _ = convert(text.encode(), "svc1.conf", "web/svc1", HOME)
    assert not faults
    after = good(check(made.encode(), "svc1.yaml", "web/svc1", "yaml", home))
    assert same(after) == same(before), made


def test_what_is_not_in_order_is_not_converted():
    text, faults, _ = convert(b"[fs#a]\ntype = nix\n", "x.conf", "root/x", HOME)
    assert text == ""
    assert [fault.line for fault in faults] == [2]


def test_the_result_is_what_a_person_would_write():
    text, _, _ = convert(GUIDE.encode(), "svc1.conf", "root/svc1", HOME)
    assert '      mnt: "/{name}/{disk#1.name}"\n' in text
    assert "  nodes: [demo1, demo2]\n" in text
    assert '  orchestrate: "no"\n' in text
    assert "ipname" not in text
    assert "id:" not in text


def test_every_conf_of_the_examples_converts():
    found = list(Path("examples").rglob("*.conf"))
    assert found
    for path in found:
        assert not convert(path.read_bytes(), str(path), f"root/{path.stem}", HOME)[1]
