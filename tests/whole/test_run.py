"""`standfast run` as a person types it: what it leaves behind, and with which exit code."""

import os
import signal
import subprocess
import sys

import pytest

from tests.outcomes.bed import BYSTANDER, document
from tests.whole.test_crash_times import until

STANDFAST = (sys.executable, "-m", "reconciler.cli.main")


def once(bed, *words: str) -> int:
    with bed.process("--once", "--time", "20", *words) as process:
        return process.wait(30)


def flags(bed, *names: str) -> list[bool]:
    return [bed.flag(name).exists() for name in names]


def test_once_converges_and_leaves_what_is_up(bed):
    bed.write("web", {"fs#a": {"type": "flag", "path": str(bed.flag("a"))}})
    bed.write("told", {"fs#a": {"type": "flag", "path": str(bed.flag("b"))}}, orchestrate="no")
    assert once(bed) == 0, "nobody asked for the other one"
    assert flags(bed, "a", "b") == [True, False]
    assert once(bed, "--stop-on-exit") == 0
    assert flags(bed, "a", "b") == [False, False]


@pytest.mark.parametrize(
    "spoiled",
    [
        pytest.param({"fs#a": {"type": "flog"}}, id="a document that is refused"),
        pytest.param(
            {"fs#a": {"type": "bind", "dev": "/nowhere/at/all", "mnt": "/nowhere/else"}},
            id="what is blocked",
        ),
    ],
)
def test_once_says_what_is_not_as_wanted(bed, spoiled):
    bed.write("web", {"fs#a": {"type": "flag", "path": str(bed.flag("a"))}})
    bed.write("bad", spoiled)
    assert once(bed) == 1
    assert flags(bed, "a") == [True]


@pytest.mark.parametrize(("words", "left"), [((), True), (("--stop-on-exit",), False)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_of_the_agent(bed, words, left, number):
    bed.write("web", {"fs#a": {"type": "flag", "path": str(bed.flag("a"))}})
    with bed.process(*words) as process:
        until(lambda: bed.flag("a").exists())
        process.send_signal(number)
        assert process.wait(20) == 0
    assert flags(bed, "a") == [left]


def test_a_sandbox_converges_once_and_leaves_nothing(bed):
    examples = bed.root / "examples"
    examples.mkdir()
    one = {"fs#a": {"type": "flag", "path": str(bed.flag("a"))}}
    (examples / f"{BYSTANDER}.yaml").write_text(document(BYSTANDER, one))
    environment = os.environ | {"XDG_RUNTIME_DIR": str(bed.root)}
    words = [*STANDFAST, "run", "--sandbox", "--services", str(examples)]
    ran = subprocess.run([*words, "--once"], env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "fs#a" in ran.stdout
    assert flags(bed, "a") == [False]
    ran = subprocess.run([*words, "--state", "/tmp"], env=environment, capture_output=True, text=True)
    assert (ran.returncode, "leave --state out" in ran.stderr) == (2, True)
