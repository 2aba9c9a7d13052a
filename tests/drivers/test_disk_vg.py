"""Cases of disk.vg."""

from dataclasses import replace

from reconciler.asks import (
    Block,
    BlockDevice,
    Facts,
    Failed,
    LogicalVolume,
    Lvm,
    LvmReport,
    Memory,
    Node,
    NodeSeen,
    Signature,
    Signatures,
    VolumeGroup,
)
from reconciler.model import Goal, State
from resources import disk_vg
from tests.drivers.table import Case

KIND = "disk.vg"
SPEC = {"name": "vg1", "pvs": (), "options": "", "other_tags": ()}
MAKES = {**SPEC, "pvs": ("/dev/sdb",)}
LATE = "{disk#0.exposed_devs[0]}"
ME = NodeSeen("demo1", "boot", {})
BLANK = {BlockDevice("/dev/sdb"): Block("/dev/sdb", "8:16", 1 << 30), Signatures("/dev/sdb"): Signature()}
GONE = {BlockDevice("/dev/sdb"): None, Signatures("/dev/sdb"): None}

ACTIVATE = ("vgchange -a y vg1", "# remember activated=1 until reboot")
DEACTIVATE, FORGET = "vgchange -a n vg1", "# forget activated"
TAG, UNTAG = "vgchange --addtag @demo1 vg1", "vgchange --deltag @demo1 vg1"
SET_ID, CLEAR_ID = "vgchange -y --systemid demo1 vg1", "vgchange -y --systemid '' vg1"


def lvm(*tags, active=(), volumes=("app", "data"), host_id="", physical=None, memory=None, **group):
    """A report with vg1, tagged so, of which so many volumes are active."""
    found = VolumeGroup("vg1", "uuid-1", frozenset(tags), volumes=volumes, devices=("/dev/sdb",), **group)
    made = {f"vg1/{name}": LogicalVolume(name, "vg1", name in active) for name in volumes}
    return {
        Lvm(): LvmReport({"vg1": found}, made, physical or {"/dev/sdb": "vg1"}, host_id),
        Node(): ME,
        Memory(): memory or {},
    }


def without(physical=None, host_id=""):
    return {Lvm(): LvmReport({}, {}, physical or {}, host_id), Node(): ME, Memory(): {}}


