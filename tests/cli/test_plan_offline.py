"""`plan --offline`: a document's plan from files alone, with no agent and nothing done."""

import json

import pytest

from reconciler.cli.main import main

DOCUMENT = """
apiVersion: standfast/v1
kind: Service
metadata: {name: web}
spec:
  resources:
    fs#a: {type: flag, path: "PLACE/a"}
    fs#b: {type: flag, path: "PLACE/b", after: [fs#a]}
"""


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "web.yaml"
    path.write_text(DOCUMENT.replace("PLACE", str(tmp_path)))
    return path


def test_the_plan_is_printed_and_nothing_is_done(document, tmp_path, capsys):
    assert main(["plan", "--offline", "-o", "json", "--run", str(tmp_path / "run"), str(document)]) == 0
    (plan,) = json.loads(capsys.readouterr().out)["items"]
    assert [o for step in plan["now"] for o in step["operations"]] == [f"touch {tmp_path}/a"]
    assert [o for step in plan["then"] for o in step["operations"]] == [f"touch {tmp_path}/b"]
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["web.yaml"]


def test_faults_are_told_instead(document, tmp_path, capsys):
    document.write_text(document.read_text().replace("resources:", "resorces:"))
    assert main(["plan", "--offline", "--run", str(tmp_path / "run"), str(document)]) == 1
    assert 'web.yaml:6: spec.resorces: "resorces" is no keyword' in capsys.readouterr().err
