"""Cases of disk.loop."""

from reconciler.asks import Failed, File, FileSeen, Loop, Loops
from reconciler.model import State
from tests.drivers.table import Case

KIND = "disk.loop"
IMAGE = "/srv/disk1.img"
SPEC = {"file": IMAGE, "size": 1 << 20, "offset": 0}
UNSIZED = {"file": IMAGE, "offset": 0}
FILE = FileSeen("file", 0o600, "root", "root", 1 << 20)
OURS = Loop("/dev/loop3", IMAGE)
OTHER = Loop("/dev/loop0", "/srv/other.img")
LATE = "{fs#0.exposed_devs[0]}/disk1.img"


def given(loops=(), file=FILE, path=IMAGE):
    return {Loops(): loops, File(path): file}


CASES = [
    Case(
        "detached",
        SPEC,
        given((OTHER,)),
        State.DOWN,
        up=["losetup -f /srv/disk1.img"],
        down=[],
        label="loop /srv/disk1.img",
        blocked="",
        provisioned=True,
        destroy=["rm -f /srv/disk1.img"],
    ),
    Case(
        "attached",
        SPEC,
        given((OTHER, OURS)),
        State.UP,
        up=[],
        down=["losetup -d /dev/loop3"],
        notes=(),
        provisioned=True,
        exposes={"exposed_devs": ("/dev/loop3",)},
    ),
    Case(
        "the file is not there yet",
        SPEC,
        given(file=None),
        State.DOWN,
        up=["losetup -f /srv/disk1.img"],
        down=[],
        blocked="",
        provisioned=False,
        create=["mkdir -p /srv", "truncate -s 1048576 /srv/disk1.img"],
    ),
    Case(
        "the file is not there and has no size",
        UNSIZED,
        given(file=None),
        State.DOWN,
        down=[],
        blocked="/srv/disk1.img does not exist, and no size is given",
        provisioned=False,
        create=[],
    ),
    Case(
        "a directory of that name is never written to",
        SPEC,
        given(file=FileSeen("directory", 0o755, "root", "root")),
        State.DOWN,
        blocked="is a directory, not a file",
        create=[],
    ),
    Case(
        "losetup -d while in use: still up, and told",
        SPEC,
        given((Loop("/dev/loop3", IMAGE, autoclear=True),)),
        State.UP,
        up=[],
        down=["losetup -d /dev/loop3"],
        notes=("somebody detached /dev/loop3",),
        exposes={"exposed_devs": ("/dev/loop3",)},
    ),
    Case(
        "attached twice: the stop takes both",
        SPEC,
        given((OURS, Loop("/dev/loop4", IMAGE))),
        State.UP,
        up=[],
        down=["losetup -d /dev/loop3", "losetup -d /dev/loop4"],
        notes=("more than once: /dev/loop3, /dev/loop4",),
        exposes={"exposed_devs": ("/dev/loop3",)},
    ),
    Case(
        "the file was deleted beneath it",
        SPEC,
        given((Loop("/dev/loop3", f"{IMAGE} (deleted)"),), file=None),
        State.UP,
        up=[],
        down=["losetup -d /dev/loop3"],
        notes=("its file was deleted",),
        provisioned=False,
    ),
    Case(
        "a symlink: the kernel names the file behind it",
        SPEC,
        given(
            (Loop("/dev/loop3", "/data/real.img"),),
            FileSeen("file", 0o600, "root", "root", real="/data/real.img"),
        ),
        State.UP,
        up=[],
        down=["losetup -d /dev/loop3"],
        notes=(),
    ),
    Case(
        "another part of the same file is another device",
        {**SPEC, "offset": 4096},
        given((OURS,)),
        State.DOWN,
        up=["losetup -f -o 4096 /srv/disk1.img"],
        down=[],
    ),
    Case(
        "a path that is not known yet",
        {**SPEC, "file": LATE},
        given(file=None, path=LATE),
        State.DOWN,
        up=[f"losetup -f '{LATE}'"],
        down=[],
        blocked="has no value yet",
        create=[],
    ),
    Case(
        "cannot look at loop devices",
        SPEC,
        {Loops(): Failed("Permission denied"), File(IMAGE): FILE},
        State.UNKNOWN,
        down=[],
        notes=("Permission denied",),
    ),
    Case(
        "cannot look at the file",
        SPEC,
        {Loops(): (OURS,), File(IMAGE): Failed("stat did not answer within 5 s")},
        State.UNKNOWN,
        notes=("did not answer",),
    ),
]
