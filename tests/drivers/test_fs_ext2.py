"""Cases of fs.ext2: what all filesystems on devices have in common, and which forms it takes."""

from reconciler.model import State
from tests.drivers.table import Case
from tests.drivers.worlds import DEV, device_cases, spec, world

KIND = "fs.ext2"
CASES = [
    *device_cases("ext2", [f"e2fsck -p {DEV}"], "ext4"),
    Case(
        "an ext3 filesystem has a journal",
        spec(),
        world(spec(), carries="ext3"),
        State.DOWN,
        blocked="carries",
    ),
]
