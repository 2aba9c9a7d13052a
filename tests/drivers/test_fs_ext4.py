"""Cases of fs.ext4, and with them all that filesystems on devices have in common."""

from dataclasses import replace

from reconciler.asks import Block, Failed, FileSeen
from reconciler.model import State
from tests.drivers.table import Case
from tests.drivers.worlds import BLOCK, DEV, DIRECTORY, MNT, RW, device_cases, mounted, spec, world

KIND = "fs.ext4"
CHECK = f"e2fsck -p {DEV}"
MOUNT = f"mount -t ext4 {DEV} {MNT}"
UMOUNT = f"umount {MNT}"
PLAIN = spec()
OURS = mounted()
LABELLED = spec(dev="LABEL=app")
OWNED = spec(user="app", group="1000", perm="0750")
NOATIME = spec(mnt_opt="noatime,nosuid")
READ_ONLY = spec(mnt_opt="ro")
COVER = mounted("tmpfs", id=41, parent=40, device="0:50", source="tmpfs")

CASES = [
    *device_cases(KIND.removeprefix("fs."), [CHECK], "xfs"),
    # --- the mount point
    Case(
        "the mount point is missing: made first",
        PLAIN,
        world(PLAIN, point=None),
        State.DOWN,
        up=[f"mkdir -p {MNT}", CHECK, MOUNT],
    ),
    Case(
        "the mount point is a file",
        PLAIN,
        world(PLAIN, point=FileSeen("file", 0o644, "root", "root")),
        State.DOWN,
        blocked="mount point /svc1/app is a file, not a directory",
        down=[],
    ),
    Case(
        "the mount point cannot be looked at",
        PLAIN,
        world(PLAIN, point=Failed("/svc1 did not answer within 5 s")),
        State.UNKNOWN,
    ),
    Case(
        "mnt with a trailing slash is the same place",
        spec(mnt=f"{MNT}/"),
        world(spec(mnt=f"{MNT}/"), OURS),
        State.UP,
        down=[UMOUNT],
    ),
    Case(
        "the way to the mount point is a symlink",
        spec(mnt="/srv/app"),
        world(spec(mnt="/srv/app"), OURS, point=DIRECTORY),
        State.UP,
        down=[UMOUNT],
    ),
    Case(
        "given by its label, mounted by its path",
        LABELLED,
        world(LABELLED, mounted(source="/dev/sdb1", device="8:17"), device=Block("/dev/sdb1", "8:17", 1)),
        State.UP,
    ),
    Case(
        "given by its label: made and wiped by its path",
        LABELLED,
        world(LABELLED, device=Block("/dev/sdb1", "8:17", 1), carries=""),
        State.DOWN,
        up=["e2fsck -p LABEL=app", f"mount -t ext4 LABEL=app {MNT}"],
        create=["mkfs.ext4 -q /dev/sdb1"],
        destroy=["wipefs -a /dev/sdb1"],
    ),
    # --- what else is mounted
    Case(
        "also mounted elsewhere: worth a word",
        PLAIN,
        world(PLAIN, OURS, mounted(id=42, target="/jail/app")),
        State.UP,
        notes=("also mounted on /jail/app",),
        down=[UMOUNT],
    ),
    Case(
        "mounted elsewhere instead: not down, for another host could not mount it safely",
        PLAIN,
        world(PLAIN, mounted(target="/mnt")),
        State.WARN,
        notes=("is mounted on /mnt instead",),
        blocked="/dev/vgsvc1/app is mounted on /mnt: umount it there",
        down=[UMOUNT],
        destroy=[],
        create=[],
    ),
    Case(
        "only directories of it are shown elsewhere: mounted again, but not checked while it is in use",
        PLAIN,
        world(PLAIN, mounted(target="/public", root="/sub")),
        State.WARN,
        notes=("is mounted on /public instead",),
        blocked="",
        up=[MOUNT],
        down=[UMOUNT],
        destroy=[],
        create=[],
    ),
    Case(
        "only a part of it is mounted here, by somebody's bind",
        PLAIN,
        world(PLAIN, mounted(root="/sub")),
        State.WARN,
        blocked="/svc1/app: umount it",
    ),
    Case(
        "something was mounted over it: it goes first, unless it is used",
        PLAIN,
        world(PLAIN, OURS, COVER),
        State.WARN,
        blocked="hidden: tmpfs (tmpfs) is mounted on /svc1/app over it",
        down=[UMOUNT, UMOUNT],
    ),
    Case(
        "mounted twice on one place",
        PLAIN,
        world(PLAIN, OURS, mounted(id=41, parent=40)),
        State.UP,
        notes=("mounted 2 times",),
        down=[UMOUNT, UMOUNT],
    ),
    Case(
        "mounted over a stranger, who stays",
        PLAIN,
        world(PLAIN, replace(COVER, id=39, parent=1), mounted(parent=39)),
        State.UP,
        down=[UMOUNT],
    ),
    Case(
        "hidden by a mount on the directory above",
        PLAIN,
        world(PLAIN, OURS, mounted("tmpfs", id=41, device="0:50", source="tmpfs", target="/svc1")),
        State.WARN,
        blocked="hidden: tmpfs (tmpfs) is mounted on /svc1",
    ),
    Case(
        "mounted as another type of the family",
        PLAIN,
        world(PLAIN, mounted("ext3")),
        State.UP,
        notes=("mounted as ext3, not ext4",),
    ),
    Case(
        "mounted from a device that has come back under another number",
        PLAIN,
        world(PLAIN, mounted(device="252:7")),
        State.WARN,
        notes=("mounted from an earlier /dev/vgsvc1/app (252:7, now 252:0)",),
        up=[UMOUNT, CHECK, MOUNT],
        down=[UMOUNT],
    ),
    # --- the device
    Case(
        "an ext3 filesystem serves as well",
        PLAIN,
        world(PLAIN, carries="ext3"),
        State.DOWN,
        provisioned=True,
        blocked="",
        create=[],
    ),
    Case(
        "a device that cannot be read is down all the same",
        PLAIN,
        world(PLAIN, carries=Failed("Input/output error")),
        State.DOWN,
        blocked="cannot read /dev/vgsvc1/app: Input/output error",
        down=[],
    ),
    Case("cannot look for the device", PLAIN, world(PLAIN, device=Failed("blkid hangs")), State.UNKNOWN),
    Case(
        "the device vanished while it was looked at",
        PLAIN,
        world(PLAIN, carries=None),
        State.DOWN,
        blocked="does not exist",
        create=[f"mkfs.ext4 -q {DEV}"],
    ),
    Case(
        "write-protected",
        PLAIN,
        world(PLAIN, device=replace(BLOCK, readonly=True)),
        State.DOWN,
        blocked="write-protected: `blockdev --setrw",
        up=[MOUNT],
    ),
    Case(
        "write-protected and wanted read-only: mounted without a check",
        READ_ONLY,
        world(READ_ONLY, device=replace(BLOCK, readonly=True)),
        State.DOWN,
        blocked="",
        up=[f"mount -t ext4 -o ro {DEV} {MNT}"],
    ),
    Case(
        "mounted, and write-protected since: a remount would not help",
        PLAIN,
        world(PLAIN, mounted(options=frozenset({"ro"})), device=replace(BLOCK, readonly=True)),
        State.WARN,
        blocked="write-protected",
        down=[UMOUNT],
    ),
    Case(
        "made with the options named",
        spec(mkfs_opt="-L 'my app' -m 0"),
        world(spec(mkfs_opt="-L 'my app' -m 0"), carries=""),
        State.DOWN,
        create=[f"mkfs.ext4 -q -L 'my app' -m 0 {DEV}"],
    ),
    # --- options
    Case(
        "read-only by the kernel's doing: checked and mounted anew",
        PLAIN,
        world(PLAIN, mounted(super_options=frozenset({"rw", "errors=remount-ro", "emergency_ro"}))),
        State.WARN,
        notes=("made read-only by the kernel after errors",),
        up=[UMOUNT, CHECK, MOUNT],
        down=[UMOUNT],
    ),
    Case(
        "the same on an older kernel",
        PLAIN,
        world(PLAIN, mounted(super_options=frozenset({"ro"}))),
        State.WARN,
        up=[UMOUNT, CHECK, MOUNT],
    ),
    Case(
        "read-only by hand: remounted",
        PLAIN,
        world(PLAIN, mounted(options=frozenset({"ro"}), super_options=frozenset({"ro"}))),
        State.WARN,
        notes=("mounted without rw",),
        up=[f"mount -t ext4 -o remount,rw {DEV} {MNT}"],
        down=[UMOUNT],
    ),
    Case(
        "read-only as wanted",
        READ_ONLY,
        world(READ_ONLY, mounted(options=frozenset({"ro"}), super_options=frozenset({"ro"}))),
        State.UP,
        notes=(),
    ),
    Case(
        "writable though read-only is wanted",
        READ_ONLY,
        world(READ_ONLY, OURS),
        State.WARN,
        up=[f"mount -t ext4 -o remount,ro {DEV} {MNT}"],
    ),
    Case(
        "options differ: remounted with all of them",
        NOATIME,
        world(NOATIME, mounted(options=frozenset({"rw", "relatime", "nosuid"}))),
        State.WARN,
        notes=("mounted without noatime",),
        up=[f"mount -t ext4 -o remount,rw,noatime,nosuid {DEV} {MNT}"],
    ),
    Case(
        "an option taken back",
        spec(mnt_opt="exec,rw"),
        world(spec(mnt_opt="exec,rw"), mounted(options=RW | {"noexec"})),
        State.WARN,
        up=[f"mount -t ext4 -o remount,exec,rw {DEV} {MNT}"],
    ),
    Case(
        "options not named, or not shown, are nobody's business",
        spec(mnt_opt="data=journal,strictatime"),
        world(spec(mnt_opt="data=journal,strictatime"), mounted(options=RW | {"nodev"})),
        State.UP,
        notes=(),
    ),
    # --- owner
    Case(
        "owner and mode as named, one of them by number",
        OWNED,
        world(OWNED, OURS, point=FileSeen("directory", 0o750, "app", "staff", uid=1000, gid=1000)),
        State.UP,
        notes=(),
    ),
    Case(
        "another owner: given back",
        OWNED,
        world(OWNED, OURS),
        State.WARN,
        notes=("owner is root, not app", "group is root, not 1000", "mode is 0755, not 0750"),
        up=[f"install -d -o app -g 1000 -m 0750 {MNT}"],
        down=[UMOUNT],
    ),
    Case(
        "going up, the owner comes after the mount",
        OWNED,
        world(OWNED),
        State.DOWN,
        up=[CHECK, MOUNT, f"install -d -o app -g 1000 -m 0750 {MNT}"],
    ),
]
