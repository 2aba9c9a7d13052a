"""Cases of fs.btrfs: told by the device's names and the subvolume, for its number is its own."""

from reconciler.asks import Block
from reconciler.model import State
from tests.drivers.table import Case
from tests.drivers.worlds import DEV, MNT, device_cases, mounted, spec, world

KIND = "fs.btrfs"
PART = spec(mnt_opt="subvol=app")
BY_ID = spec(mnt_opt="subvolid=256")


def shown(root="/", id=40, **other):
    options = frozenset({"rw", "subvolid=256", f"subvol={root}"})
    return mounted("btrfs", id=id, device="0:45", root=root, super_options=options, **other)


CASES = [
    *device_cases("btrfs", [], "ext4"),
    Case("numbered by itself, named by /dev/mapper", spec(), world(spec(), shown()), State.UP, notes=()),
    Case(
        "named by its own path",
        spec(),
        world(spec(), shown(source=DEV), device=Block("/dev/dm-0", "252:0", 1)),
        State.UP,
    ),
    Case("its subvolume", PART, world(PART, shown("/app")), State.UP, down=[f"umount {MNT}"], notes=()),
    Case("its subvolume by number", BY_ID, world(BY_ID, shown("/app")), State.UP, notes=()),
    Case(
        "another subvolume of the same device is a stranger",
        PART,
        world(PART, shown("/other"), carries="btrfs"),
        State.DOWN,
        blocked="(btrfs) is mounted on /svc1/app: umount it",
    ),
    Case(
        "another subvolume mounted elsewhere is a neighbour",
        PART,
        world(PART, shown("/app"), shown("/data", id=41, target="/svc1/data")),
        State.UP,
        notes=(),
    ),
    Case(
        "a neighbour's mount does not keep it from being down",
        PART,
        world(PART, shown("/data", target="/svc1/data"), carries="btrfs"),
        State.DOWN,
        up=[f"mount -t btrfs -o subvol=app {DEV} {MNT}"],
        down=[],
        blocked="",
    ),
    Case(
        "its own subvolume mounted elsewhere does",
        PART,
        world(PART, shown("/app", target="/mnt")),
        State.WARN,
        blocked="is mounted on /mnt",
    ),
    Case(
        "another btrfs on the mount point",
        spec(),
        world(spec(), shown(source="/dev/sdz"), carries="btrfs"),
        State.DOWN,
        blocked="/dev/sdz (btrfs) is mounted on /svc1/app",
    ),
]
