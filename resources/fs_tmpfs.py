"""fs.tmpfs: a filesystem in memory → mounted; a changed size is put right without unmounting.

What it holds is gone when it goes down: there is nothing to provision.
"""

from typing import Any

from reconciler.asks import Ask, Facts, Mount
from reconciler.model import Goal, Observed, State
from reconciler.operations import Mount as DoMount
from reconciler.operations import Operation
from resources import mounting
from resources.mount_options import options
from resources.mount_table import indexed, tidy
from resources.mounting import MountSpec

KIND = "fs.tmpfs"
PAGE = 4096
UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class Spec(MountSpec):
    dev: str


def asks(spec: Spec) -> tuple[Ask[Any], ...]:
    return mounting.asks(spec)


def observe(spec: Spec, facts: Facts) -> Observed:
    """Up when a tmpfs of our name is mounted on mnt as wanted."""
    mounts = facts.of(mounting.MOUNTS)
    table = indexed(mounts)
    where = mounting.place(spec, table, facts)
    shell = Observed(State.DOWN, label=f"tmpfs {tidy(spec['mnt'])}")
    ours = [m for m in where.stack if m.fstype == "tmpfs" and m.source == spec["dev"] and m.root == "/"]
    if not ours:
        return mounting.vacant(shell, where)
    extra = _resized(spec["mnt_opt"], where.stack[-1])
    return mounting.judged(spec, shell, where, ours, table, facts, extra=extra)


def operations(spec: Spec, seen: Observed, goal: Goal) -> tuple[Operation, ...]:
    mount = DoMount(spec["dev"], tidy(spec["mnt"]), "tmpfs", spec["mnt_opt"])
    return mounting.operations(spec, seen, goal, mounting.Recipe(mount))


def exclusive(spec: Spec) -> tuple[str, ...]:
    return mounting.exclusive(spec)


def _resized(wanted: str, mount: Mount) -> tuple[str, ...]:
    """The size option, if the kernel has another one; a percentage cannot be compared."""
    sizes = [word for word in options(wanted) if word.startswith("size=")]
    shown = [word for word in mount.super_options if word.startswith("size=")]
    if not sizes or not shown or (want := _bytes(sizes[-1])) is None or (have := _bytes(shown[0])) is None:
        return ()
    return () if -(-want // PAGE) == -(-have // PAGE) else (sizes[-1],)


def _bytes(option: str) -> int | None:
    text = option.removeprefix("size=").lower()
    number, unit = (text[:-1], UNITS[text[-1]]) if text[-1:] in UNITS else (text, 1)
    return int(number) * unit if number.isdecimal() else None
