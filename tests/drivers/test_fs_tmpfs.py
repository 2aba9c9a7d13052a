"""Cases of fs.tmpfs."""

from reconciler.asks import Failed, FileSeen
from reconciler.model import State
from tests.drivers.table import Case
from tests.drivers.worlds import MNT, mounted, spec, world

KIND = "fs.tmpfs"
PLAIN = spec(dev="tmpfs")
SIZED = spec(dev="tmpfs", mnt_opt="size=64m,mode=1777")
ODD = spec(dev="tmpfs", mnt_opt="size=50%")
OWNED = spec(dev="tmpfs", user="app")


def ours(size="524288k", **other):
    options = frozenset({"rw", f"size={size}"})
    return mounted("tmpfs", device="0:50", **{"source": "tmpfs", "super_options": options, **other})


CASES = [
    Case(
        "not mounted",
        PLAIN,
        world(PLAIN),
        State.DOWN,
        up=[f"mount -t tmpfs tmpfs {MNT}"],
        down=[],
        label=f"tmpfs {MNT}",
        blocked="",
        notes=(),
    ),
    Case(
        "not mounted, mount point missing",
        SIZED,
        world(SIZED, point=None),
        State.DOWN,
        up=[f"mkdir -p {MNT}", f"mount -t tmpfs -o size=64m,mode=1777 tmpfs {MNT}"],
    ),
    Case("mounted", PLAIN, world(PLAIN, ours()), State.UP, up=[], down=[f"umount {MNT}"], notes=()),
    Case("the size as wanted", SIZED, world(SIZED, ours("65536k")), State.UP, notes=()),
    Case(
        "another size: remounted, nothing is lost",
        SIZED,
        world(SIZED, ours("32768k")),
        State.WARN,
        notes=("mounted without size=64m",),
        up=[f"mount -t tmpfs -o remount,rw,size=64m,mode=1777 tmpfs {MNT}"],
        down=[f"umount {MNT}"],
    ),
    Case("a percentage cannot be compared", ODD, world(ODD, ours("123k")), State.UP, notes=()),
    Case(
        "a size that is no whole page is rounded up by the kernel",
        spec(dev="tmpfs", mnt_opt="size=5000"),
        world(spec(dev="tmpfs", mnt_opt="size=5000"), ours("8k")),
        State.UP,
    ),
    Case(
        "a tmpfs of another name is a stranger",
        spec(dev="shop"),
        world(spec(dev="shop"), ours()),
        State.DOWN,
        blocked="tmpfs (tmpfs) is mounted on /svc1/app",
        down=[],
    ),
    Case(
        "something else on the mount point",
        PLAIN,
        world(PLAIN, mounted("ext4")),
        State.DOWN,
        blocked="(ext4) is mounted on /svc1/app: umount it",
        down=[],
    ),
    Case(
        "a part of a tmpfs bound here is not ours",
        PLAIN,
        world(PLAIN, ours(root="/part")),
        State.DOWN,
        blocked="is mounted on /svc1/app",
    ),
    Case(
        "the mount point is a socket",
        PLAIN,
        world(PLAIN, point=FileSeen("other", 0o644, "root", "root")),
        State.DOWN,
        blocked="is a other, not a directory",
    ),
    Case("cannot read the mount table", PLAIN, world(PLAIN, table=Failed("gone")), State.UNKNOWN, down=[]),
    Case(
        "another owner",
        OWNED,
        world(OWNED, ours()),
        State.WARN,
        up=[f"install -d -o app {MNT}"],
        down=[f"umount {MNT}"],
    ),
    Case(
        "remount and owner at once",
        spec(dev="tmpfs", mnt_opt="noexec", user="app"),
        world(spec(dev="tmpfs", mnt_opt="noexec", user="app"), ours()),
        State.WARN,
        notes=("mounted without noexec", "owner is root, not app"),
        up=[f"mount -t tmpfs -o remount,rw,noexec tmpfs {MNT}", f"install -d -o app {MNT}"],
    ),
]
