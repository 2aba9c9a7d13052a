"""Cases of fs.bind: where a source leads, and what is left when it no longer leads there."""

from dataclasses import replace

from reconciler.asks import Failed, FileSeen
from reconciler.model import State
from tests.drivers.table import Case
from tests.drivers.worlds import DIRECTORY, MNT, ROOT, RW, mounted, spec, world

KIND = "fs.bind"
SOURCE = "/data/app"
PLAIN = spec(dev=SOURCE, mnt_opt="bind")
READ_ONLY = spec(dev=SOURCE, mnt_opt="bind,ro")
BIND = f"mount --bind {SOURCE} {MNT}"
DATA = mounted(id=30, target="/data", source="/dev/sdb1", device="8:17")
HERE = {SOURCE: replace(DIRECTORY, real=SOURCE)}
GONE = {SOURCE: None}
BOUND = {"bound": "1"}


def ours(**other):
    """A bind of the directory /app of the filesystem on /data."""
    return mounted(**{"device": "8:17", "root": "/app", "source": "/dev/sdb1", **other})


CASES = [
    Case(
        "not bound",
        PLAIN,
        world(PLAIN, DATA, files=HERE),
        State.DOWN,
        up=[BIND, "# remember bound=1 until reboot"],
        down=[],
        label=f"bind {SOURCE}@{MNT}",
        blocked="",
        notes=(),
    ),
    Case(
        "bound",
        PLAIN,
        world(PLAIN, DATA, ours(), files=HERE, memory=BOUND),
        State.UP,
        up=[],
        down=[f"umount {MNT}", "# forget bound"],
        notes=(),
    ),
    Case(
        "bound by hand: as good",
        PLAIN,
        world(PLAIN, DATA, ours(), files=HERE),
        State.UP,
        down=[f"umount {MNT}", "# forget bound"],
    ),
    Case(
        "the source is on the root filesystem",
        PLAIN,
        world(PLAIN, mounted(device=ROOT.device, root=SOURCE), files=HERE),
        State.UP,
    ),
    Case(
        "the source is a symlink into another filesystem",
        PLAIN,
        world(
            PLAIN, replace(DATA, target="/vol"), ours(), files={SOURCE: replace(DIRECTORY, real="/vol/app")}
        ),
        State.UP,
    ),
    Case(
        "the source is a mount point itself",
        spec(dev="/data"),
        world(spec(dev="/data"), DATA, ours(root="/"), files={"/data": replace(DIRECTORY, real="/data")}),
        State.UP,
    ),
    Case(
        "the source is itself inside a bind",
        PLAIN,
        world(PLAIN, replace(DATA, root="/deep"), ours(root="/deep/app"), files=HERE),
        State.UP,
    ),
    Case(
        "the source lies under two mounts, one over the other",
        PLAIN,
        world(
            PLAIN,
            DATA,
            replace(DATA, id=31, parent=30, device="8:33", source="/dev/sdc1"),
            ours(device="8:33"),
            files=HERE,
        ),
        State.UP,
    ),
    Case(
        "the source does not exist",
        PLAIN,
        world(PLAIN, files=GONE),
        State.DOWN,
        blocked="source /data/app does not exist",
        down=[],
    ),
    Case(
        "the source is a file",
        PLAIN,
        world(PLAIN, files={SOURCE: FileSeen("file", 0o644, "root", "root")}),
        State.DOWN,
        blocked="source /data/app is a file, not a directory",
    ),
    Case(
        "the source's filesystem went away: what was bound is still held",
        PLAIN,
        world(PLAIN, ours(), files=HERE, memory=BOUND),
        State.WARN,
        up=[f"umount {MNT}", BIND, "# remember bound=1 until reboot"],
        down=[f"umount {MNT}", "# forget bound"],
        notes=("no longer what /data/app shows",),
        blocked="",
    ),
    Case(
        "the source went away with its filesystem",
        PLAIN,
        world(PLAIN, ours(), files=GONE, memory=BOUND),
        State.WARN,
        down=[f"umount {MNT}", "# forget bound"],
        blocked="source /data/app does not exist",
    ),
    Case(
        "the source was deleted and made again",
        PLAIN,
        world(PLAIN, DATA, ours(root="/app//deleted"), files=HERE, memory=BOUND),
        State.WARN,
        up=[f"umount {MNT}", BIND, "# remember bound=1 until reboot"],
    ),
    Case(
        "a stranger on the mount point",
        PLAIN,
        world(PLAIN, DATA, mounted("tmpfs", device="0:50", source="tmpfs"), files=HERE),
        State.DOWN,
        blocked="tmpfs (tmpfs) is mounted on /svc1/app",
        down=[],
    ),
    Case(
        "another directory of the same filesystem is a stranger too",
        PLAIN,
        world(PLAIN, DATA, ours(root="/other"), files=HERE),
        State.DOWN,
        blocked="is mounted on /svc1/app",
    ),
    Case(
        "read-only as wanted, over a writable filesystem",
        READ_ONLY,
        world(READ_ONLY, DATA, ours(options=frozenset({"ro"})), files=HERE),
        State.UP,
        notes=(),
    ),
    Case(
        "writable though read-only is wanted",
        READ_ONLY,
        world(READ_ONLY, DATA, ours(), files=HERE),
        State.WARN,
        up=[f"mount --bind -o remount,ro {SOURCE} {MNT}"],
    ),
    Case(
        "the filesystem beneath turned read-only: not ours to repair",
        PLAIN,
        world(PLAIN, DATA, ours(options=RW, super_options=frozenset({"ro"})), files=HERE),
        State.UP,
        notes=("the filesystem beneath it is read-only",),
    ),
    Case(
        "the source hangs: what was bound can still be unmounted",
        PLAIN,
        world(PLAIN, ours(), files={SOURCE: Failed("did not answer within 5 s")}, memory=BOUND),
        State.UNKNOWN,
        notes=("did not answer",),
        down=[f"umount {MNT}", "# forget bound"],
    ),
    Case(
        "the source hangs and nothing was bound by us",
        PLAIN,
        world(PLAIN, files={SOURCE: Failed("did not answer within 5 s")}),
        State.UNKNOWN,
        down=[],
    ),
    Case(
        "memory cannot be read", PLAIN, world(PLAIN, files=HERE, memory=Failed("store away")), State.UNKNOWN
    ),
    Case(
        "a reference without a value",
        spec(dev="{fs#data.mnt}/app"),
        world(spec(dev="{fs#data.mnt}/app"), files={"/{fs#data.mnt}/app": None}),
        State.DOWN,
        blocked="source {fs#data.mnt}/app does not exist",
    ),
]
