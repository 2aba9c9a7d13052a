"""fs.flag: a marker file as a resource; up when it exists. For demonstrations and tests."""

from typing import Any, TypedDict

from reconciler.asks import Ask, Facts, File
from reconciler.model import Goal, Observed, State, settled
from reconciler.operations import Operation, RemoveFile, WriteFile

KIND = "fs.flag"


class Spec(TypedDict):
    path: str


def asks(spec: Spec) -> tuple[Ask[Any], ...]:
    return (File(spec["path"]),)


def observe(spec: Spec, facts: Facts) -> Observed:
    """Up when the file exists; a directory of that name is in the way."""
    found = facts.of(File(spec["path"]))
    label = f"flag {spec['path']}"
    if found is None:
        return Observed(State.DOWN, label=label)
    if found.kind != "file":
        return Observed(State.DOWN, label=label, blocked=f"{spec['path']} is a {found.kind}, not a file")
    return Observed(State.UP, label=label)


def operations(spec: Spec, seen: Observed, goal: Goal) -> tuple[Operation, ...]:
    if settled(goal, seen):
        return ()
    return (RemoveFile(spec["path"]),) if goal is Goal.DOWN else (WriteFile(spec["path"]),)
