"""Cases of fs.nfs: recorded facts of servers that answer, hang and come back."""

from reconciler.asks import Failed
from reconciler.model import State
from tests.drivers.table import Case
from tests.drivers.worlds import MNT, mounted, spec, world

KIND = "fs.nfs"
PLAIN = spec(dev="filer:/export/app", mnt_opt="vers=4.2,hard")
MOUNT = f"mount -t nfs -o vers=4.2,hard filer:/export/app {MNT}"


def ours(fstype="nfs4", **other):
    return mounted(fstype, device="0:52", **{"source": "filer:/export/app", **other})


CASES = [
    Case(
        "not mounted",
        PLAIN,
        world(PLAIN),
        State.DOWN,
        up=[MOUNT],
        down=[],
        label=f"nfs filer:/export/app@{MNT}",
        blocked="",
        notes=(),
    ),
    Case("mounted as nfs4", PLAIN, world(PLAIN, ours()), State.UP, up=[], down=[f"umount {MNT}"], notes=()),
    Case("mounted as nfs3", PLAIN, world(PLAIN, ours("nfs")), State.UP),
    Case(
        "a trailing slash, and the server's name in capitals",
        spec(dev="FILER:/export/app/"),
        world(spec(dev="FILER:/export/app/"), ours()),
        State.UP,
    ),
    Case(
        "a server given by its IPv6 address",
        spec(dev="[2001:db8::5]:/export"),
        world(spec(dev="[2001:db8::5]:/export"), ours(source="[2001:db8::5]:/export")),
        State.UP,
    ),
    Case(
        "the server does not answer: unknown, unmounted by force on the way down",
        PLAIN,
        world(PLAIN, ours(), health=Failed("did not answer within 5 s")),
        State.UNKNOWN,
        notes=("did not answer within 5 s",),
        down=[f"umount -f {MNT}"],
    ),
    Case(
        "the handle is stale: mounted anew",
        PLAIN,
        world(PLAIN, ours(), health="Stale file handle"),
        State.WARN,
        up=[f"umount -f {MNT}", MOUNT],
        down=[f"umount -f {MNT}"],
        notes=("Stale file handle",),
    ),
    Case(
        "another export on the mount point",
        PLAIN,
        world(PLAIN, ours(source="filer:/export/other")),
        State.DOWN,
        blocked="filer:/export/other (nfs4) is mounted on /svc1/app",
        down=[],
    ),
    Case(
        "another server",
        PLAIN,
        world(PLAIN, ours(source="old:/export/app")),
        State.DOWN,
        blocked="old:/export/app",
    ),
    Case(
        "a local filesystem on the mount point",
        PLAIN,
        world(PLAIN, mounted("ext4")),
        State.DOWN,
        blocked="(ext4) is mounted",
    ),
    Case("cannot read the mount table", PLAIN, world(PLAIN, table=Failed("gone")), State.UNKNOWN, down=[]),
    Case(
        "a mount of it hangs above the mount point",
        PLAIN,
        world(PLAIN, point=Failed("/svc1 did not answer within 5 s")),
        State.UNKNOWN,
        down=[],
    ),
    Case(
        "the server made it read-only for us",
        PLAIN,
        world(PLAIN, ours(options=frozenset({"ro"}), super_options=frozenset({"ro"}))),
        State.WARN,
        up=[f"mount -t nfs -o remount,rw,vers=4.2,hard filer:/export/app {MNT}"],
    ),
    Case(
        "a reference without a value",
        spec(dev="{ip#0.name}:/export"),
        world(spec(dev="{ip#0.name}:/export")),
        State.DOWN,
        up=[f"mount -t nfs '{{ip#0.name}}:/export' {MNT}"],
    ),
]
