"""Probes: their time limit, and one that cannot be ended."""

import os
import time

import pytest

from reconciler.adapters.facts import run
from reconciler.adapters.facts.run import NotInstalled, Prober, Ran
from reconciler.adapters.starter import Starter
from reconciler.errors import MayHeal


async def test_output_and_exit_code():
    ran = await Prober(Starter()).run(("sh", "-c", "echo out; echo 'first\nlast ' >&2; exit 3"), 5)
    assert (ran.code, ran.out, ran.complaint) == (3, "out\n", "last")
    assert Ran(4, "", "").complaint == "exit code 4"


async def test_its_words_are_english_and_it_is_not_told_of_our_descriptors():
    ran = await Prober(Starter()).run(("sh", "-c", "echo $LC_ALL $LVM_SUPPRESS_FD_WARNINGS"), 5)
    assert ran.out == "C 1\n"


async def test_much_output_does_not_hold_it_up():
    ran = await Prober(Starter()).run(("sh", "-c", "head -c 3000000 /dev/zero"), 5)
    assert len(ran.out) == 3000000


async def test_over_time_it_is_ended():
    began = time.monotonic()
    with pytest.raises(MayHeal, match="sh did not answer within"):
        await Prober(Starter()).run(("sh", "-c", "exec sleep 30"), 0.2)
    assert time.monotonic() - began < 2


async def test_one_that_cannot_be_ended_is_not_started_again(monkeypatch, tmp_path):
    """As in an uninterruptible wait: here, a kill that does nothing."""
    monkeypatch.setattr(run, "_SECONDS_TO_DIE", 0.1)
    prober, pids = Prober(Starter()), []
    argv = ("sh", "-c", f"echo $$ >> {tmp_path}/pids; exec sleep 30")
    with monkeypatch.context() as patched:
        patched.setattr(run, "_kill", lambda probe: pids.append(probe.child.pid))
        for expected in ("did not answer", "hangs and cannot be ended"):
            with pytest.raises(MayHeal, match=expected):
                await prober.run(argv, 0.2)
    assert (tmp_path / "pids").read_text().split() == [str(pids[0])]
    os.kill(pids[0], 9)
    assert await run.readable(prober._stuck[argv].child.pidfd, 5)
    with pytest.raises(MayHeal, match="did not answer"):
        await prober.run(argv, 0.2)


async def test_a_program_that_is_not_there():
    with pytest.raises(NotInstalled, match="nosuch is not installed"):
        await Prober(Starter()).run(("nosuch",), 1)


async def test_a_file_that_is_no_program(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(MayHeal, match="cannot run"):
        await Prober(Starter()).run((str(tmp_path / "x"),), 1)
