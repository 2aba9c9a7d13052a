"""The API's object → what a person reads."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import model
from reconciler.cli import tree
from reconciler.cli.tree import ago, natural, render, rid_order, table, when

GUIDE = """\
svc1                           down
`- instances
   `- demo1                    down       warn, frozen, not provisioned, idle
      |- ip#0         .....P.. down       5.196.34.135/27 br-prd demosvc.opensvc.com
      |- disk#0       .....P.. down       vg vgsvc1
      |- disk#1       .....P.. down       lv vgsvc1/app
      |- disk#2       .....P.. down       lv vgsvc1/data
      |- fs#app       .....P.. down       ext4 /dev/vgsvc1/app@/svc1/app
      |- fs#data      .....P.. down       ext4 /dev/vgsvc1/data@/svc1/data
      |- app#web      ...../.. down       forking: weblauncher
      `- sync#i0      ...O./.. n/a        rsync svc config to nodes
                                          info: paused, service not up"""

SWITCHED = """\
svc1                         up         non-optimal placement
`- instances
   |- demo1                  down       idle
   `- demo2                  up         idle, started
      |- ip#0       ........ up         5.196.34.135/27 br-prd demosvc.opensvc.com
      `- app#web    ...../.. up         forking: weblauncher"""


def resource(state="up", flags="........", label="", log=(), waiting=""):
    lines = [{"level": level, "text": text} for level, text in log]
    return {"state": state, "flags": flags, "label": label, "log": lines, "waiting": waiting}


def instance(avail="up", overall="up", state="idle", expect="", provisioned="n/a", frozen=False, **rids):
    return {
        "avail": avail,
        "overall": overall,
        "state": state,
        "expect": expect,
        "provisioned": provisioned,
        "frozen": frozen,
        "resources": rids.get("resources", {}),
    }


def service(instances, avail="up", overall="up", name="svc1", namespace="root", **status):
    status = {"placement": "optimal", "goal": "up", "reason": "", "conditions": [], **status}
    status |= {"avail": avail, "overall": overall, "instances": instances}
    meta = {"namespace": namespace, "name": name, "source": f"/etc/standfast/services/{name}.yaml"}
    return {"metadata": meta, "status": status}


def fresh():
    """The guide's service before anything was provisioned, its resources in no order."""
    rows = {
        "sync#i0": resource(
            "n/a", "...O./..", "rsync svc config to nodes", [("info", "paused, service not up")]
        ),
        "app#web": resource("down", "...../..", "forking: weblauncher"),
        "fs#data": resource("down", ".....P..", "ext4 /dev/vgsvc1/data@/svc1/data"),
        "fs#app": resource("down", ".....P..", "ext4 /dev/vgsvc1/app@/svc1/app"),
        "disk#2": resource("down", ".....P..", "lv vgsvc1/data"),
        "disk#0": resource("down", ".....P..", "vg vgsvc1"),
        "disk#1": resource("down", ".....P..", "lv vgsvc1/app"),
        "ip#0": resource("down", ".....P..", "5.196.34.135/27 br-prd demosvc.opensvc.com"),
    }
    here = instance("down", "warn", provisioned="false", frozen=True, resources=rows)
    return service({"demo1": here}, "down", "down")


def switched():
    rows = {
        "app#web": resource("up", "...../..", "forking: weblauncher"),
        "ip#0": resource("up", "........", "5.196.34.135/27 br-prd demosvc.opensvc.com"),
    }
    peers = {"demo1": instance("down", "down"), "demo2": instance(expect="started", resources=rows)}
    return service(peers, placement="non-optimal")


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        pytest.param(fresh(), GUIDE, id="the guide's service, nothing provisioned"),
        pytest.param(switched(), SWITCHED, id="the guide's service after a switch"),
    ],
)
def test_is_laid_out_as_in_the_guide(made, wanted):
    assert squeezed(render(made)) == squeezed(wanted)
    columns = {line.index(" down ") for line in render(made).splitlines() if " down " in line}
    assert len(columns) == 1, "states stand in one column"


def squeezed(text):
    return [re.sub(r"(?<=\S) +", " ", line).strip() for line in text.splitlines()]


def test_peers_are_one_line_and_this_host_is_whole():
    made = render(switched(), me="demo1")
    assert "demo2" in made
    assert "ip#0" not in made
    assert "ip#0" in render(switched(), me="demo2")
    assert "ip#0" in render(switched(), me="a host without an instance")


NOW = time.mktime((2024, 5, 17, 12, 0, 0, 0, 0, -1))
WISH = {
    "verb": "stop",
    "who": "alice",
    "since": NOW - 200,
    "reason": "patching",
    "rids": [],
    "state": "open",
}
FROZEN = {"scope": "service", "who": "bob", "since": NOW - 7300, "until": NOW + 3600, "reason": "audit"}
STALLED = {"type": "Stalled", "status": "True", "reason": "Blocked", "message": "fs#a: no device"}


