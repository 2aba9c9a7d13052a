"""OpenSVC's .conf, as it is."""

from pathlib import Path

import pytest

from reconciler.adapters.drivers import Drivers
from reconciler.decide.documents import lint_together
from reconciler.model import Trigger
from tests.documents.bed import conf, good, said

GUIDE = (Path(__file__).parent / "svc1.conf").read_text()


def test_the_guides_service_is_read_unchanged():
    found = good(conf(GUIDE))
    assert (found.app, found.nodes, found.orchestrate) == ("MyApp", ("demo1", "demo2"), "no")
    specs = {resource.rid: (resource.kind, resource.spec) for resource in found.resources}
    assert specs["ip#0"][0] == "ip.host"
    assert (specs["ip#0"][1]["name"], specs["ip#0"][1]["dev"]) == ("demosvc.opensvc.com", "br-prd")
    assert specs["disk#1"][1]["vg"] == "vgsc1"
    assert specs["fs#data"][0] == "fs.ext4"
    assert specs["fs#data"][1]["dev"] == "{disk#1.exposed_devs[0]}"
    assert specs["fs#data"][1]["mnt"] == "/svc1/data"


def test_its_slips_are_lint():
    checked = conf(GUIDE)
    lints = [str(lint) for lint in (*checked.lints, *lint_together([good(checked)], Drivers()))]
    assert len(lints) == 2, lints
    assert lints[0].startswith('svc1.conf:12: disk#0.name: names the volume group "vgsc1".')
    assert 'Did you mean "vgsvc1"?' in lints[0]
    assert lints[1].startswith(
        "svc1.conf:29: fs#data: names device {disk#1.exposed_devs[0]}, as fs#app does."
    )


def test_the_copy_among_the_examples_is_the_same():
    assert Path("examples/services-opensvc/svc1.conf").read_text() == GUIDE


SECTIONS = """
[DEFAULT]
orchestrate = ha
flex_min = 2
flex_max@demo1 = 5
monitor = yes
start_timeout = 30
stat_timeout = 7

[env]
port@demo2 = 81
port = 80

# a comment
[fs#a]
type = tmpfs
mnt = /srv/{env.port}
    /more
mnt_opt = size=1m
; another
monitor = 0
pre_start = echo {rid} | logger
blocking_post_stop = sync
stop_requires = disk#0(up,stdby up) app#x

[disk#0]
type: loop
file = /x.img
size = 10g
tags = a b

[app#x]
start = /bin/{env.port} "a b"
environment = A=1 B=2
limit_nofile = 1024
start_timeout = 5

[subset#app:w]
parallel = true
"""


def test_everything_a_conf_can_say():
    found = good(conf(SECTIONS))
    assert (found.orchestrate, found.flex.min, found.flex.max) == ("ha", 2, 5)
    assert found.monitor_action == "none"
    fs, disk, app = found.resources
    assert fs.spec["mnt"] == "/srv/80\n/more"
    assert (fs.spec["stat_timeout"], fs.common.monitor, fs.common.timeouts) == (7.0, False, {"start": 30.0})
    assert fs.common.triggers == (
        Trigger("pre", "start", "echo fs#a | logger"),
        Trigger("post", "stop", "sync", blocking=True),
    )
    assert [rid for rid, _ in fs.common.requires["stop"]] == ["disk#0", "app#x"]
    assert (disk.spec["size"], disk.common.monitor, disk.common.tags) == (10 * 2**30, True, {"a", "b"})
    assert app.kind == "app.forking"
    assert app.spec["start"] == '/bin/80 "a b"'
    assert app.spec["environment"] == ("A=1", "B=2")
    assert (app.spec["limit_nofile"], app.spec["start_timeout"]) == (1024, 5.0)
    assert app.common.timeouts == {}


