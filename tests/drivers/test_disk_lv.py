"""Cases of disk.lv."""

from reconciler.asks import Failed, LogicalVolume, Lvm, LvmReport, VolumeGroup
from reconciler.model import State
from tests.drivers.table import Case

KIND = "disk.lv"
SPEC = {"name": "app", "vg": "vg1", "size": "10GiB", "create_options": ""}
UNSIZED = {"name": "app", "vg": "vg1", "create_options": ""}
LATE = {**SPEC, "vg": "{disk#0.exposed_devs[0]}"}
ON, OFF = "lvchange -a y vg1/app", "lvchange -a n vg1/app"


def lvm(active=None, host_id="", **group):
    """A report with vg1; app is in it unless `active` is None."""
    volumes = {} if active is None else {"vg1/app": LogicalVolume("app", "vg1", active)}
    return {Lvm(): LvmReport({"vg1": VolumeGroup("vg1", "uuid-1", **group)}, volumes, {}, host_id)}


def created(size):
    return [f"lvcreate -y -W y -n app {size} vg1", OFF]


CASES = [
    Case(
        "inactive",
        SPEC,
        lvm(False),
        State.DOWN,
        up=[ON],
        down=[],
        label="lv vg1/app",
        notes=(),
        blocked="",
        provisioned=True,
        exposes={"exposed_devs": ("/dev/vg1/app",)},
        destroy=["lvremove -f vg1/app"],
    ),
    Case(
        "active",
        SPEC,
        lvm(True),
        State.UP,
        up=[],
        standby=[],
        down=[OFF],
        provisioned=True,
        exposes={"exposed_devs": ("/dev/vg1/app",)},
    ),
    Case(
        "not created yet: its name is known all the same",
        SPEC,
        lvm(),
        State.DOWN,
        up=[ON],
        down=[],
        blocked="",
        provisioned=False,
        create=created("-L 10g"),
        exposes={"exposed_devs": ("/dev/vg1/app",)},
    ),
    Case(
        "a share of what is free",
        {**SPEC, "size": "100%FREE"},
        lvm(),
        State.DOWN,
        create=created("-l 100%FREE"),
    ),
    Case(
        "a size in LVM's own letters",
        {**SPEC, "size": "1.5t"},
        lvm(),
        State.DOWN,
        create=created("-L 1.5t"),
    ),
    Case(
        "a size in bytes", {**SPEC, "size": "12582912"}, lvm(), State.DOWN, create=created("-L 12582912b")
    ),
    Case("a decimal size", {**SPEC, "size": "10GB"}, lvm(), State.DOWN, create=created("-L 10000000000b")),
    Case(
        "created with options",
        {**SPEC, "create_options": "-i 2 --addtag 'a b'"},
        lvm(),
        State.DOWN,
        create=["lvcreate -y -W y -n app -L 10g -i 2 --addtag 'a b' vg1", OFF],
    ),
    Case(
        "not there, and no size to create it",
        UNSIZED,
        lvm(),
        State.DOWN,
        down=[],
        blocked="vg1/app does not exist, and no size is given",
        provisioned=False,
        create=[],
    ),
    Case(
        "its volume group is not seen: whether it exists cannot be told",
        SPEC,
        {Lvm(): LvmReport({}, {}, {})},
        State.DOWN,
        up=[ON],
        down=[],
        blocked="volume group vg1 is not seen here",
        create=[],
        exposes={"exposed_devs": ("/dev/vg1/app",)},
    ),
    Case(
        "its volume group has another host's system id",
        SPEC,
        lvm(False, host_id="demo1", system_id="demo2"),
        State.DOWN,
        down=[],
        blocked="has the system id of demo2",
    ),
    Case(
        "its volume group has this host's system id",
        SPEC,
        lvm(False, host_id="demo1", system_id="demo1"),
        State.DOWN,
        up=[ON],
        blocked="",
    ),
    Case(
        "active under another host's system id: it can still be let go",
        SPEC,
        lvm(True, host_id="demo1", system_id="demo2"),
        State.UP,
        up=[],
        down=[OFF],
    ),
    Case(
        "a volume group that is not known yet",
        LATE,
        lvm(),
        State.DOWN,
        down=[],
        label="lv {disk#0.exposed_devs[0]}/app",
        blocked="is not seen here",
    ),
    Case(
        "LVM does not answer",
        SPEC,
        {Lvm(): Failed("lvs: timed out")},
        State.UNKNOWN,
        down=[OFF],
        notes=("timed out",),
    ),
]
