"""Node and services → the view at a glance."""

import json
import re
from argparse import Namespace

import pytest

from reconciler import model
from reconciler.cli import client, live, mon
from reconciler.cli.mon import ICONS, render
from tests.status.test_tree import FROZEN, NOW, instance, service

NODE = {
    "name": "demo1",
    "env": "TST",
    "started": NOW - 7200,
    "cluster_nodes": [],
    "frozen": None,
    "prune_held": [],
    "store": {"kind": "sqlite", "trouble": ""},
    "journal": {"trouble": "", "dropped": 0},
    "sources": {"mounts": {"ok": True, "why": ""}},
}
PENDING = {"verb": "stop", "state": "pending", "who": "alice", "since": NOW, "reason": "", "rids": []}


def shown(instances, node=NODE, spec=None, **status):
    made = service(instances, wish=None, frozen=None) | {"spec": spec or {"orchestrate": "ha"}}
    made["status"] |= status
    return made


def lines(node, *services):
    return [re.sub(r" +", " ", line).strip() for line in render(node, services, now=NOW).splitlines()]


def test_one_host():
    assert lines(NODE, shown({"demo1": instance()})) == [
        "Agent demo1",
        "daemon running for 2 h | O",
        "store running | O",
        "journal running | O",
        "",
        "Nodes demo1",
        "env TST |",
        "state |",
        "",
        "Services demo1",
        "svc1 up ha 1/1 | O^",
    ]


def test_two_hosts_as_in_the_guide():
    node = NODE | {"cluster_nodes": ["demo2", "demo1"], "frozen": FROZEN}
    both = {"demo2": instance("down", "down"), "demo1": instance()}
    made = render(node, [shown(both, spec={"orchestrate": "ha", "nodes": ["demo1", "demo2"]})], now=NOW)
    rows = made.splitlines()
    heads = next(row for row in rows if row.startswith("Services"))
    cells = rows[-1]
    assert cells.index("O^") == heads.index("demo1")
    assert cells.index("X", cells.index("|")) == heads.index("demo2")
    assert [row.rstrip()[-1] for row in rows if row.startswith(" state")] == ["*"]


def test_a_long_reason_pushes_no_host_out_of_sight():
    why = "the store was replaced: it has the id f080faa003b08c3d: `standfast cluster accept-store`"
    made = render(
        NODE | {"store": {"kind": "sqlite", "trouble": why}}, [shown({"demo1": instance()})], now=NOW
    )
    at = made.splitlines().index(f"   {why}")
    assert made.splitlines()[at - 1].split() == ["store", "failing", "|", "!"]
    assert max(len(line) for line in made.splitlines() if why not in line) < 60


def test_a_level_that_is_weaker_than_the_promise_is_said():
    session = {"open": True, "epoch": 4, "level": "lease", "why": "", "duplicate": False}
    seen = {"session": session, "failover": 19.0, "trouble": "", "nodes": {}}
    why = "demo1: level lease, nobody resets a host that hangs: give it a watchdog"
    made = render(NODE | {"cluster": seen | {"outside": [why]}}, [], now=NOW).splitlines()
    at = made.index(f"   {why}")
    assert made[at - 1].split() == ["promise", "weak", "|"]
    assert "promise" not in render(NODE | {"cluster": seen | {"outside": []}}, [], now=NOW)


@pytest.mark.parametrize(
    ("here", "status", "cell"),
    [
        pytest.param(instance(), {}, "O^", id="up, first in placement"),
        pytest.param(instance("stdby up", "stdby up"), {}, "S^", id="standby up"),
        pytest.param(instance("stdby down", "stdby down"), {}, "s^", id="standby down"),
        pytest.param(instance("warn", "warn"), {}, "!^", id="warn, said once"),
        pytest.param(instance("up", "warn"), {}, "O!^", id="up, overall warn"),
        pytest.param(instance("unknown", "unknown"), {}, "?^", id="could not look"),
        pytest.param(instance("n/a", "n/a"), {}, "/^", id="nothing to see"),
        pytest.param(instance(frozen=True), {}, "O^*", id="frozen"),
        pytest.param(instance("down", "down", provisioned="false"), {}, "X^P", id="not provisioned"),
        pytest.param(instance(state="stopping"), {"wish": PENDING}, "O^ stopping >stop", id="at work"),
        pytest.param(instance(), {"wish": PENDING | {"state": "fulfilled"}}, "O^", id="a wish come true"),
    ],
)
def test_cells(here, status, cell):
    assert lines(NODE, shown({"demo1": here}, **status))[-1].endswith(f"| {cell}")


