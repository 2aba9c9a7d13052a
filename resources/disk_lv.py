"""disk.lv: one logical volume; up when it is active on this host.

Whose volume group it is, is disk.vg's business: here only LVM's own refusal (a foreign system id)
is told before it happens.
"""

import shlex
from typing import Any, NotRequired, TypedDict

from reconciler.asks import Ask, Facts, Lvm
from reconciler.model import Goal, Observed, State, settled
from reconciler.operations import Operation
from resources.lvm import command, size_words

KIND = "disk.lv"


class Spec(TypedDict):
    name: str
    vg: str
    size: NotRequired[str]
    create_options: str


def asks(spec: Spec) -> tuple[Ask[Any], ...]:
    return (Lvm(),)


def observe(spec: Spec, facts: Facts) -> Observed:
    """Its device name is known before it exists, so what refers to it never waits for the name."""
    report, path = facts.of(Lvm()), _path(spec)
    volume, group = report.volumes.get(path), report.groups.get(spec["vg"])
    provisioned: bool | None = volume is not None
    blocked = ""
    if group is None:
        provisioned, blocked = None, f"volume group {spec['vg']} is not seen here"
    elif group.system_id not in ("", report.system_id):
        blocked = f"volume group {spec['vg']} has the system id of {group.system_id}"
    elif volume is None and not spec.get("size"):
        blocked = f"logical volume {path} does not exist, and no size is given to create it"
    up = volume is not None and volume.active
    return Observed(
        State.UP if up else State.DOWN,
        label=f"lv {path}",
        provisioned=provisioned,
        blocked="" if up else blocked,
        exposes={"exposed_devs": (f"/dev/{path}",)},
    )


def operations(spec: Spec, seen: Observed, goal: Goal) -> tuple[Operation, ...]:
    if settled(goal, seen):
        return ()
    return (command("lvchange", "-a", "n" if goal is Goal.DOWN else "y", _path(spec)),)


def create(spec: Spec, seen: Observed) -> tuple[Operation, ...]:
    """The new volume is wiped of what its extents held before, and left inactive.

    Its space was free, so `-W y` destroys nothing of anybody; not to wipe would let a filesystem
    long deleted look like the one wanted here. Wiping needs it active: lvcreate leaves it so.
    """
    size = spec.get("size")
    if seen.blocked or not size:
        return ()
    options = shlex.split(spec["create_options"])
    make = ("lvcreate", "-y", "-W", "y", "-n", spec["name"], *size_words(size), *options, spec["vg"])
    return (command(*make), command("lvchange", "-a", "n", _path(spec)))


def destroy(spec: Spec, seen: Observed) -> tuple[Operation, ...]:
    """`-f` answers the question only: a volume in use refuses all the same."""
    return (command("lvremove", "-f", _path(spec)),)


def exclusive(spec: Spec) -> tuple[str, ...]:
    return (f"logical volume {_path(spec)}",)


def _path(spec: Spec) -> str:
    return f"{spec['vg']}/{spec['name']}"
