"""`standfast cluster` where there is no cluster, and what `doctor` says of one that does not answer."""

import json
from pathlib import Path

import pytest

from reconciler.adapters import etcd_beside
from tests.cli.conftest import Command, Running

NAMED = """\
apiVersion: standfast/v1
kind: Node
spec: {etcd: {endpoints: ["http://127.0.0.1:1"]}}
"""


@pytest.fixture
def here(tmp_path: Path) -> list[str]:
    return [
        "--node",
        str(tmp_path / "node.yaml"),
        "--state",
        str(tmp_path / "s"),
        "--run",
        str(tmp_path / "r"),
    ]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        pytest.param(["status"], 4, "this host is alone: `standfast cluster init`", id="status"),
        pytest.param(["token"], 4, "this host lets nobody in", id="token"),
        pytest.param(["leave"], 4, "is in no cluster", id="leave"),
        pytest.param(["accept-store"], 4, "this host is alone", id="accept"),
        pytest.param(
            ["recover", "--confirmed-off", "b"], 4, "recover on a node that has the store", id="recover"
        ),
        pytest.param(["etcd"], 4, "etcd.json is not there", id="nothing to keep"),
        pytest.param(["join", "--token", "sf1.x"], 4, "this is no token", id="no token"),
        pytest.param(
            ["witness", "--listen", "::1", "--token", "x"], 4, "this is no token", id="not at all"
        ),
    ],
)
def test_what_a_host_without_a_cluster_says(
    standfast: Command, here: list[str], words: list[str], code: int, says: str
) -> None:
    verb, *rest = words
    assert standfast("cluster", verb, *here, *rest) == code
    assert says in standfast.err


@pytest.mark.parametrize("words", [[], ["--help"], ["frobnicate"]])
def test_its_verbs_are_listed(standfast: Command, words: list[str]) -> None:
    assert standfast("cluster", *words) == (0 if words == ["--help"] else 2)
    assert "accept-store" in standfast.out + standfast.err or not words


def test_a_store_that_does_not_answer_is_said_by_status_and_doctor(
    running: Running, standfast: Command, here: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_beside, "PATIENT", 0.2)
    (tmp_path / "node.yaml").write_text(NAMED)
    assert standfast("cluster", "status", *here) == 1
    assert "! the store does not answer" in standfast.out
    assert standfast("doctor", "--node", str(tmp_path / "node.yaml"), "-o", "json") == 1
    found = [
        one for one in json.loads(standfast.out)["items"] if "the store does not answer" in one["what"]
    ]
    assert [one["level"] for one in found] == ["error"]
