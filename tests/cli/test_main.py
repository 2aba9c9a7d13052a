"""The command line itself: its table, usage, failures in one line, and what it costs to import."""

import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.cli import main as module
from reconciler.cli.main import COMMANDS, overview, parser_of
from tests.cli.conftest import Command, Running

HEAVY = {
    "asyncio",
    "aiohttp",
    "ssl",
    "pyroute2",
    "jsonschema",
    "ruamel",
    "ruamel.yaml",
    "prometheus_client",
    "dataclasses",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_module_with_help_arguments_and_run(name: str) -> None:
    parser = parser_of(name)
    assert parser.get_default("command") == name
    text = parser.description
    assert text
    assert "\n" not in text
    assert text in overview()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        pytest.param([], 2, "usage: standfast", id="nothing at all"),
        pytest.param(["statsu"], 2, "did you mean 'status'?", id="mistyped"),
        pytest.param(["frobnicate"], 2, "standfast --help", id="unknown"),
        pytest.param(["status", "--frob"], 2, "--frob", id="an unknown option"),
        pytest.param(["start"], 2, "SELECTOR", id="a selector is missing"),
        pytest.param(["start", "svc1", "--for", "soon"], 2, "soon", id="not a duration"),
        pytest.param(["start", "svc1", "--for", "0s"], 2, "0s", id="no time at all"),
    ],
)
def test_wrong_usage(standfast: Command, words: list[str], code: int, says: str) -> None:
    assert standfast(*words) == code
    assert says in standfast.err
    assert standfast.out == ""


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_lists_commands_and_exit_codes(standfast: Command, words: list[str]) -> None:
    assert standfast(*words) == 0
    assert all(f"  {name} " in standfast.out for name in COMMANDS)
    assert "3  no agent answers" in standfast.out


def test_version(standfast: Command) -> None:
    assert standfast("--version") == 0
    assert standfast.out.startswith("standfast ")


def test_the_run_directory_may_be_named_before_and_after_the_command(
    standfast: Command, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STANDFAST_RUN")
    directory = str(running.directory)
    for words in (["--run", directory, "ls"], [f"--run={directory}", "ls"], ["ls", "--run", directory]):
        assert standfast(*words) == 0, words
        assert "svc1" in standfast.out


def test_without_an_agent_it_says_how_to_start_one(
    standfast: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDFAST_RUN", str(tmp_path))
    assert standfast("status") == 3
    assert standfast.err == (
        f"standfast: no agent answers at {tmp_path}/standfast.sock: start it with `standfast run`, "
        "or name its directory with --run DIR or STANDFAST_RUN\n"
    )


def test_what_every_command_imports_stays_light() -> None:
    """A person waits for it: nothing of the agent, and no heavy parts of the standard library."""
    code = (
        "import sys; import reconciler.cli.main, reconciler.cli.status, reconciler.cli.ls; "
        "print(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded & HEAVY == set()
    assert {name for name in loaded if name.startswith("reconciler")} <= {
        "reconciler",
        "reconciler.cli",
        *(
            f"reconciler.cli.{name}"
            for name in ("main", "client", "status", "ls", "judge", "output", "tree")
        ),
    }


def test_a_reader_that_leaves_is_no_failure_worth_a_traceback(running: Running) -> None:
    line = f"{sys.executable} -m reconciler.cli.main status --run {running.directory} | true"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stdout + done.stderr


def test_the_module_of_every_command_lies_beside_it() -> None:
    folder = Path(module.__file__).parent
    assert {f"{name}.py" for name in COMMANDS.values()} <= {path.name for path in folder.glob("*.py")}
