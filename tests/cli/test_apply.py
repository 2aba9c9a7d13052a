"""apply and om: from a file to the watched directory, whole or not at all; and OpenSVC's words."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli import files, om
from reconciler.cli.client import Failed
from reconciler.decide.documents import Home, check
from tests.api.fake import document
from tests.cli.conftest import Command, Running

GOOD = """\
apiVersion: standfast/v1
kind: Service
metadata: {name: %s}
spec:
  resources:
    fs#flag: {type: flag}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "services"


@pytest.fixture
def write(tmp_path: Path) -> Any:
    (tmp_path / "mine").mkdir()

    def one(name: str, content: str) -> str:
        path = tmp_path / "mine" / name
        path.write_text(content)
        return str(path)

    return one


def test_apply_puts_the_file_in_place(
    standfast: Command, running: Running, write: Any, place: Path
) -> None:
    path = write("new.yaml", GOOD % "new")
    assert standfast("apply", path, "--yes", "--no-wait") == 0, standfast.err
    target = place / "new.yaml"
    assert target.read_text() == GOOD % "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert list(place.iterdir()) == [target], "and leaves nothing else behind"
    assert standfast.out.splitlines()[:6] == [
        f"root/new: {target}",
        "--- in place",
        f"+++ {path}",
        "@@ -0,0 +1,6 @@",
        "+apiVersion: standfast/v1",
        "+kind: Service",
    ]
    assert "mount -t ext4" in standfast.out, "the plan is shown"


def test_apply_waits_until_this_content_is_in_force(
    standfast: Command, running: Running, write: Any, place: Path
) -> None:
    content = GOOD % "svc1"
    home = Home("demo1", "TST", {}, ("demo1",))
    generation = check(content.encode(), "svc1.yaml", "root/svc1", "yaml", home).generation
    agent = running.agent

    def in_force() -> None:
        agent.objects["root/svc1"]["metadata"]["generation"] = generation
        agent.change("root/svc1", observed_generation=generation)

    running.later(0.3, in_force)
    assert standfast("apply", write("svc1.yaml", content), "--yes") == 0
    assert standfast.out.endswith("svc1: up\n")


def test_apply_waits_for_the_host_that_starts_it(
    standfast: Command, running: Running, write: Any, place: Path
) -> None:
    """Here all is as wanted already: it is another one's turn."""
    content = GOOD % "svc1"
    home = Home("demo1", "TST", {}, ("demo1",))
    generation = check(content.encode(), "svc1.yaml", "root/svc1", "yaml", home).generation
    agent = running.agent
    agent.objects["root/svc1"]["metadata"]["generation"] = generation
    agent.change("root/svc1", observed_generation=generation, goal="standby", avail="down", claims=[])
    running.later(0.3, lambda: agent.change("root/svc1", avail="up"))
    assert standfast("apply", write("svc1.yaml", content), "--yes") == 0
    assert standfast.out.endswith("svc1: up\n")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        pytest.param("bad.yaml", GOOD.replace("flag}", "flagg}") % "bad", "bad.yaml:6", id="a fault"),
        pytest.param("bad.yaml", "{", "bad.yaml", id="not YAML"),
        pytest.param("notes.txt", "hello", "no document", id="no name of a document"),
        pytest.param("other.yaml", GOOD % "bad", "other.yaml", id="name and file contradict"),
    ],
)
def test_apply_of_what_is_not_fit_changes_nothing(
    standfast: Command, running: Running, write: Any, place: Path, name: str, content: str, says: str
) -> None:
    good = write("good.yaml", GOOD % "good")
    assert standfast("apply", good, write(name, content), "--yes", "--no-wait") == 1
    assert says in standfast.err
    assert list(place.iterdir()) == [], "not even the good one"


def test_apply_asks_and_takes_silence_for_a_no(
    standfast: Command, running: Running, write: Any, place: Path
) -> None:
    assert standfast("apply", write("new.yaml", GOOD % "new")) == 4
    assert "not confirmed" in standfast.err
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "where"),
    [
        pytest.param([], "prod/web.yaml", id="as the document says"),
        pytest.param(["--namespace", "prod"], "prod/web.yaml", id="as was asked"),
    ],
)
def test_apply_into_a_namespace(
    standfast: Command, running: Running, write: Any, place: Path, words: list[str], where: str
) -> None:
    path = write("web.yaml", GOOD.replace("{name: %s}", "{name: web, namespace: prod}"))
    assert standfast("apply", path, "--yes", "--no-wait", *words) == 0, standfast.err
    assert (place / where).exists()


@pytest.mark.parametrize("absolute", [False, True], ids=["paths below it", "absolute paths"])
def test_a_yaml_takes_the_place_of_a_conf(
    standfast: Command, running: Running, write: Any, place: Path, absolute: bool
) -> None:
    """Two files of one service are both refused, so the old one goes."""
    (place / "svc1.conf").write_text("[DEFAULT]\n")
    running.agent.files = [document("svc1.conf"), document("other.yaml")]
    if absolute:
        running.agent.files[0]["path"] = str(place / "svc1.conf")
    assert standfast("apply", write("svc1.yaml", GOOD % "svc1"), "--yes", "--no-wait") == 0
    assert "replaces svc1.conf" in standfast.out
    assert [path.name for path in place.iterdir()] == ["svc1.yaml"]


