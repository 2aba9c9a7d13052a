"""Answers about mounts and devices, for the tables of the filesystem drivers."""

from collections.abc import Mapping
from typing import Any

from reconciler.asks import (
    Ask,
    Block,
    BlockDevice,
    Failed,
    File,
    FileSeen,
    Memory,
    Mount,
    MountHealth,
    Mounts,
    Signature,
    Signatures,
)
from reconciler.model import State
from tests.drivers.table import Case

MNT = "/svc1/app"
DEV = "/dev/vgsvc1/app"
RW = frozenset({"rw", "relatime"})
ROOT = Mount(1, 0, "254:0", "/", "/", "ext4", "/dev/vda", RW, frozenset({"rw"}))
DIRECTORY = FileSeen("directory", 0o755, "root", "root", uid=0, gid=0, real=MNT)
BLOCK = Block("/dev/dm-0", "252:0", 1 << 30, names=("/dev/mapper/vgsvc1-app",))
LATE = "{disk#1.exposed_devs[0]}"


def spec(**keywords: Any) -> dict[str, Any]:
    """The keywords of an LV on /svc1/app, with their defaults."""
    common = {"mnt": MNT, "mnt_opt": "", "stat_timeout": 5.0, "check_read": True}
    return {**common, "dev": DEV, "mkfs_opt": "", **keywords}


def mounted(
    fstype: str = "ext4", *, id: int = 40, parent: int = 1, device: str = "252:0", **other: Any
) -> Mount:
    """Ours, unless `other` says otherwise."""
    given = {"root": "/", "target": MNT, "source": "/dev/mapper/vgsvc1-app", "options": RW}
    given |= {"super_options": frozenset({"rw"})} | other
    return Mount(id=id, parent=parent, device=device, fstype=fstype, **given)


def world(
    wanted: Mapping[str, Any],
    *mounts: Mount,
    device: Any = BLOCK,
    carries: Any = "ext4",
    point: Any = DIRECTORY,
    health: Any = "",
    table: Any = None,
    files: Mapping[str, Any] | None = None,
    memory: Any = None,
) -> dict[Ask[Any], Any]:
    """Answers to everything a filesystem driver asks about `wanted`."""
    target = wanted["mnt"].rstrip("/")
    answers: dict[Ask[Any], Any] = {
        Mounts(): (ROOT, *mounts) if table is None else table,
        File(target): point,
        MountHealth(target, wanted["stat_timeout"], wanted["check_read"]): health,
        Memory(): {} if memory is None else memory,
        BlockDevice(wanted["dev"]): device,
        Signatures(wanted["dev"]): Signature(carries) if isinstance(carries, str) else carries,
    }
    return answers | {File(path): seen for path, seen in (files or {}).items()}


def device_cases(fstype: str, check: list[str], foreign: str) -> list[Case]:
    """What holds for every filesystem on a block device; `check` as printed before a mount of DEV."""
    plain = spec()
    mount = f"mount -t {fstype} {DEV} {MNT}"
    late = spec(dev=LATE)
    late_check = [line.replace(DEV, f"'{LATE}'") for line in check]
    good = mounted(fstype)
    return [
        Case(
            "not mounted: goes up by a check and a mount",
            plain,
            world(plain, carries=fstype),
            State.DOWN,
            up=[*check, mount],
            standby=[*check, mount],
            down=[],
            create=[],
            destroy=[f"wipefs -a {DEV}"],
            label=f"{fstype} {DEV}@{MNT}",
            notes=(),
            blocked="",
            provisioned=True,
        ),
        Case(
            "mounted by another name of the device: up",
            plain,
            world(plain, good),
            State.UP,
            up=[],
            down=[f"umount {MNT}"],
            create=[],
            destroy=[],
            notes=(),
            blocked="",
            provisioned=True,
            exposes={"sub_devs": ("/dev/dm-0",)},
        ),
        Case(
            "a blank device: not provisioned, and made only by create",
            plain,
            world(plain, carries=""),
            State.DOWN,
            up=[*check, mount],
            create=[f"mkfs.{fstype} -q {DEV}"],
            provisioned=False,
            blocked="",
        ),
        Case(
            "a device that carries something else: nothing is written on it",
            plain,
            world(plain, carries=foreign),
            State.DOWN,
            down=[],
            create=[],
            destroy=[],
            blocked=f"carries {foreign}, not {fstype}: nothing is written",
        ),
        Case(
            "the device does not exist",
            plain,
            world(plain, device=None, carries=None),
            State.DOWN,
            down=[],
            blocked=f"device {DEV} does not exist",
            notes=(),
        ),
        Case(
            "a reference without a value: down, and the plan shows it",
            late,
            world(late, device=None, carries=None),
            State.DOWN,
            up=[*late_check, f"mount -t {fstype} '{LATE}' {MNT}"],
            down=[],
            create=[f"mkfs.{fstype} -q '{LATE}'"],
            label=f"{fstype} {LATE}@{MNT}",
            blocked=f"device {LATE} does not exist",
        ),
        Case(
            "a stranger on the mount point is left alone",
            plain,
            world(plain, mounted("tmpfs", device="0:50", source="tmpfs"), carries=fstype),
            State.DOWN,
            down=[],
            blocked="tmpfs (tmpfs) is mounted on /svc1/app: umount it",
        ),
        Case(
            "the mount table cannot be read",
            plain,
            world(plain, table=Failed("Permission denied")),
            State.UNKNOWN,
            notes=("Permission denied",),
            down=[],
        ),
        Case(
            "the filesystem hangs: unknown, and can still be unmounted",
            plain,
            world(plain, good, health=Failed("did not answer within 5 s")),
            State.UNKNOWN,
            notes=("did not answer within 5 s",),
            down=[f"umount {MNT}"],
        ),
        Case(
            "the device went away beneath the mount",
            plain,
            world(plain, good, device=None, carries=None),
            State.WARN,
            down=[f"umount {MNT}"],
            notes=("does not exist, but /dev/mapper/vgsvc1-app is still mounted",),
            blocked=f"device {DEV} does not exist",
        ),
        Case(
            "reads fail: mounted anew, after a check",
            plain,
            world(plain, good, health="Input/output error"),
            State.WARN,
            up=[f"umount {MNT}", *check, mount],
            down=[f"umount {MNT}"],
            notes=("/svc1/app answers: Input/output error",),
            blocked="",
        ),
    ]
