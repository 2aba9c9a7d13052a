"""Killed after each single operation of a start and of a stop: the next daemon goes on where it was."""

import shutil

from tests import kernel
from tests.outcomes.bed import Agent, Bed
from tests.whole import stacks
from tests.whole.doomed import (
    SURVIVED,
    all_is_up,
    diary,
    doomed,
    next_daemon,
    nothing_is_left,
    operations,
    stop,
    stopped,
    up,
)

pytestmark = kernel.needs_root


def test_killed_after_each_operation_of_a_start(bed):
    """What was finished is not done again, no program is started twice, no filesystem made twice."""
    bed.write("svc", stacks.whole(bed))
    number, total = 0, None
    while total is None:
        number += 1
        if doomed(bed, number, up) == SURVIVED:
            total = number - 1
        before, finished = diary(bed)
        programs = bed.programs("svc", "app#3")

        async def finds_it(agent: Agent, before=before, finished=finished, programs=programs) -> None:
            await up(agent)
            after = operations(agent)
            told = f"killed after operation {len(before)}: {before}\nthen {after}"
            assert finished & set(after) == set(), told
            assert sum("mkfs" in text for _, text in (*before, *after)) <= 1, told
            all_is_up(bed)
            assert set(programs) <= set(bed.programs("svc", "app#3")), told
            await stop(agent)

        next_daemon(bed, finds_it)
        nothing_is_left(bed)
        _forget(bed)
    assert total > 20


def test_killed_after_each_operation_of_a_stop(bed):
    """The next daemon knows what was asked, and finishes it."""
    bed.write("svc", stacks.whole(bed))
    next_daemon(bed, up)
    number, total = 0, None
    while total is None:
        number += 1
        if doomed(bed, number, stop) == SURVIVED:
            total = number - 1
        before, finished = diary(bed)

        async def finds_it(agent: Agent, before=before, finished=finished) -> None:
            await stopped(agent)
            after = operations(agent)
            told = f"killed after operation {len(before)}: {before}\nthen {after}"
            assert finished & set(after) == set(), told
            nothing_is_left(bed)
            await agent.ask("svc", "clear")
            await up(agent)

        next_daemon(bed, finds_it)
    assert total > 8


def _forget(bed: Bed) -> None:
    """As if nothing had ever been here."""
    shutil.rmtree(bed.state)
    shutil.rmtree(bed.run_dir)
    (bed.root / "disk.img").unlink()