def test_a_file_that_replaces_itself_stays(
    standfast: Command, running: Running, write: Any, place: Path
) -> None:
    """However the agent names it."""
    (place / "svc1.yaml").write_text("old")
    running.agent.files = [
        {**document("svc1.yaml"), "path": path} for path in ("svc1.yaml", f"{place}/svc1.yaml")
    ]
    assert standfast("apply", write("svc1.yaml", GOOD % "svc1"), "--yes", "--no-wait") == 0
    assert (place / "svc1.yaml").read_text() == GOOD % "svc1"


def test_two_files_of_one_service_at_once_are_refused(
    standfast: Command, running: Running, write: Any, place: Path
) -> None:
    words = [write("svc1.yaml", GOOD % "svc1"), write("svc1.conf", "[DEFAULT]\n")]
    assert standfast("apply", *words, "--yes", "--no-wait") == 1
    assert "two of these files" in standfast.err
    assert list(place.iterdir()) == []


def test_a_file_that_cannot_be_put_in_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken.yaml").mkdir()
    with pytest.raises(Failed, match="cannot write"):
        files.place(tmp_path, "taken.yaml", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken.yaml"]


# --- om ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        pytest.param("svc1 start --local", ("root/svc1", "start", [], True), id="the guide's start"),
        pytest.param("svc1 start --rid app#web", ("root/svc1", "start", ["app#web"], False), id="a part"),
        pytest.param("svc1 stop --local app#web", ("root/svc1", "stop", ["app#web"], True), id="bare rid"),
        pytest.param("svc1 thaw", ("root/svc1", "thaw", [], False), id="thaw"),
        pytest.param("svc1 unfreeze", ("root/svc1", "thaw", [], False), id="its newer name"),
        pytest.param("prod/svc/web stop", ("prod/web", "stop", [], False), id="with the kind"),
        pytest.param("node freeze", ("", "freeze", [], False), id="the host"),
    ],
)
def test_om_asks(standfast: Command, running: Running, words: str, asked: Any) -> None:
    assert standfast(*words.split(), "--no-wait", entry=om.main) == 0, standfast.err
    ((key, wish, _),) = running.agent.asked
    assert (key, wish["verb"], wish["rids"], wish["local"]) == asked


@pytest.mark.parametrize(
    ("words", "like"),
    [
        pytest.param("svc1 print status", "status svc1", id="print status"),
        pytest.param("svc1 print status -r", "status svc1", id="print status, looked at anew"),
        pytest.param("svc1", "status svc1", id="a selector alone"),
        pytest.param("*/svc/* ls", "ls --names */*", id="ls"),
        pytest.param("mon", "mon", id="mon"),
        pytest.param("svc1 logs", "logs svc1", id="logs"),
        pytest.param("svc1 status -o json", "status svc1 -o json", id="with an option"),
    ],
)
def test_om_shows_the_same(standfast: Command, running: Running, words: str, like: str) -> None:
    code = standfast(*like.split())
    expected = standfast.out
    assert standfast(*words.split(), entry=om.main) == code
    assert standfast.out == expected


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        pytest.param("", 2, "usage: om", id="nothing"),
        pytest.param("svc1 set --kw a=b", 2, "edit config", id="set"),
        pytest.param("svc1 frobnicate", 2, "om --help", id="nonsense"),
        pytest.param("root/vol/data ls", 2, "kind svc", id="another kind"),
        pytest.param("svc9 print config", 1, "om svc9 create", id="no document"),
        pytest.param("cluster get", 2, "no counterpart", id="cluster"),
        pytest.param("svc1 set provisioned", 0, "nothing to set", id="set provisioned"),
    ],
)
def test_om_says_what_has_no_counterpart(
    standfast: Command, running: Running, words: str, code: int, says: str
) -> None:
    assert standfast(*words.split(), entry=om.main) == code
    assert says in standfast.out + standfast.err
    assert running.agent.asked == []


def test_om_creates_edits_prints_and_deletes(
    standfast: Command, running: Running, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert standfast("new", "create", entry=om.main) == 0, standfast.err
    running.agent.files = [document("new.conf")]
    assert standfast("new", "create", entry=om.main) == 1
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nprintf "[fs#f]\\ntype = flag\\n" >> "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    assert standfast("new", "edit", "config", entry=om.main) == 0, standfast.err
    assert standfast("new", "print", "config", entry=om.main) == 0
    assert standfast.out == "[DEFAULT]\n[fs#f]\ntype = flag\n"
    assert standfast("new", "validate", "config", entry=om.main) == 0
    assert stat.S_IMODE((place / "new.conf").stat().st_mode) == 0o644
    assert standfast("new", "delete", entry=om.main) == 0
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("script", "says"),
    [
        pytest.param('printf "[fs#f]\\ntype = nope\\n" >> "$1"', "nope", id="what is not fit stays out"),
        pytest.param("exit 3", "failed: nothing was changed", id="an editor that fails"),
        pytest.param(
            'echo >> "$1"; echo "# by another" >> {place}/svc1.conf', "changed meanwhile", id="a race"
        ),
    ],
)
def test_an_edit_that_goes_wrong_changes_nothing(
    standfast: Command,
    running: Running,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    says: str,
) -> None:
    (place / "svc1.conf").write_text("[DEFAULT]\n")
    running.agent.files = [document("svc1.conf")]
    editor = tmp_path / "editor"
    editor.write_text(f"#!/bin/sh\n{script.replace('{place}', str(place))}\n")
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    assert standfast("svc1", "edit", "config", entry=om.main) == 1
    assert says in standfast.err
    assert (place / "svc1.conf").read_text() in ("[DEFAULT]\n", "[DEFAULT]\n# by another\n")
    assert os.listdir(place) == ["svc1.conf"]
