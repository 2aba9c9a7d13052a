"""Commands that show: what they print, and with which code they end."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from reconciler.cli import doctor, output, tree
from tests.api.fake import FakeAgent, condition, document, service
from tests.cli.conftest import Command, Running


def test_ls_lists_all_by_name(standfast: Command, running: Running) -> None:
    assert standfast("ls") == 0
    lines = standfast.out.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "prod/web", "prod/web2", "svc1"]
    starts = {line.index(line.split()[1]) for line in lines}
    assert len(starts) == 1, "the columns are aligned"


def test_ls_names_are_names_alone(standfast: Command, running: Running) -> None:
    assert standfast("ls", "--names", "*/*") == 0
    assert standfast.out == "prod/web\nprod/web2\nsvc1\n"


def test_ls_of_nothing_is_nothing(standfast: Command, running: Running) -> None:
    running.agent.objects.clear()
    assert standfast("ls") == 0
    assert standfast.out == ""


def test_status_prints_the_trees_of_what_was_named(standfast: Command, running: Running) -> None:
    assert standfast("status", "svc1") == 0
    assert standfast.out == tree.render(running.agent.objects["root/svc1"]) + "\n"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({}, 0, id="up and down as wanted"),
        pytest.param({"conditions": [condition("Ready", "False", "Degraded")]}, 1, id="degraded"),
        pytest.param({"conditions": [condition("Ready", "Unknown", "CannotLook")]}, 1, id="cannot look"),
        pytest.param({"conditions": [condition("Ready", "False", "NotAsked")]}, 0, id="nobody asked"),
        pytest.param({"conditions": [condition("Ready", "False", "NoSession")]}, 1, id="no session"),
        pytest.param({"conditions": []}, 1, id="not looked at yet"),
    ],
)
def test_status_ends_with_0_only_if_all_is_as_wanted(
    standfast: Command, running: Running, change: dict[str, Any], code: int
) -> None:
    running.do(running.agent.change, "root/svc1", **change)
    assert standfast("status") == code
    assert standfast("status", "prod/*") == 0, "of the others it is"


def test_status_shows_documents_that_were_refused(standfast: Command, running: Running) -> None:
    running.agent.files = [document("good.yaml"), document("bad.yaml", ("unknown keyword",))]
    assert standfast("status") == 1
    assert "bad.yaml:7: spec: unknown keyword\n    mend it" in standfast.out
    assert "good.yaml" not in standfast.out


def test_status_of_nothing_says_what_to_do(standfast: Command, running: Running) -> None:
    running.agent.objects.clear()
    assert standfast("status") == 0
    assert "standfast apply" in standfast.out


def test_json_is_the_api_s_own_object(standfast: Command, running: Running) -> None:
    assert standfast("status", "-o", "json", "svc1") == 0
    assert json.loads(standfast.out) == {"items": [running.agent.objects["root/svc1"]]}


def test_yaml_says_the_same(standfast: Command, running: Running) -> None:
    assert standfast("status", "-o", "yaml") == 0
    assert YAML(typ="safe").load(standfast.out) == {"items": list(running.agent.services())}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({}, id="an empty map"),
        pytest.param([], id="an empty list"),
        pytest.param([[], {}, [[1, [2]]], {"a": [{"b": 1, "c": [3]}]}], id="nested"),
        pytest.param([{"a": {"b": {}}, "c": []}, {"d": None}], id="maps in lists"),
        pytest.param(
            ["yes", "No", "null", "~", "1", "1.5", "0x1f", "1e3", ".5", "-", "2024-01-01"], id="words"
        ),
        pytest.param(
            ["", " a", "a ", "a: b", "#c", "- d", "{x}", "'q'", '"', "a\nb", "\t", "é 😀"], id="text"
        ),
        pytest.param([1, -2.5, 1e30, True, False, None], id="scalars"),
        pytest.param({"a b": 1, "": 2, "null": 3, "x:": 4, "/etc": 5}, id="keys"),
    ],
)
def test_yaml_is_read_back_as_it_was(value: Any) -> None:
    assert YAML(typ="safe").load(output.yaml_text(value)) == value


def test_plan_shows_now_then_and_what_waits(standfast: Command, running: Running) -> None:
    assert standfast("plan", "svc1") == 0
    assert standfast.out.splitlines() == [
        "root/svc1:",
        "  now",
        "    fs#app start (is down, wanted up)",
        "      e2fsck -p /dev/vg/app",
        "      mount -t ext4 /dev/vg/app /app",
        "  then",
        "    app#web start (is down, wanted up)",
        "      /app/web start",
        "  waiting",
        "    app#web waits for fs#app",
    ]


def test_why_prints_the_chain(standfast: Command, running: Running) -> None:
    assert standfast("why", "svc1") == 0
    assert standfast.out == "root/svc1 is up\n  wanted: up, the document says started\n"


def test_a_name_mistyped_is_suggested(standfast: Command, running: Running) -> None:
    assert standfast("status", "svc") == 1
    assert standfast.err == "standfast: no service matches 'svc': did you mean root/svc1?\n"


def test_events_of_all_and_of_one(standfast: Command, running: Running) -> None:
    running.do(running.agent.happen, "mount -t ext4 /dev/x /app")
    running.do(running.agent.happen, "ip addr add", "prod/web", rid="ip#0")
    running.do(running.agent.happen, "fsck", ok=False, output="bad\nblocks", seconds=2.0, reason="")
    assert standfast("events") == 0
    first, second, *third = standfast.out.splitlines()
    assert first.endswith("svc1 fs#app: mount -t ext4 /dev/x /app [9 ms] (drift)")
    assert second.endswith("prod/web ip#0: ip addr add [9 ms] (drift)")
    assert third[0].endswith("svc1 fs#app: FAILED: fsck [2.0 s]")
    assert third[1:] == ["    | bad", "    | blocks"]
    assert standfast("events", "prod/web") == 0
    assert len(standfast.out.splitlines()) == 1
    assert standfast("events", "-n", "1", "-o", "json") == 0
    assert [e["number"] for e in json.loads(standfast.out)["items"]] == [3]


def test_events_of_a_service_that_is_gone(standfast: Command, running: Running) -> None:
    running.do(running.agent.happen, "umount", "root/gone")
    assert standfast("events", "gone") == 0
    assert "umount" in standfast.out


def test_logs_show_events_and_output(standfast: Command, running: Running, tmp_path: Path) -> None:
    running.do(running.agent.happen, "started", rid="app#web")
    running.do(running.agent.happen, "mounted", rid="fs#app")
    folder = tmp_path / "state" / "log"
    folder.mkdir()
    (folder / "root.svc1.app#web.log").write_bytes(b"one\ntwo \x1b[2J\xff\n")
    (folder / "root.svc1.b.app#web.log").write_text("of svc1.b")
    assert standfast("logs", "svc1") == 0
    assert "mounted" in standfast.out
    assert standfast.out.endswith("--- output of app#web\none\ntwo \\x1b[2J�\n")
    assert standfast("logs", "svc1", "--rid", "app#web", "-n", "1") == 0
    assert "mounted" not in standfast.out
    assert "one" not in standfast.out
    assert "two" in standfast.out


@pytest.mark.parametrize(
    ("held", "words", "code", "says"),
    [
        pytest.param([], [], 0, "nothing is held back", id="nothing"),
        pytest.param(["root/gone"], [], 1, "standfast prune --confirm", id="something: how to go on"),
        pytest.param(["root/gone"], ["--confirm"], 0, "removed: root/gone", id="confirmed"),
        pytest.param([], ["--confirm"], 0, "nothing is held back", id="nothing to confirm"),
    ],
)
def test_prune(
    standfast: Command, running: Running, held: list[str], words: list[str], code: int, says: str
) -> None:
    running.agent.more = {"prune_held": held}
    assert standfast("prune", *words) == code
    assert says in standfast.out


def member(version: str = "0.1.0", trouble: str = "", **session: Any) -> dict[str, Any]:
    """An agent that shares a store with demo2."""
    stands = {"open": True, "epoch": 4, "level": "lease", "why": "", "duplicate": False, **session}
    nodes = {"demo2": {"alive": True, "version": version}}
    return {
        "cluster": {"session": stands, "failover": 19.0, "trouble": trouble, "outside": [], "nodes": nodes}
    }


TROUBLES: list[Any] = [
    pytest.param({}, 0, ["ok    the store (sqlite) is written", "ok    1 sources"], id="all is well"),
    pytest.param(
        {"store": {"kind": "sqlite", "trouble": "no space left"}},
        1,
        ["error store: no space left"],
        id="store",
    ),
    pytest.param(
        {"sources": {"lvm": {"ok": False, "why": "lvm2 is not installed"}}},
        1,
        ["error the source lvm fails: lvm2 is not installed"],
        id="a source",
    ),
    pytest.param(
        {"journal": {"trouble": "", "dropped": 7}},
        0,
        ["warn  events: 7 were dropped."],
        id="events were lost",
    ),
    pytest.param(
        {"store": {"kind": "memory", "trouble": ""}, "notices": ["nothing is kept over a restart: no"]},
        1,
        ["error the store is in memory only", "warn  nothing is kept over a restart: no"],
        id="nothing is kept",
    ),
    pytest.param(
        {"notices": ["no metrics: port 9833 is taken"]},
        0,
        ["ok    the store (sqlite) is written", "warn  no metrics: port 9833 is taken"],
        id="a notice is no trouble of the store",
    ),
    pytest.param({"prune_held": ["root/a"]}, 0, ["warn  removal is held back of root/a"], id="prune held"),
    pytest.param(
        {"frozen": {"scope": "node", "who": "alice", "since": 0, "reason": "move", "until": None}},
        0,
        ["warn  this host is frozen by alice (move)", "standfast thaw --node"],
        id="frozen",
    ),
    pytest.param(member(), 0, ["ok    its session is open: epoch 4, lease"], id="a member"),
    pytest.param(
        member(trouble="etcd did not answer within 1 s"),
        1,
        ["error what the hosts share is not followed: etcd did not answer within 1 s"],
        id="behind the others",
    ),
    pytest.param(
        member(open=False, why="the store was replaced"),
        1,
        ["error this node has no session: the store was replaced"],
        id="no session",
    ),
    pytest.param(
        member(duplicate=True), 1, ["error another node lives under this name"], id="a node twice"
    ),
    pytest.param(
        member(version="0.2.0"),
        0,
        ["warn  agents of several versions: demo2 runs 0.2.0, this one 0.1.0"],
        id="versions",
    ),
    pytest.param(
        member(),
        0,
        ["names no store, and the agent has one", "standfast doctor --node FILE"],
        id="another node.yaml",
    ),
]


@pytest.mark.parametrize(("more", "code", "says"), TROUBLES)
def test_doctor(
    standfast: Command,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
    more: dict[str, Any],
    code: int,
    says: list[str],
) -> None:
    monkeypatch.setattr(doctor, "TOOLS", {"fs.ext4": (("sh", "dash"),)})
    running.agent.more = {"started": time.time() - 120, **more}
    assert standfast("doctor") == code, standfast.out
    assert all(text in standfast.out for text in says), standfast.out


def test_doctor_names_the_package_of_a_missing_command(
    standfast: Command, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "TOOLS", {"fs.ext4": (("no-such-fsck", "e2fsprogs"),)})
    assert standfast("doctor") == 1
    assert "error no-such-fsck is missing, fs.ext4 needs it\n      apt install e2fsprogs" in standfast.out


def test_doctor_says_what_is_wrong_with_a_file_that_is_not_in_force(
    standfast: Command, running: Running
) -> None:
    running.agent.files = [document("web.yaml", ("another one was applied later, on n2",))]
    assert standfast("doctor") == 1
    said = "error web.yaml is not in force: another one was applied later, on n2"
    assert f"{said}\n      mend it" in standfast.out


def test_doctor_without_an_agent_says_so(
    standfast: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDFAST_RUN", str(tmp_path))
    assert standfast("doctor") == 1
    assert "error no agent answers at" in standfast.out


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_commands_and_services(
    standfast: Command, running: Running, shell: str, tmp_path: Path
) -> None:
    assert standfast("completion", shell) == 0
    script = standfast.out
    if shell == "zsh":
        assert script.startswith("autoload")
        return
    binary = tmp_path / "standfast"
    binary.write_text(f'#!/bin/sh\nexec {sys.executable} -m reconciler.cli.main "$@"\n')
    binary.chmod(0o755)

    def complete(*words: str) -> list[str]:
        typed = " ".join(words)
        line = (
            f"{script}\nPATH={tmp_path}:$PATH\nCOMP_WORDS=(standfast {typed}); COMP_CWORD={len(words)}\n"
            '_standfast; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert complete("stat") == ["status"]
    assert complete("start", "sv") == ["svc1"]
    assert complete("start", "--re") == ["--reason"]


def test_colour_only_on_a_terminal_and_never_against_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert output.colour() is False
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert output.colour() is True
    monkeypatch.setenv("NO_COLOR", "1")
    assert output.colour() is False


@contextlib.contextmanager
def following(running: Running, *words: str) -> Iterator[Callable[[str], str]]:
    """A command that does not end, in another process; reads on until a line holds the word."""
    command = [sys.executable, "-u", "-m", "reconciler.cli.main", *words]
    environment = {**os.environ, "STANDFAST_RUN": str(running.directory)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:

        def read_until(word: str) -> str:
            assert process.stdout is not None
            while word not in (line := process.stdout.readline()):
                assert line, f"{word!r} never came"
            return line

        try:
            yield read_until
        finally:
            process.kill()


def test_watch_draws_again_at_each_change_and_waits_for_a_lost_agent(
    agent: FakeAgent, running: Running
) -> None:
    with following(running, "status", "--watch", "svc1") as read_until:
        read_until("app#web")
        running.do(agent.become, "root/svc1", "down")
        read_until("down")
        running.end()
        read_until("no agent")
        running.do(agent.objects.update, {"root/svc1": service("svc1", avail="warn")})
        running.begin()
        read_until("warn")


def test_events_go_on_over_a_restart_and_none_is_told_twice(agent: FakeAgent, running: Running) -> None:
    running.do(agent.happen, "first")
    with following(running, "events", "-f") as read_until:
        read_until("first")
        running.do(agent.happen, "second")
        read_until("second")
        running.end()
        read_until("waiting for it")
        running.do(agent.happen, "third")
        running.begin()
        running.do(agent.happen, "fourth")
        assert "third" in read_until(" svc1 ")
        assert "fourth" in read_until(" svc1 ")


def test_logs_go_on_with_what_programs_write(agent: FakeAgent, running: Running, tmp_path: Path) -> None:
    folder = tmp_path / "state" / "log"
    folder.mkdir()
    log = folder / "root.svc1.app#web.log"
    log.write_text("old\n")
    with following(running, "logs", "svc1", "-f") as read_until:
        read_until("old")
        with log.open("a") as file:
            file.write("new\n")
        assert read_until("new") == "app#web | new\n"
        log.write_text("")
        running.do(agent.happen, "rotated")
        read_until("rotated")
        log.write_text("x\n")
        assert read_until("x") == "app#web | x\n"
