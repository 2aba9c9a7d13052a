"""Cases of fs.xfs: no check before a mount."""

from reconciler.model import State
from tests.drivers.table import Case
from tests.drivers.worlds import DEV, MNT, device_cases, mounted, spec, world

KIND = "fs.xfs"
SHUT = spec(mnt_opt="noatime")
CASES = [
    *device_cases("xfs", [], "ext4"),
    Case(
        "shut down after an error, its statfs still answering: the read tells",
        SHUT,
        world(SHUT, mounted("xfs", options=frozenset({"rw", "noatime"})), health="Input/output error"),
        State.WARN,
        up=[f"umount {MNT}", f"mount -t xfs -o noatime {DEV} {MNT}"],
    ),
]