@pytest.mark.parametrize(
    ("status", "line"),
    [
        pytest.param(
            {"wish": WISH | {"state": "fulfilled"}},
            "|- asked by alice: stop, 3 min ago (patching)",
            id="who asked for what: it stands",
        ),
        pytest.param(
            {"wish": WISH | {"rids": ["app#a", "ip#0"], "reason": ""}},
            "|- asked by alice: stop app#a ip#0, 3 min ago",
            id="of which resources",
        ),
        pytest.param(
            {"wish": WISH | {"state": "refused", "reason": "", "message": "git says stopped"}},
            "|- asked by alice: stop, 3 min ago, refused: git says stopped",
            id="and what became of it",
        ),
        pytest.param(
            {"wish": WISH | {"verb": "restart", "state": "fulfilled"}}, "`- instances", id="what is over"
        ),
        pytest.param(
            {"frozen": FROZEN},
            "|- frozen by bob, 2 h ago, until 13:00 (audit)",
            id="who froze it, until when",
        ),
        pytest.param(
            {"frozen": FROZEN | {"scope": "node", "until": None, "reason": ""}},
            "|- node frozen by bob, 2 h ago",
            id="or its host, without end",
        ),
        pytest.param(
            {"goal": "down", "reason": "git says stopped (svc1.yaml:7)"},
            "|- wanted down: git says stopped (svc1.yaml:7)",
            id="why it is wanted down",
        ),
        pytest.param(
            {"conditions": [STALLED]}, "|- stalled: Blocked: fs#a: no device", id="what it stalls on"
        ),
        pytest.param(
            {"conditions": [STALLED | {"status": "False"}]}, "`- instances", id="unless it does not"
        ),
    ],
)
def test_remarks(status, line):
    assert render(service({"n": instance()}, **status), now=NOW).splitlines()[1] == line


def test_waits_are_shown_below_once():
    rows = {
        "app#a": resource("down", waiting="waits for fs#a"),
        "fs#a": resource("down", log=[("warn", "no device")], waiting="no device"),
    }
    made = render(service({"n": instance(resources=rows)}))
    assert "waits: waits for fs#a" in made
    assert "warn: no device" in made
    assert "waits: no device" not in made


def test_a_narrow_terminal_wraps_below_the_column():
    made = render(fresh(), width=72).splitlines()
    assert all(len(line) <= 72 for line in made)
    first = next(n for n, line in enumerate(made) if "ip#0" in line)
    assert made[first + 1].startswith("      |  ")
    assert "demosvc.opensvc.com" in made[first + 1]


@given(st.text(max_size=40), st.text(max_size=200), st.integers(0, 200))
def test_no_text_moves_the_cursor_or_is_lost(name, text, width):
    rows = {f"app#{name}": resource(label=text, log=[("warn", text)])}
    made = render(service({"n": instance(resources=rows)}), width=width)
    assert all(line.isprintable() for line in made.split("\n"))
    if width == 0:
        assert all(tree.clean(line) in made for line in text.split("\n"))


def test_colour_changes_no_text():
    plain = re.sub(r"\x1b\[\d+m", "", render(fresh(), colour=True, width=80))
    assert plain == render(fresh(), width=80)


@pytest.mark.parametrize(
    ("word", "code"), [("down", 31), ("warn", 33), ("frozen", 34), ("not provisioned", 31), ("idle", 90)]
)
def test_colours_are_the_guides(word, code):
    assert f"\x1b[{code}m{word}\x1b[0m" in render(fresh(), colour=True)
    assert "\x1b[32mup\x1b[0m" in render(switched(), colour=True)


def test_every_state_has_a_colour_and_the_groups_are_the_models():
    assert set(tree.STATES) == {str(state) for state in model.State}
    assert tree.GROUPS == model.GROUPS


def test_groups_then_natural_order():
    rids = ["app#10", "app#2", "sync#i0", "app#a", "ip#0", "odd#1", "fs#b1a"]
    assert sorted(rids, key=rid_order) == ["ip#0", "fs#b1a", "app#2", "app#10", "app#a", "sync#i0", "odd#1"]


@given(st.permutations(["a", "a1", "a01", "a2b", "a10", "1", "", "é٣", "a2"]))
def test_natural_order_is_one_order(names):
    assert [natural(n) for n in sorted(names, key=natural)] == sorted(natural(n) for n in names)
    assert sorted({*names} - {"é٣", "a01"}, key=natural) == ["", "1", "a", "a1", "a2", "a2b", "a10"]


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        (-5, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3600, "1 h"),
        (90000, "25 h"),
        (172800, "2 days"),
    ],
)
def test_ago(seconds, wanted):
    assert ago(seconds) == wanted


def test_when_has_the_date_only_on_another_day():
    assert when(NOW + 60, NOW) == "12:01"
    assert when(NOW + 86400, NOW) == "2024-05-18 12:00"


def test_table():
    rows = [
        service({"a": instance(), "b": instance("down")}, name="web10"),
        service({"a": instance("down")}, "down", "warn", name="web2", namespace="shop", frozen=FROZEN),
        service({}, "n/a", "n/a", name="web2"),
    ]
    assert table(rows, now=NOW) == (
        "NAME       AVAIL  OVERALL  WANTED  UP ON  REMARKS\n"
        "shop/web2  down   warn     up      -      frozen by bob, 2 h ago, until 13:00 (audit)\n"
        "web2       n/a    n/a      up      -\n"
        "web10      up     up       up      a"
    )
    assert all(len(line) <= 40 for line in table(rows, width=40, now=NOW).splitlines())