def test_an_indented_file_is_read_all_the_same():
    text = "\n".join(f"    {line}" for line in GUIDE.split("\n"))
    assert good(conf(text)).app == "MyApp"


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        pytest.param("", 0, ["is empty"], id="nothing"),
        pytest.param("app = x\n", 1, ["before the first section"], id="no section"),
        pytest.param("[DEFAULT]\nhello\n", 2, ["neither a [section] nor"], id="a stray word"),
        pytest.param("[DEFAULT]\n= x\n", 2, ["neither a [section] nor"], id="no key"),
        pytest.param(
            "[DEFAULT]\napp = x\napp = y\n", 3, ["written twice, first in line 2"], id="a key twice"
        ),
        pytest.param(
            "[fs#a]\ntype = flag\n[fs#a]\n", 3, ["written twice, first in line 1"], id="a section twice"
        ),
        pytest.param(
            "[default]\napp = x\n", 1, ["Did you mean [DEFAULT]?"], id="a section in small letters"
        ),
        pytest.param("[fs]\ntype = flag\n", 1, ["no section that is known"], id="no index"),
        pytest.param("[fs@x#a]\ntype = flag\n", 1, ["group#index"], id="a scope in a section's name"),
        pytest.param("[fs#a]\ntype = flagg\n", 2, ['Did you mean "flag"?'], id="a kind mistyped"),
        pytest.param(
            "[fs#a]\ntype = tmpfs\nmtn = /x\nmnt = /x\n",
            3,
            ['Did you mean "mnt"?'],
            id="a keyword mistyped",
        ),
        pytest.param(
            "[DEFAULT]\nndoes = x\n", 2, ['Did you mean "nodes"?'], id="a service keyword mistyped"
        ),
        pytest.param(
            "[DEFAULT]\nresources = x\n", 2, ["no keyword of a .conf"], id="a word that is a map in YAML"
        ),
        pytest.param(
            "[fs#a]\ntype = flag\ntimeouts = x\nstart_timeout = 5\n",
            3,
            ["no keyword of a .conf"],
            id="a map",
        ),
        pytest.param("[DEFAULT]\nstonith = true\n", 2, ["not supported", "Fencing"], id="stonith"),
        pytest.param(
            "[DEFAULT]\npre_start = x\n", 2, ["not supported", "resource"], id="a trigger of the whole"
        ),
        pytest.param("[DEFAULT]\ndrpnodes = x\n", 2, ["not supported"], id="drpnodes"),
        pytest.param("[fs#a]\ntype = flag\nscsireserv = true\n", 3, ["not supported"], id="reservations"),
        pytest.param(
            "[fs#a]\ntype = flag\ntags = nostatus\n", 3, ['"nostatus"'], id="a tag with a meaning"
        ),
        pytest.param(
            "[fs#a]\ntype = flag\nrestart = many\n", 3, ["whole number is wanted"], id="no number"
        ),
        pytest.param("[fs#a]\ntype = flag\nmonitor = maybe\n", 3, ["true or false"], id="no truth value"),
        pytest.param(
            "[fs#a]\ntype = flag\nrestart_delay = soon\n", 3, ["not a duration"], id="no duration"
        ),
        pytest.param("[disk#a]\ntype = loop\nfile = /x\nsize = big\n", 4, ["not a size"], id="no size"),
    ],
)
def test_conf_fault(text, line, parts):
    checked = conf(text)
    assert checked.service is None
    hits = [
        fault
        for fault, one in zip(checked.faults, said(checked), strict=True)
        if all(p in one for p in parts)
    ]
    assert [fault.line for fault in hits] == [line], said(checked)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[DEFAULT]\nstatus_schedule = @5m\n[fs#a]\ntype = flag\n", "DEFAULT.status_schedule: is ignored"),
        ("[fs#a]\ntype = flag\npg_cpus = 1\n", "fs#a.pg_cpus: is ignored"),
        ("[fs#a]\ntype = flag\ntags = noalias\n", '"noalias"'),
        ("[fs#a]\ntype = flag\npath = /{private_var}\n", "cannot be resolved"),
    ],
)
def test_conf_lint(text, part):
    checked = conf(text)
    assert good(checked)
    assert any(part in str(lint) for lint in checked.lints), checked.lints


def test_faults_of_inherited_keywords_stand_where_they_were_written():
    checked = conf("[DEFAULT]\nrestart = many\n[fs#a]\ntype = flag\n[fs#b]\ntype = flag\n")
    assert {fault.line for fault in checked.faults} == {2}


def test_what_nothing_is_done_about_holds_nothing_up():
    (resource,) = good(conf("[fs#a]\ntype = flag\ntags = noaction web\n")).resources
    assert resource.common.optional
    assert resource.common.tags == {"noaction", "web"}
