"""What a plan says is what is done: line by line, up and down; and then there is nothing left to do."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import kernel
from tests.outcomes.bed import document
from tests.whole import stacks

pytestmark = kernel.needs_root

EXAMPLES = sorted((Path(__file__).parent.parent.parent / "examples" / "services").glob("*.yaml"))
STACKS: dict[str, Callable] = {
    "everything at once": stacks.whole,
    "a raw device": stacks.raw,
    "addresses by name and of version 6": stacks.names,
    "programs started together": stacks.parallel,
    "ext2": lambda bed: stacks.disks(bed, "ext2", 16),
    "ext3": lambda bed: stacks.disks(bed, "ext3", 16),
    "xfs": lambda bed: stacks.disks(bed, "xfs", 320),
    "btrfs": lambda bed: stacks.disks(bed, "btrfs", 128),
}


def foreseen(plan) -> dict[str, list[str]]:
    """The lines of *now* and *then* by rid; what is only remembered is no act on the host."""
    lines: dict[str, list[str]] = {}
    for step in (*plan["now"], *plan["then"]):
        lines.setdefault(step["rid"], []).extend(o for o in step["operations"] if not o.startswith("# "))
    return {rid: found for rid, found in lines.items() if found}


def done(agent, name: str, since: int) -> dict[str, list[str]]:
    lines: dict[str, list[str]] = {}
    for event in agent.events[since:]:
        if event.kind == "operation" and event.service == f"root/{name}":
            lines.setdefault(event.rid, []).append(event.text)
    return lines


def filled(planned: str, executed: str) -> str:
    """The planned line, its unresolved values as they turned out to be."""
    if "{" not in planned:
        return planned
    pattern = re.sub(r"\\\{[^}]*\\\}", r"\\S+", re.escape(planned.replace("'", "")))
    return executed if re.fullmatch(pattern, executed) else planned


def same(planned: dict[str, list[str]], executed: dict[str, list[str]]) -> None:
    filled_in = {
        rid: [filled(*pair) for pair in zip(lines, executed.get(rid, ()), strict=False)]
        + lines[len(executed.get(rid, ())) :]
        for rid, lines in planned.items()
    }
    assert executed == filled_in


async def follows_its_plan(bed, agent, name: str, text: str, wanted: str, hidden: str = "") -> None:
    """Foresee the document, put it in force, compare; then nothing is left to do.

    hidden  a resource that is there already, on a filesystem that is not mounted yet: it can only
            be planned as if it had to be made.
    """
    path = f"{name}.yaml"
    planned = foreseen(await agent.running.agent.preview(path, text))
    planned.pop(hidden, None)
    since = len(agent.events)
    bed.put(path, text)
    await agent.until(
        lambda: agent.is_ready(name) and agent.condition(name, "Ready")["reason"] == wanted, within=20
    )
    same(planned, done(agent, name, since))
    left = await agent.running.agent.plan(f"root/{name}")
    assert (left["now"], left["then"]) == ([], [])


@pytest.mark.parametrize("stack", STACKS)
async def test_stack(bed, stack):
    """Up, down, and up again: nothing is created a second time."""
    resources = STACKS[stack](bed)
    async with bed.agent(bystander=False) as agent:
        await agent.until(lambda: agent.running.library.scans)
        rounds = (("started", "Up", ""), ("stopped", "Stopped", ""), ("started", "Up", "fs#dir"))
        for state, wanted, hidden in rounds:
            text = document("svc", resources, state=state, subsets={"app:workers": {"parallel": True}})
            await follows_its_plan(bed, agent, "svc", text, wanted, hidden)


@pytest.mark.parametrize("example", [path.stem for path in EXAMPLES])
async def test_example(bed, example):
    text = next(path for path in EXAMPLES if path.stem == example).read_text()
    text = text.replace('orchestrate: "no"', "orchestrate: ha")
    async with bed.agent(bystander=False) as agent:
        await agent.until(lambda: agent.running.library.scans)
        await follows_its_plan(bed, agent, example, text, "Up")
        stopped = text.replace("\nspec:\n", "\nspec:\n  state: stopped\n")
        await follows_its_plan(bed, agent, example, stopped, "Stopped")
