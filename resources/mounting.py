"""A mount that is ours → what is wrong with it, and the operations that bring it up, right or down.

Shared by all drivers that mount. What they have in common:

- What is mounted on our mount point and is not ours is never unmounted to make room: it blocks.
- Options named in `mnt_opt` that the mount table shows are put right by a remount; others take
  effect at the next mount.
- A filesystem that the kernel made read-only, or that answers with an error, is mounted anew
  (after its check): the one repair that also ends what still uses the broken one.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, NotRequired, TypedDict

from reconciler.asks import Ask, Facts, File, FileSeen, Mount, MountHealth, Mounts, Unanswered
from reconciler.model import Goal, Note, Observed, State, info, settled, warning
from reconciler.operations import MakeDirectory, Operation, Unmount
from reconciler.operations import Mount as DoMount
from resources.mount_options import differing, kernel_gave_up, options, read_only
from resources.mount_table import Table, tidy

NONE, OWNER, REMOUNT, ANEW = "", "owner", "remount", "anew"
"""Repairs, each including those before it."""

MOUNTS = Mounts()


class MountSpec(TypedDict):
    """The keywords of everything that is mounted."""

    mnt: str
    mnt_opt: str
    stat_timeout: float  # seconds
    check_read: bool
    user: NotRequired[str]
    group: NotRequired[str]
    perm: NotRequired[str]  # octal text


@dataclass(frozen=True)
class Found:
    """What `observe` found on the mount point, for `operations`.

    target   as the mount table has it.
    layers   from the top down to the lowest mount of ours: is it ours?
    certain  no doubt about that: what uses ours may be ended.
    """

    target: str
    missing: bool = False
    layers: tuple[bool, ...] = ()
    certain: bool = True
    repair: str = NONE


@dataclass(frozen=True)
class Place:
    """The mount point. `obstacle` says why nothing can be mounted there."""

    target: str
    stack: tuple[Mount, ...] = ()
    missing: bool = False
    obstacle: str = ""


@dataclass(frozen=True)
class Flaws:
    """What is wrong with the mount that is seen; `hung` when it does not answer at all."""

    notes: tuple[Note, ...] = ()
    repair: str = NONE
    hung: str = ""


@dataclass(frozen=True)
class Recipe:
    """How a driver mounts: what comes before, the mount itself, what comes after."""

    mount: DoMount
    before: tuple[Operation, ...] = ()
    after: tuple[Operation, ...] = ()
    force: bool = False  # a broken one is unmounted by force: its server is gone


def unresolved(text: str) -> bool:
    """A run-time reference that has no value yet: nothing of that name exists."""
    return "{" in text and "}" in text


def asks(spec: MountSpec, *sources: str) -> tuple[Ask[Any], ...]:
    target = tidy(spec["mnt"])
    return (Mounts.near(target, *sources), File(target), health(spec))


def health(spec: MountSpec) -> MountHealth:
    return MountHealth(tidy(spec["mnt"]), spec["stat_timeout"], spec["check_read"])


def place(spec: MountSpec, table: Table, facts: Facts) -> Place:
    """Look at the mount point itself only when nothing is mounted there: a stat of it may hang."""
    target = tidy(spec["mnt"])
    if stack := table.at(target):
        return Place(target, stack)
    point = facts.of(File(target))
    if point is None:
        return Place(target, missing=True)
    if point.kind != "directory":
        return Place(target, obstacle=f"mount point {target} is a {point.kind}, not a directory")
    real = point.real or target
    return Place(real, table.at(real) if real != target else ())


def flaws(spec: MountSpec, mount: Mount, facts: Facts, owns: bool, extra: tuple[str, ...] = ()) -> Flaws:
    """`owns`: the filesystem is ours, not only this mount of it; `extra` more options that differ."""
    try:
        said = facts.of(health(spec))
    except Unanswered as missing:
        if missing.pending:
            raise
        return Flaws((warning(missing.why),), hung=missing.why)
    if said:
        return Flaws((warning(f"{mount.target} answers: {said}"),), ANEW)
    notes: list[Note] = []
    repair = NONE
    if not read_only(spec["mnt_opt"]) and kernel_gave_up(mount):
        if owns:
            return Flaws((warning("made read-only by the kernel after errors"),), ANEW)
        notes.append(warning("the filesystem beneath it is read-only"))
    differs = (*differing(spec["mnt_opt"], mount), *extra)
    if read_only(spec["mnt_opt"]) != ("ro" in mount.options):
        differs = ("ro" if read_only(spec["mnt_opt"]) else "rw", *differs)
    if differs:
        notes.append(warning(f"mounted without {','.join(differs)}"))
        repair = REMOUNT
    if {"user", "group", "perm"} & spec.keys():
        faults = misowned(spec, facts.of(File(tidy(spec["mnt"]))))
        notes += [warning(fault) for fault in faults]
        repair = repair or (OWNER if faults else NONE)
    return Flaws(tuple(notes), repair)


class Owned(TypedDict, total=False):
    user: str
    group: str
    perm: str


def misowned(spec: Owned | MountSpec, seen: FileSeen | None) -> tuple[str, ...]:
    """How owner and mode differ from what is named; a number is compared as a number."""
    if seen is None:
        return ()
    faults = []
    if (user := spec.get("user")) and user not in (seen.user, str(seen.uid)):
        faults.append(f"owner is {seen.user}, not {user}")
    if (group := spec.get("group")) and group not in (seen.group, str(seen.gid)):
        faults.append(f"group is {seen.group}, not {group}")
    if (perm := spec.get("perm")) and int(perm, 8) != seen.mode:
        faults.append(f"mode is {seen.mode:04o}, not {int(perm, 8):04o}")
    return tuple(faults)


def judged(
    spec: MountSpec,
    shell: Observed,
    where: Place,
    ours: Collection[Mount],
    table: Table,
    facts: Facts,
    *,
    owns: bool = True,
    extra: tuple[str, ...] = (),
    stale: str = "",
    certain: bool = True,
) -> Observed:
    """`shell` filled in for a mount point that holds at least one mount of ours.

    stale  why what is mounted is no longer what is wanted: it is mounted anew.
    """
    top, lowest = where.stack[-1], min(where.stack.index(mount) for mount in ours)
    layers = tuple(mount in ours for mount in reversed(where.stack[lowest:]))
    found = Found(where.target, layers=layers, certain=certain)
    shell = replace(shell, identity=f"{top.id}:{top.device}", data={"found": found})
    visible = table.leads_to(where.target)
    if visible is not None and visible not in where.stack:
        return replace(shell, state=State.WARN, blocked=f"hidden: {describe(visible)}: umount that first")
    if not layers[0]:
        blocked = f"hidden: {describe(top)} over it: umount that first"
        return replace(shell, state=State.WARN, blocked=blocked)
    if stale:
        note, data = warning(stale), {"found": replace(found, repair=ANEW)}
        return replace(shell, state=State.WARN, notes=(*shell.notes, note), data=data)
    seen = flaws(spec, top, facts, owns, extra)
    notes = (*shell.notes, *seen.notes)
    if sum(layers) > 1:
        notes = (*notes, info(f"mounted {sum(layers)} times, one over the other"))
    if seen.hung:
        return replace(shell, state=State.UNKNOWN, notes=notes)
    state = State.WARN if seen.repair else State.UP
    return replace(shell, state=state, notes=notes, data={"found": replace(found, repair=seen.repair)})


def vacant(shell: Observed, where: Place, missing: str = "") -> Observed:
    """`shell` for a mount point that holds nothing of ours; `missing` what there is to mount."""
    blocked = missing or where.obstacle
    if not blocked and where.stack:
        blocked = f"{describe(where.stack[-1])}: umount it or choose another mnt"
    data = {"found": Found(where.target, missing=where.missing)}
    return replace(shell, state=State.DOWN, blocked=blocked, data=data)


def own(spec: Owned | MountSpec, path: str) -> tuple[Operation, ...]:
    """Give the directory its owner and mode; nothing when none is named."""
    named = (spec.get("perm", ""), spec.get("user", ""), spec.get("group", ""))
    return (MakeDirectory(path, *named),) if any(named) else ()


def operations(spec: MountSpec, seen: Observed, goal: Goal, recipe: Recipe) -> tuple[Operation, ...]:
    """What closes the gap. A hung mount is unmounted blindly; nothing else is done on a guess."""
    if settled(goal, seen):
        return ()
    found: Found = seen.data.get("found", Found(tidy(spec["mnt"])))
    if goal is Goal.DOWN:
        if seen.state is State.UNKNOWN and not found.layers:
            return ()
        return _unmounts(found, recipe.force and seen.state is not State.UP) or (Unmount(found.target),)
    owner = own(spec, recipe.mount.target)
    if seen.state is State.WARN and found.repair == OWNER:
        return owner
    if seen.state is State.WARN and found.repair == REMOUNT:
        wanted = recipe.mount.options or "rw"
        if not {"ro", "rw"} & set(options(wanted)):
            wanted = f"rw,{wanted}"
        return (replace(recipe.mount, options=f"remount,{wanted}"), *owner)
    clear = _unmounts(found, recipe.force) if seen.state is State.WARN else ()
    make = (MakeDirectory(recipe.mount.target),) if found.missing else ()
    return (*clear, *make, *recipe.before, recipe.mount, *owner, *recipe.after)


def _unmounts(found: Found, force: bool) -> tuple[Operation, ...]:
    """What lies over ours goes only when nobody uses it."""
    return tuple(
        Unmount(found.target, evict=ours and found.certain, force=ours and force) for ours in found.layers
    )


def exclusive(spec: MountSpec) -> tuple[str, ...]:
    return () if unresolved(spec["mnt"]) else (f"mount point {tidy(spec['mnt'])}",)


def describe(mount: Mount) -> str:
    """A mount that is not ours, for a message."""
    return f"{mount.source} ({mount.fstype}) is mounted on {mount.target}"
