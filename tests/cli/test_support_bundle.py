"""`standfast support-bundle`: what is in the file, what is left out, and a case of a single decision."""

import json
import stat
import tarfile

import pytest

from reconciler.cli.support_bundle import LEFT_OUT, without_secrets

NODE = """\
apiVersion: standfast/v1
kind: Node
metadata: {name: demo1}
spec:
  etcd: {endpoints: ["https://10.0.0.1:2379"], key: /etc/standfast/node.key}
  fencing:
    demo2: {agent: fence_ipmilan, options: {ip: 10.9.0.2, username: root, password: hunter2}}
"""


def contents(path):
    with tarfile.open(path) as bundle:
        return {
            member.name.partition("/")[2]: bundle.extractfile(member).read().decode()
            for member in bundle.getmembers()
        }


def test_it_has_what_others_need(running, standfast, tmp_path):
    (tmp_path / "node.yaml").write_text(NODE)
    path = tmp_path / "bundle.tar.gz"
    assert standfast("support-bundle", "-o", str(path), "--node", str(tmp_path / "node.yaml")) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = contents(path)
    assert {"version.txt", "node.json", "status.json", "events.json", "documents.json", "node.yaml"} <= set(
        found
    )
    assert len(json.loads(found["status.json"])["items"]) == 3
    assert "hunter2" not in found["node.yaml"]
    assert "/etc/standfast/node.key" in found["node.yaml"]
    case = "cases/000001-svc1/"
    assert found[case + "cluster.yaml"].startswith("# Kept by demo1 on ")
    assert "goal: up" in found[case + "decided.yaml"]
    assert "root/svc1 is wanted up here" in found[case + "why.txt"]
    for line in ("cases/: decisions", "node.yaml: without secrets", "look through it before"):
        assert line in standfast.out


def test_of_one_service_only(running, standfast, tmp_path):
    path = tmp_path / "bundle.tar.gz"
    assert standfast("support-bundle", "--service", "prod/web", "-o", str(path)) == 0
    found = contents(path)
    assert [one["metadata"]["name"] for one in json.loads(found["status.json"])["items"]] == ["web"]
    assert not [name for name in found if name.startswith("cases/")]


def test_it_overwrites_nothing(running, standfast, tmp_path):
    path = tmp_path / "bundle.tar.gz"
    path.write_text("mine")
    assert standfast("support-bundle", "-o", str(path)) == 1
    assert "File exists" in standfast.err
    assert path.read_text() == "mine"


def test_a_decision_becomes_a_case(running, standfast, tmp_path):
    where = tmp_path / "new"
    assert standfast("support-bundle", "--case", str(where), "--service", "svc1") == 0
    assert sorted(path.name for path in where.iterdir()) == ["cluster.yaml", "decided.yaml", "why.txt"]
    assert standfast("support-bundle", "--case", str(where), "--service", "svc1") == 2
    assert "has a case already" in standfast.err


@pytest.mark.parametrize("words", [("--service", "web"), ("--number", "99")])
def test_what_was_not_kept_is_said(running, standfast, tmp_path, words):
    assert standfast("support-bundle", "--case", str(tmp_path / "new"), *words) == 1
    assert "has kept no decision" in standfast.err


FENCE = {"ip": "10.0.0.9", "passwd": "x", "lanplus": 1}
HARMLESS = {"watchdog": "/dev/watchdog", "failover_time": "fast"}


@pytest.mark.parametrize(
    ("tree", "kept"),
    [
        ({"password": "x"}, {"password": LEFT_OUT}),
        ({"options": FENCE}, {"options": {**FENCE, "passwd": LEFT_OUT, "lanplus": LEFT_OUT}}),
        ({"password_file": "/etc/p"}, {"password_file": "/etc/p"}),
        ({"a": [{"api_token": "x"}]}, {"a": [{"api_token": LEFT_OUT}]}),
        (HARMLESS, HARMLESS),
    ],
)
def test_what_looks_secret_is_left_out(tree, kept):
    assert without_secrets(tree) == kept
