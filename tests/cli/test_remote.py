"""The command line against the agent of another host, over TLS."""

import logging
import re
import socket
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli import client
from reconciler.cli.main import COMMANDS, parser_of
from reconciler.settings import Api
from tests.api.certificates import Authority
from tests.cli.conftest import Command, Running

ROLES = {"ops laptop": "operator", "screen": "viewer"}


@pytest.fixture
def people(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "people")


@pytest.fixture
def server(running: Running, people: Authority, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("STANDFAST_RUN")
    # The agent runs in this process: what it logs is not what the command says.
    monkeypatch.setattr(logging.getLogger("standfast.api"), "disabled", True)
    certificate, key = people.server()
    api = Api("127.0.0.1:0", str(certificate), str(key), str(people.ca), ROLES)
    return f"https://127.0.0.1:{running.serve_others(api)}"


@pytest.fixture
def words(server: str, people: Authority) -> list[str]:
    """The options of an operator."""
    certificate, key = people.issue("ops", "ops laptop")
    own = ["--certificate", str(certificate), "--key", str(key)]
    return ["--server", server, *own, "--ca", str(people.ca)]


def test_reads_and_asks(standfast: Command, words: list[str], running: Running) -> None:
    assert standfast("ls", "--names", "svc1", *words) == 0
    assert standfast.out == "svc1\n"
    assert standfast(*words, "stop", "svc1", "--no-wait") == 0  # before the verb as well
    key, wish, who = running.agent.asked[-1]
    assert (key, wish["verb"], who.name) == ("root/svc1", "stop", "ops laptop via TLS")


def test_waits_by_a_stream(standfast: Command, words: list[str]) -> None:
    assert standfast("stop", "svc1", *words) == 0
    assert standfast.out.startswith("svc1: ")


def test_is_found_in_the_environment(
    standfast: Command, words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for option, value in zip(words[::2], words[1::2], strict=True):
        monkeypatch.setenv(f"STANDFAST_{option.removeprefix('--').upper()}", value)
    assert standfast("ls", "--names", "svc1") == 0
    assert standfast("ls", "--run", str(tmp_path)) == client.NO_AGENT  # what is said by word comes first
    assert str(tmp_path) in standfast.err


def test_an_agent_of_this_host_and_one_of_another_are_not_both_meant(
    standfast: Command, words: list[str], tmp_path: Path
) -> None:
    assert standfast("ls", "--run", str(tmp_path), *words) == client.USAGE
    assert "name one of them" in standfast.err


def _instead(option: str, value: Callable[[Authority, Path], object]) -> Any:
    """`option` and the key that goes with a certificate replaced."""

    def changed(words: list[str], people: Authority, place: Path) -> list[str]:
        found = value(people, place)
        given = dict(zip(words[::2], words[1::2], strict=True))
        if isinstance(found, tuple):
            given |= {"--certificate": str(found[0]), "--key": str(found[1])}
        else:
            given[option] = str(found)
        return [word for pair in given.items() if pair[1] for word in pair]

    return changed


def _other(people: Authority, place: Path) -> Path:
    return Authority(place / "other", "others").ca


def _foreign(people: Authority, place: Path) -> tuple[Path, Path]:
    return Authority(place / "other", "others").issue("ops", "ops laptop")


def _closed(people: Authority, place: Path) -> str:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        return f"https://127.0.0.1:{gone.getsockname()[1]}"


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        pytest.param(_instead("--ca", _other), 1, "name the right one with --ca", id="wrong CA"),
        pytest.param(_instead("--ca", lambda *_: ""), 1, "an authority unknown here", id="no CA"),
        pytest.param(
            _instead("--ca", lambda *_: "/nowhere"), 1, "--ca /nowhere: No such file", id="lost CA"
        ),
        pytest.param(
            _instead("--certificate", lambda *_: ""), 2, "asks who you are: name your", id="no certificate"
        ),
        pytest.param(
            _instead("--certificate", lambda p, _: p.ca),
            1,
            "no certificate, or not the key",
            id="other key",
        ),
        pytest.param(_instead("", _foreign), 0, "spec.api.client_ca", id="foreign certificate"),
        pytest.param(
            _instead("", lambda p, _: p.issue("old", "ops laptop", good_for=timedelta(days=-1))),
            0,
            "is over since .* ask for a new one",
            id="expired",
        ),
        pytest.param(
            _instead("", lambda p, _: p.issue("new", "new laptop")),
            4,
            '"new laptop": viewer',
            id="no role",
        ),
        pytest.param(_instead("--server", _closed), 3, "no agent answers at https", id="nobody there"),
        pytest.param(_instead("--server", lambda *_: "http://a:1"), 2, "write https://HOST", id="no TLS"),
    ],
)
def test_says_what_to_do(
    standfast: Command,
    words: list[str],
    people: Authority,
    tmp_path: Path,
    change: Any,
    code: int,
    said: str,
) -> None:
    found = standfast("status", *change(words, people, tmp_path))
    assert re.search(said, standfast.err), standfast.err
    assert found == code if code else found in (client.NO_AGENT, client.REFUSED)
    assert standfast.err.count("\n") == 1


def test_a_viewer_is_told_what_he_lacks(standfast: Command, words: list[str], people: Authority) -> None:
    change = _instead("", lambda p, _: p.issue("screen", "screen"))
    assert standfast("stop", "svc1", *change(words, people, Path())) == client.REFUSED
    assert (
        'screen via TLS is viewer here, and this needs operator: add {"screen": operator}' in standfast.err
    )


def test_an_agent_whose_certificate_is_for_another_name(
    standfast: Command, words: list[str], server: str
) -> None:
    words[1] = server.replace("127.0.0.1", "localhost")
    assert standfast("ls", *words) == client.FAILED
    assert "its certificate is not for localhost" in standfast.err


def test_what_does_not_speak_tls(standfast: Command, words: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            connection, _ = other.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.recv(1000)

        thread = threading.Thread(target=answer)
        thread.start()
        words[1] = f"https://127.0.0.1:{other.getsockname()[1]}"
        assert standfast("ls", *words) == client.FAILED
        thread.join()
    assert "does not speak TLS" in standfast.err


@pytest.mark.parametrize("command", [("apply", "x.yaml"), ("support-bundle",)])
def test_what_needs_files_of_that_host_is_not_done_here(
    standfast: Command, words: list[str], monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("STANDFAST_SERVER", words[1])
    assert standfast(*command) == client.USAGE
    assert "run it on that host" in standfast.err


def test_doctor_does_not_look_at_this_host_for_another(
    standfast: Command, words: list[str], running: Running
) -> None:
    running.agent.paths = {name: f"/nowhere/{name}" for name in running.agent.paths}
    standfast("doctor", *words)
    assert "answers" in standfast.out
    assert "/nowhere" not in standfast.out
    assert "the clock" not in standfast.out


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_no_command_has_options_of_its_own_by_these_names(name: str) -> None:
    parser_of(name)  # argparse refuses a name that is there twice
