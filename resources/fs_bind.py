"""fs.bind: a directory seen in a second place → a bind mount, told by device and path inside it.

Where the source leads is worked out from the mount table. A bind mount outlives its source: once
the filesystem beneath was unmounted or replaced, what is mounted here is not what the source
shows. That it was ours is remembered until the reboot, so that it is mounted anew, or unmounted on
the way down, while a stranger on our mount point is left alone.
"""

from dataclasses import replace
from typing import Any

from reconciler.asks import Ask, Facts, File, FileSeen, Memory, Mount
from reconciler.model import Goal, Observed, State, unknown
from reconciler.operations import Mount as DoMount
from reconciler.operations import Operation, Remember
from resources import mounting
from resources.mount_options import options
from resources.mount_table import Table, indexed, tidy
from resources.mounting import MountSpec

KIND = "fs.bind"
BOUND = "bound"


class Spec(MountSpec):
    dev: str  # the source directory


def asks(spec: Spec) -> tuple[Ask[Any], ...]:
    source = tidy(spec["dev"])
    return (*mounting.asks(spec, source), File(source), Memory())


def observe(spec: Spec, facts: Facts) -> Observed:
    """Up when mnt shows the very directory that the source path leads to now."""
    mounts = facts.of(mounting.MOUNTS)
    table = indexed(mounts)
    where = mounting.place(spec, table, facts)
    bound = BOUND in facts.of(Memory())
    shell = Observed(State.DOWN, label=f"bind {spec['dev']}@{tidy(spec['mnt'])}")
    if (why := facts.why_not(File(tidy(spec["dev"])))) and bound and where.stack:
        # The source hangs; what was bound to it can still be unmounted.
        found = mounting.Found(where.target, layers=(True,), certain=False)
        return replace(unknown(why, shell.label), data={"found": found})
    source = facts.of(File(tidy(spec["dev"])))
    missing = _missing(spec, source)
    ours = [mount for mount in where.stack if not missing and _shows(mount, spec, source, table)]
    if ours:
        return mounting.judged(spec, shell, where, ours, table, facts, owns=False)
    if bound and where.stack:
        stale = f"mounted, but no longer what {spec['dev']} shows"
        shell = Observed(State.WARN, label=shell.label, blocked=missing)
        ours = [where.stack[-1]]
        return mounting.judged(spec, shell, where, ours, table, facts, stale=stale, certain=False)
    return mounting.vacant(shell, where, missing)


def operations(spec: Spec, seen: Observed, goal: Goal) -> tuple[Operation, ...]:
    words = [word for word in options(spec["mnt_opt"]) if word != "bind"]
    mount = DoMount(tidy(spec["dev"]), tidy(spec["mnt"]), "bind", ",".join(words))
    remember = Remember(BOUND, "1", until="reboot")
    steps = mounting.operations(spec, seen, goal, mounting.Recipe(mount, after=(remember,)))
    return (*steps, Remember(BOUND, None)) if steps and goal is Goal.DOWN else steps


def exclusive(spec: Spec) -> tuple[str, ...]:
    return mounting.exclusive(spec)


def _missing(spec: Spec, source: FileSeen | None) -> str:
    if source is None:
        return f"source {spec['dev']} does not exist"
    if source.kind != "directory":
        return f"source {spec['dev']} is a {source.kind}, not a directory"
    return ""


def _shows(mount: Mount, spec: Spec, source: FileSeen | None, table: Table) -> bool:
    """Same filesystem and same place in it as the source path has now."""
    path = (source.real if source else "") or tidy(spec["dev"])
    under = table.leads_to(path)
    if under is None or under.device != mount.device:
        return False
    inside = path[len(under.target) :] if under.target != "/" else path
    return mount.root == tidy(f"{under.root}/{inside}")
