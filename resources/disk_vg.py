"""disk.vg: a volume group that one host at a time has active, marked with that host's tag.

The mark is on the disks, so it outlives the host that set it. Up is: this host's tag, on a group
that was activated since this boot (a volume is active, or it is remembered; which of them are active
later on is disk.lv's business). Down is: neither the tag nor anything active. One without the other
is warn, and is repaired in the direction that is wanted. A tag is only a word to LVM, which would
still activate the group elsewhere; where this host uses system ids (lvm.conf), the group also
carries its system id while it is up, and LVM itself refuses other hosts.

A group marked for another host is `elsewhere`. Steps up from there, which the engine asks for only
when that mark is stale, take the marks over. Active here under another host's mark, it is let go
first: only then does the mark tell the truth.
"""

import shlex
from collections.abc import Mapping
from typing import Any, TypedDict

from reconciler.asks import Ask, BlockDevice, Facts, Lvm, LvmReport, Memory, Node, Signatures, VolumeGroup
from reconciler.model import Goal, Note, Observed, State, info, settled, warning
from reconciler.operations import Operation, Remember
from resources.lvm import Marks, command, marks

KIND = "disk.vg"
ACTIVATED = Remember("activated", "1", until="reboot")
RELEASED = Remember("activated", None)


class Spec(TypedDict):
    name: str
    pvs: tuple[str, ...]
    options: str
    other_tags: tuple[str, ...]


def asks(spec: Spec) -> tuple[Ask[Any], ...]:
    devices = (ask for pv in spec["pvs"] for ask in (BlockDevice(pv), Signatures(pv)))
    return (Lvm(), Node(), Memory(), *devices)


def observe(spec: Spec, facts: Facts) -> Observed:
    report, node = facts.of(Lvm()), facts.of(Node()).name
    group = report.groups.get(spec["name"])
    if group is None:
        return _missing(spec, facts, report, node)
    found = marks(group, report, node, spec["other_tags"])
    active = tuple(name for name in group.volumes if _is_active(report, group, name))
    activated = bool(active) or not group.volumes or "activated" in facts.of(Memory())
    state, notes = _judge(group, found, active, activated)
    blocked = f"{group.name} is exported: `vgimport {group.name}` makes it usable" if group.exported else ""
    if found.other_id and not report.system_id:
        blocked = f"{group.name} has the system id {found.other_id}, and this host has none (lvm.conf)"
    return Observed(
        state,
        label=f"vg {spec['name']}",
        notes=notes,
        provisioned=True,
        blocked="" if state is State.UP else blocked,
        holder=found.holder if state is State.ELSEWHERE else "",
        exposes={
            "exposed_devs": tuple(f"/dev/{group.name}/{name}" for name in group.volumes),
            "sub_devs": group.devices,
        },
        identity=group.uuid if state is State.UP else "",
        left=state is State.WARN and not active,
        data={"node": node, "local_id": report.system_id, "marks": found, "active": active},
    )


def _is_active(report: LvmReport, group: VolumeGroup, name: str) -> bool:
    volume = report.volumes.get(f"{group.name}/{name}")
    return volume is not None and volume.active


def _judge(
    group: VolumeGroup, found: Marks, active: tuple[str, ...], activated: bool
) -> tuple[State, tuple[Note, ...]]:
    """What marks and activation make together."""
    notes = [warning("incomplete: some of its devices are missing")] if group.partial else []
    here = f"{', '.join(active)} active here"
    if found.holder and not active:
        if len(found.tags) > 1:
            notes.append(warning(f"tagged for several hosts: {', '.join(found.tags)}"))
        state = State.ELSEWHERE
    elif found.holder and not (found.tagged and not found.other_id):
        notes.append(warning(f"{here}, but marked for {found.holder}"))
        state = State.WARN
    elif found.tagged and activated:
        if found.tags:
            untag = " ".join(f"--deltag @{tag}" for tag in found.tags)
            notes.append(
                warning(f"also tagged for {', '.join(found.tags)}: once no host of that name uses it,")
            )
            notes.append(warning(f"`vgchange {untag} {group.name}`"))
        idle = [name for name in group.volumes if name not in active]
        if idle:
            notes.append(info(f"not active: {', '.join(idle)}"))
        state = State.UP
    elif found.tagged:
        notes.append(warning("tagged for this host, but not activated since it booted"))
        state = State.WARN
    elif active:
        notes.append(warning(f"{here}, without this host's tag"))
        state = State.WARN
    elif found.own_id:
        notes.append(warning("has this host's system id, but nothing of it is active"))
        state = State.WARN
    else:
        state = State.DOWN
    return state, tuple(notes)


