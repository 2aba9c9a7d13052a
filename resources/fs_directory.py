"""fs.directory: a directory with its owner and mode → made when a service starts, never removed.

It is `n/a` once it is as wanted: there is nothing to stop, so it takes no side in the state of the
service and never waits to be "down". Missing, or with another owner or mode than named, it is down
until a start puts it right, and while the service runs that is repaired like any drift. A directory
holds data, so neither a stop nor an unprovision removes it.
"""

from typing import Any, NotRequired, TypedDict

from reconciler.asks import Ask, Facts, File
from reconciler.model import Goal, Observed, State, settled, warning
from reconciler.operations import MakeDirectory, Operation
from resources import mounting
from resources.mount_table import tidy

KIND = "fs.directory"


class Spec(TypedDict):
    path: str
    user: NotRequired[str]
    group: NotRequired[str]
    perm: NotRequired[str]  # octal text


def asks(spec: Spec) -> tuple[Ask[Any], ...]:
    return (File(tidy(spec["path"])),)


def observe(spec: Spec, facts: Facts) -> Observed:
    """n/a when there and right, down when not; something else of that name is in the way."""
    path = tidy(spec["path"])
    label = f"directory {path}"
    if mounting.unresolved(path):
        return Observed(State.DOWN, label=label, blocked=f"{path} has no value yet")
    found = facts.of(File(path))
    if found is None:
        return Observed(State.DOWN, label=label)
    if found.kind != "directory":
        return Observed(State.DOWN, label=label, blocked=f"{path} is a {found.kind}, not a directory")
    faults = mounting.misowned(spec, found)
    state = State.DOWN if faults else State.NA
    return Observed(state, label=label, notes=tuple(warning(fault) for fault in faults))


def operations(spec: Spec, seen: Observed, goal: Goal) -> tuple[Operation, ...]:
    """Nothing on the way down, whatever was seen."""
    if settled(goal, seen) or goal is Goal.DOWN:
        return ()
    path = tidy(spec["path"])
    return (MakeDirectory(path, spec.get("perm", ""), spec.get("user", ""), spec.get("group", "")),)