CASES = [
    Case(
        "free",
        SPEC,
        lvm(),
        State.DOWN,
        up=[TAG, *ACTIVATE],
        down=[],
        label="vg vg1",
        notes=(),
        blocked="",
        provisioned=True,
        destroy=["vgremove vg1"],
    ),
    Case(
        "ours and active",
        SPEC,
        lvm("demo1", active=("app", "data")),
        State.UP,
        up=[],
        standby=[],
        down=[DEACTIVATE, UNTAG, FORGET],
        notes=(),
        exposes={"exposed_devs": ("/dev/vg1/app", "/dev/vg1/data"), "sub_devs": ("/dev/sdb",)},
    ),
    Case(
        "ours, one of two active: up, and told",
        SPEC,
        lvm("demo1", active=("app",)),
        State.UP,
        up=[],
        down=[DEACTIVATE, UNTAG, FORGET],
        notes=("not active: data",),
    ),
    Case(
        "ours without a volume to activate",
        SPEC,
        lvm("demo1", volumes=()),
        State.UP,
        up=[],
        down=[DEACTIVATE, UNTAG, FORGET],
        notes=(),
    ),
    Case(
        "the tag outlived a crash: to be activated, or to be cleared",
        SPEC,
        lvm("demo1"),
        State.WARN,
        up=[*ACTIVATE],
        down=[DEACTIVATE, UNTAG, FORGET],
        notes=("tagged for this host, but not activated since it booted",),
        left=True,
    ),
    Case(
        "volumes taken down one by one, or created meanwhile, leave it up",
        SPEC,
        lvm("demo1", memory={"activated": "1"}),
        State.UP,
        up=[],
        down=[DEACTIVATE, UNTAG, FORGET],
        notes=("not active: app, data",),
    ),
    Case(
        "untagged and let go behind our back",
        SPEC,
        lvm(memory={"activated": "1"}),
        State.DOWN,
        up=[TAG, *ACTIVATE],
        down=[],
    ),
    Case(
        "cannot read what is remembered",
        SPEC,
        {**lvm("demo1"), Memory(): Failed("store is away")},
        State.UNKNOWN,
    ),
    Case(
        "activated by somebody else, at boot: without our tag",
        SPEC,
        lvm(active=("app",)),
        State.WARN,
        up=[TAG, *ACTIVATE],
        down=[DEACTIVATE, FORGET],
        notes=("app active here, without this host's tag",),
    ),
    Case(
        "another host's tag",
        SPEC,
        lvm("demo2"),
        State.ELSEWHERE,
        # Asked for only when that mark is stale: in one command, so that it is never nobody's.
        up=["vgchange --deltag @demo2 --addtag @demo1 vg1", *ACTIVATE],
        down=[],
        holder="demo2",
        notes=(),
    ),
    Case(
        "tags of several other hosts",
        SPEC,
        lvm("demo3", "demo2"),
        State.ELSEWHERE,
        up=["vgchange --deltag @demo2 --deltag @demo3 --addtag @demo1 vg1", *ACTIVATE],
        down=[],
        holder="demo2, demo3",  # which is no host: nobody's session says that it is over
        notes=("several hosts: demo2, demo3",),
    ),
    Case(
        "ours and another's, inactive here: it may be active there",
        SPEC,
        lvm("demo1", "demo2"),
        State.ELSEWHERE,
        up=["vgchange --deltag @demo2 vg1", *ACTIVATE],
        down=[],
        holder="demo2",
    ),
    Case(
        "ours and another's, active here: only a person may take the other tag away",
        SPEC,
        lvm("demo1", "demo2", active=("app", "data")),
        State.UP,
        up=[],
        down=[DEACTIVATE, UNTAG, FORGET],
        notes=("also tagged for demo2", "`vgchange --deltag @demo2 vg1`"),
    ),
    Case(
        "active here under another host's tag: let go first, in either direction",
        SPEC,
        lvm("demo2", active=("app",)),
        State.WARN,
        up=[DEACTIVATE],
        down=[DEACTIVATE, FORGET],
        notes=("app active here, but marked for demo2",),
        holder="",
    ),
    Case(
        "a tag that is no host's",
        {**SPEC, "other_tags": ("ssd",)},
        lvm("ssd"),
        State.DOWN,
        up=[TAG, *ACTIVATE],
        down=[],
        notes=(),
    ),
    Case(
        "this host has a system id: the group gets it before it is active",
        SPEC,
        lvm(host_id="demo1"),
        State.DOWN,
        up=[SET_ID, TAG, *ACTIVATE],
        down=[],
    ),
    Case(
        "up with tag and system id",
        SPEC,
        lvm("demo1", active=("app", "data"), host_id="demo1", system_id="demo1"),
        State.UP,
        up=[],
        down=[DEACTIVATE, UNTAG, CLEAR_ID, FORGET],
        notes=(),
    ),
    Case(
        "our system id on a group that is not in use would bar other hosts",
        SPEC,
        lvm(host_id="demo1", system_id="demo1"),
        State.WARN,
        up=[TAG, *ACTIVATE],
        down=[DEACTIVATE, CLEAR_ID, FORGET],
        notes=("this host's system id",),
        left=True,
    ),
    Case(
        "active without tag: LVM cannot change a system id now",
        SPEC,
        lvm(active=("app",), host_id="demo1"),
        State.WARN,
        up=[TAG, *ACTIVATE],
        down=[DEACTIVATE, FORGET],
    ),
    Case(
        "another host's system id, taken over once it is stale",
        SPEC,
        lvm("demo2", host_id="demo1", system_id="demo2"),
        State.ELSEWHERE,
        up=[
            "vgchange -y --config 'local/extra_system_ids=[\"demo2\"]' --systemid demo1 vg1",
            "vgchange --deltag @demo2 --addtag @demo1 vg1",
            *ACTIVATE,
        ],
        down=[],
        blocked="",
        holder="demo2",
    ),
    Case(
        "another host's system id, and no tag",
        SPEC,
        lvm(host_id="demo1", system_id="lab-17"),
        State.ELSEWHERE,
        down=[],
        holder="lab-17",
    ),
    Case(
        "another host's system id where this host has none: LVM would refuse",
        SPEC,
        lvm(system_id="demo2"),
        State.ELSEWHERE,
        down=[],
        holder="demo2",
        blocked="has the system id demo2, and this host has none",
    ),
    Case(
        "a device of it is missing",
        SPEC,
        lvm(partial=True),
        State.DOWN,
        up=[TAG, *ACTIVATE],
        notes=("incomplete",),
    ),
    Case(
        "up, and a device of it is missing",
        SPEC,
        lvm("demo1", active=("app",), volumes=("app",), partial=True),
        State.UP,
        up=[],
        notes=("incomplete",),
    ),
    Case(
        "exported", SPEC, lvm(exported=True), State.DOWN, down=[], blocked="vg1 is exported: `vgimport vg1`"
    ),
    Case(
        "not seen, and never to be created",
        SPEC,
        without(),
        State.DOWN,
        down=[],
        blocked="volume group vg1 is not seen here, and no pvs are given",
        create=[],
    ),
    Case(
        "not created yet, on a blank device",
        {**MAKES, "options": "-s 16m"},
        {**without(), **BLANK},
        State.DOWN,
        up=[TAG, *ACTIVATE],
        down=[],
        blocked="",
        provisioned=False,
        create=["pvcreate /dev/sdb", "vgcreate --setautoactivation n -s 16m vg1 /dev/sdb"],
    ),
    Case(
        "created on a host with a system id: without it, like any stopped one",
        MAKES,
        {**without(host_id="demo1"), **BLANK},
        State.DOWN,
        up=[SET_ID, TAG, *ACTIVATE],
        provisioned=False,
        create=["pvcreate /dev/sdb", "vgcreate --setautoactivation n --systemid '' vg1 /dev/sdb"],
    ),
    Case(
        "its creation ended half-way: the device is a physical volume of nobody",
        MAKES,
        {**without({"/dev/sdb": ""}), **BLANK, Signatures("/dev/sdb"): Signature("LVM2_member", "raid")},
        State.DOWN,
        blocked="",
        provisioned=False,
        create=["vgcreate --setautoactivation n vg1 /dev/sdb"],
    ),
    Case(
        "the device belongs to another group",
        MAKES,
        {**without({"/dev/sdb": "vg9"}), **BLANK},
        State.DOWN,
        down=[],
        blocked="/dev/sdb belongs to volume group vg9",
        provisioned=False,
        create=[],
    ),
    Case(
        "the device carries a filesystem: nothing is written",
        MAKES,
        {**without(), **BLANK, Signatures("/dev/sdb"): Signature("xfs", "filesystem")},
        State.DOWN,
        down=[],
        blocked="/dev/sdb carries xfs",
        provisioned=False,
        create=[],
    ),
    Case(
        "the device is a physical volume that LVM does not list",
        MAKES,
        {**without(), **BLANK, Signatures("/dev/sdb"): Signature("LVM2_member", "raid")},
        State.DOWN,
        blocked="/dev/sdb carries LVM2_member",
        create=[],
    ),
    Case(
        "the device vanished: whether it was ever created cannot be told",
        MAKES,
        {**without(), **GONE},
        State.DOWN,
        down=[],
        blocked="device /dev/sdb does not exist",
        create=[],
    ),
    Case(
        "on a device that is not known yet",
        {**SPEC, "pvs": (LATE,)},
        {**without(), BlockDevice(LATE): None, Signatures(LATE): None},
        State.DOWN,
        up=[TAG, *ACTIVATE],
        down=[],
        blocked="does not exist",
    ),
    Case(
        "LVM does not answer",
        SPEC,
        {Lvm(): Failed("vgs: timed out"), Node(): ME, Memory(): {}},
        State.UNKNOWN,
        up=[],
        down=[DEACTIVATE],
    ),
    Case(
        "cannot look at what the device carries",
        MAKES,
        {**without(), **BLANK, Signatures("/dev/sdb"): Failed("blkid: I/O error")},
        State.UNKNOWN,
        notes=("I/O error",),
    ),
]


def test_without_a_session_its_tag_stays():
    """It may be that of another host of this name, or be written by whoever succeeds this one."""
    case = next(case for case in CASES if case.name.startswith("volumes taken down"))
    seen = replace(disk_vg.observe(case.spec, Facts(case.answers.__getitem__)), may_mark=False)
    stopped = disk_vg.operations(case.spec, seen, Goal.DOWN)
    assert [str(operation) for operation in stopped] == [DEACTIVATE, FORGET]
