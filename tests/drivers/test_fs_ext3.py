"""Cases of fs.ext3: what all filesystems on devices have in common, and which forms it takes."""

from reconciler.model import State
from tests.drivers.table import Case
from tests.drivers.worlds import DEV, device_cases, spec, world

KIND = "fs.ext3"
CASES = [
    *device_cases("ext3", [f"e2fsck -p {DEV}"], "LVM2_member"),
    Case(
        "an ext2 filesystem has no journal",
        spec(),
        world(spec(), carries="ext2"),
        State.DOWN,
        blocked="carries",
    ),
]