def test_a_service_says_warn_and_placement_behind_its_state():
    row = lines(NODE, shown({"demo1": instance()}, overall="warn", placement="non-optimal"))[-1]
    assert row.startswith("svc1 up!^ ha")


def test_what_a_document_leaves_out_is_its_languages_default():
    made = shown({"demo1": instance()}, spec={"app": "x"})
    assert " ha 1/1" in lines(NODE, made)[-1]
    made["metadata"]["source"] = "/etc/standfast/services/svc1.conf"
    assert " no 1/1" in lines(NODE, made)[-1]


def test_flex_counts_to_its_target():
    spec = {"topology": "flex", "flex": {"target": 2}, "orchestrate": "ha"}
    assert "0/2" in lines(NODE, shown({"demo1": instance("down")}, spec=spec))[-1]
    assert "0/1" in lines(NODE, shown({}, spec={"topology": "flex", "flex": None}))[-1]


def test_what_fails_says_why():
    node = NODE | {
        "prune_held": ["root/a", "root/b"],
        "store": {"kind": "sqlite", "trouble": "disk full"},
        "sources": {"lvm": {"ok": False, "why": "lvm2 is not installed"}},
    }
    found = lines(node)
    assert "store failing disk full | !" in found
    assert "lvm failing lvm2 is not installed | !" in found
    assert "prune held 2 removals wait for standfast prune --confirm | !" in found


def test_every_state_has_an_icon_and_colour_changes_no_text():
    assert set(ICONS) == {str(state) for state in model.State}
    made = [shown({"demo1": instance(), "demo2": instance("down", "warn", state="starting")})]
    assert re.sub(r"\x1b\[\d+m", "", render(NODE, made, True, NOW)) == render(NODE, made, False, NOW)


def test_services_stand_in_natural_order():
    made = [shown({}), shown({})]
    made[0]["metadata"]["name"], made[1]["metadata"]["name"] = "web10", "web2"
    assert [line.split()[0] for line in lines(NODE, *made)[-2:]] == ["web2", "web10"]


ARGS = Namespace(run=None, output="table", selectors=["web*"], watch=False)


def test_once(monkeypatch, capsys):
    answers = {"/v1/node": NODE, "/v1/services": {"items": [shown({"demo1": instance()})]}}
    monkeypatch.setattr(client, "get", lambda args, path, query=None: answers[path])
    assert mon.run(ARGS) == 0
    assert "svc1" in capsys.readouterr().out
    assert mon.run(Namespace(**{**vars(ARGS), "output": "json"})) == 0
    assert json.loads(capsys.readouterr().out)["node"]["name"] == "demo1"


def test_watch_draws_again_and_waits_for_a_lost_agent(monkeypatch, capsys):
    """Nothing is drawn before all is known; what is deleted vanishes; a lost agent is looked for."""
    first, second = shown({"demo1": instance()}), shown({"demo1": instance("down", "down")})
    turns = iter(
        [
            [("service", first), ("ready", {}), ("", None), ("node", NODE | {"frozen": FROZEN})],
            [("service", second), ("ready", {}), ("event", {}), ("deleted", second)],
        ]
    )

    def stream(args, path, query=None):
        try:
            yield from next(turns)
        except StopIteration:
            raise KeyboardInterrupt from None
        raise client.Failed(client.NO_AGENT, "gone")

    monkeypatch.setattr(client, "get", lambda args, path, query=None: NODE)
    monkeypatch.setattr(client, "stream", stream)
    monkeypatch.setattr(live.time, "sleep", lambda seconds: None)
    with pytest.raises(KeyboardInterrupt):
        mon.run(Namespace(**{**vars(ARGS), "watch": True}))
    drawn = capsys.readouterr().out.split("Agent")[1:]
    assert ["frozen by bob" in page for page in drawn] == [False, True, False, False]
    assert ["svc1" in page for page in drawn] == [True, True, True, False]
    assert drawn[1].endswith("gone\nwaiting for it…\n")


def test_watch_ends_when_the_agent_refuses(monkeypatch):
    def refuse(args, path, query=None):
        raise client.Failed(client.REFUSED, "not for you")

    monkeypatch.setattr(client, "get", refuse)
    with pytest.raises(client.Failed, match="not for you"):
        mon.run(Namespace(**{**vars(ARGS), "watch": True}))
