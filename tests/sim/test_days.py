"""Random days of whole clusters: nothing that must never be, and in the end all is up again. `make sim`."""

import os
import subprocess
import sys

import pytest

from reconciler.testing.days import day

DAYS = int(os.environ.get("STANDFAST_CLUSTERS", "200"))
AT_ONCE = 25


@pytest.mark.parametrize("first", range(0, DAYS, AT_ONCE))
def test_nothing_that_must_never_be(first):
    for seed in range(first, min(first + AT_ONCE, DAYS)):
        made = day(seed)
        assert not made.wrong, f"make sim SEED={seed}\n{made.history}\n{made.wrong}"


def test_equal_seeds_are_equal_days():
    """Whatever the order of this interpreter's sets."""
    said = [
        subprocess.run(
            [
                sys.executable,
                "-c",
                "from reconciler.testing.days import day; print(*(day(s).digest for s in range(6)))",
            ],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for seed in ("0", "1")
    ]
    assert said[0] == said[1]
    assert len(said[0].split()) == 6


def test_a_day_has_faults_failovers_and_operations():
    days = [day(seed) for seed in range(20)]
    assert sum(len(made.faults) for made in days) > 50
    assert sum(made.failovers for made in days) > 5
    assert sum(made.operations for made in days) > 150
    assert all(made.seconds > 3 for made in days)