def _missing(spec: Spec, facts: Facts, report: LvmReport, node: str) -> Observed:
    """Not there: never created, or on devices that are not. Only with all of them can one tell."""
    name, pvs = spec["name"], spec["pvs"]
    blocked, blank = "", []
    devices = {pv: facts.of(BlockDevice(pv)) for pv in pvs}
    absent = [pv for pv, device in devices.items() if device is None]
    if not pvs:
        blocked = f"volume group {name} is not seen here, and no pvs are given to create it on"
    elif absent:
        blocked = f"device {', '.join(absent)} does not exist"
    else:
        for pv, device in devices.items():
            owner = report.physical.get(device.path if device else pv, report.physical.get(pv))
            if owner:
                blocked = f"{pv} belongs to volume group {owner}"
            elif owner is None:
                blank.append(pv)
                blocked = blocked or _occupied(pv, facts)
    return Observed(
        State.DOWN,
        label=f"vg {name}",
        provisioned=None if absent or not pvs else False,
        blocked=blocked,
        data={
            "node": node,
            "local_id": report.system_id,
            "marks": Marks(False),
            "active": (),
            "blank": pvs if absent else tuple(blank),
        },
    )


def _occupied(pv: str, facts: Facts) -> str:
    signature = facts.of(Signatures(pv))
    if signature is None:
        return f"device {pv} does not exist"
    if signature.kind:
        return f"{pv} carries {signature.kind}: nothing is written on a device that carries a signature"
    return ""


def operations(spec: Spec, seen: Observed, goal: Goal) -> tuple[Operation, ...]:
    if settled(goal, seen):
        return ()
    release = command("vgchange", "-a", "n", spec["name"])
    if not seen.data:  # not seen at all: letting go is safe to repeat blindly, taking is not
        return (release,) if goal is Goal.DOWN else ()
    found: Marks = seen.data["marks"]
    active: tuple[str, ...] = seen.data["active"]
    if goal is Goal.DOWN:
        unmark = _unmark(spec["name"], seen.data, found) if seen.may_mark else ()
        return (release, *unmark, RELEASED)
    if seen.state is State.DOWN:  # also when that is only foreseen: nothing of ours is left on it
        found, active = found if found.holder else Marks(False), ()
    if found.holder and active:
        return (release,)
    marking = _mark(spec["name"], seen.data, found, can_change_id=not active)
    return (*marking, command("vgchange", "-a", "y", spec["name"]), ACTIVATED)


def _mark(name: str, data: Mapping[str, Any], found: Marks, can_change_id: bool) -> tuple[Operation, ...]:
    """The system id first: as long as it is another host's, LVM refuses everything else."""
    steps: list[Operation] = []
    local = data["local_id"]
    if found.other_id:
        allow = f'local/extra_system_ids=["{found.other_id}"]'
        steps.append(command("vgchange", "-y", "--config", allow, "--systemid", local, name))
    elif local and not found.own_id and can_change_id:
        steps.append(command("vgchange", "-y", "--systemid", local, name))
    remove = [word for tag in found.tags for word in ("--deltag", f"@{tag}")]
    add = [] if found.tagged else ["--addtag", f"@{data['node']}"]
    if remove or add:  # one command: no instant without an owner, none with two
        steps.append(command("vgchange", *remove, *add, name))
    return tuple(steps)


def _unmark(name: str, data: Mapping[str, Any], found: Marks) -> tuple[Operation, ...]:
    steps: list[Operation] = []
    if found.tagged:
        steps.append(command("vgchange", "--deltag", f"@{data['node']}", name))
    if found.own_id:
        steps.append(command("vgchange", "-y", "--systemid", "", name))
    return tuple(steps)


def create(spec: Spec, seen: Observed) -> tuple[Operation, ...]:
    """pvcreate on what is blank, then vgcreate; unmarked and inactive, as a stopped one is.

    Without `--setautoactivation n` udev would activate it on every host that sees its disks.
    """
    if seen.blocked or not spec["pvs"]:
        return ()
    blank = seen.data.get("blank", spec["pvs"])
    no_id = ("--systemid", "") if seen.data.get("local_id") else ()
    return (
        *(command("pvcreate", pv, blank=pv) for pv in spec["pvs"] if pv in blank),
        command(
            "vgcreate",
            "--setautoactivation",
            "n",
            *no_id,
            *shlex.split(spec["options"]),
            spec["name"],
            *spec["pvs"],
        ),
    )


def destroy(spec: Spec, seen: Observed) -> tuple[Operation, ...]:
    """Without force: a group that still has volumes refuses."""
    return (command("vgremove", spec["name"]),)


def exclusive(spec: Spec) -> tuple[str, ...]:
    return (f"volume group {spec['name']}",)
