"""Killed at random times, and with many documents: programs go on, and the next daemon converges."""

import contextlib
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import kernel
from tests.outcomes.bed import Bed, document
from tests.whole import stacks
from tests.whole.doomed import all_is_up, next_daemon, nothing_is_left, stop, up

pytestmark = kernel.needs_root

CRASHES = int(os.environ.get("STANDFAST_CRASHES", "10"))
"""How many times at random; 50 in a long run."""


@pytest.mark.parametrize("batch", range(2))
def test_killed_at_random_times(bed, batch):
    """The real command, while its document is started and stopped; in the end it is as wanted."""
    seed = int(os.environ.get("STANDFAST_SEED", random.randrange(1 << 32)))
    print(f"STANDFAST_SEED={seed}")  # shown when it fails
    dice = random.Random(seed + batch)
    resources = stacks.whole(bed)
    bed.write("svc", resources)
    next_daemon(bed, up)
    programs = bed.programs("svc", "app#3")
    for number in range(-(-CRASHES // 2)):
        with bed.process("--look-every", "1") as daemon:
            if number % 2:
                # Nothing is asked of it: whenever it dies, what runs goes on.
                time.sleep(dice.uniform(0.2, 1.2))
                daemon.kill()
                assert bed.programs("svc", "app#3") == programs
            else:
                wait_for_socket(bed, daemon)
                for state in ("stopped", "started"):
                    bed.put("svc.yaml", document("svc", resources, state=state))
                    time.sleep(dice.uniform(0.02, 0.5))
        if not number % 2:
            next_daemon(bed, up)
            all_is_up(bed)
            programs = bed.programs("svc", "app#3")
    next_daemon(bed, stop)
    nothing_is_left(bed)


def test_killed_with_many_documents(bed):
    """Those are read in a process of its own: it must not outlive the daemon, nor keep the next one out."""
    for number in range(20):
        bed.write(f"s{number}", {"fs#0": {"type": "flag"}})
    with bed.process() as daemon:
        until(lambda: children_of(daemon.pid))
        children = children_of(daemon.pid)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))
    next_daemon(bed, lambda agent: agent.up("s19"))


def children_of(pid: int) -> list[str]:
    """Of all its threads."""
    found: list[str] = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread ended
            found += listed.read_text().split()
    return found


def until(condition: Callable[[], Any]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("not within 10 s")


def wait_for_socket(bed: Bed, daemon: Any) -> None:
    """Until it answers."""
    path = bed.settings().socket
    path.unlink(missing_ok=True)
    until(lambda: path.exists() or daemon.poll() is not None)
    assert daemon.poll() is None, (bed.root / "agent.log").read_text()
