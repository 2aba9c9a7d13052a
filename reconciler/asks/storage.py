"""What is asked about mounts, loops, block devices, LVM and files → the values that answer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from reconciler.asks.ask import Ask


@dataclass(frozen=True, slots=True)
class Mount:
    id: int
    parent: int
    device: str  # "major:minor"
    root: str  # of the filesystem, "/" but for bind mounts
    target: str
    fstype: str
    source: str
    options: frozenset[str] = frozenset()  # of this mount: ro or rw, nosuid, relatime…
    super_options: frozenset[str] = frozenset()  # of the filesystem: ro or rw, size=…, emergency_ro…


@dataclass(frozen=True, slots=True)
class Mounts(Ask[tuple[Mount, ...]]):
    """The mount table, in the kernel's order: of two on one target the later one is seen."""

    about: tuple[str, ...] = field(default=(), compare=False, repr=False)
    source = "mounts"

    @classmethod
    def near(cls, *paths: str) -> "Mounts":
        """For who mounts one on another: what is mounted there, above or beneath, and of what."""
        names: dict[str, None] = {}
        for path in paths:
            names |= dict.fromkeys((f"on {path}", f"beneath {path}", f"of {path}", _last(path)))
            names |= dict.fromkeys(f"on {above}" for above in _above(path))
        return cls(tuple(names))

    @staticmethod
    def news(old: tuple[Mount, ...], new: tuple[Mount, ...]) -> frozenset[str]:
        names: set[str] = set()
        for mount in set(old) ^ set(new):
            names |= {f"on {mount.target}", _last(mount.target), f"of {mount.source}"}
            names |= {f"beneath {path}" for path in _above(mount.target)}
        return frozenset(names)


def _above(path: str) -> Iterator[str]:
    while path not in ("", "/"):
        path = path.rpartition("/")[0] or "/"
        yield path


def _last(path: str) -> str:
    """By its last part a path is told also where a symlink is on the way to it."""
    return f"called {path.rpartition('/')[2]}"


@dataclass(frozen=True, slots=True)
class MountHealth(Ask[str]):
    """ "" when statfs of the mount point answers in time, else what it said (an I/O error).

    A hang is `Failed`: nobody said anything. `read`: its directory must be readable too (statfs
    answers from memory on some filesystems that were shut down).
    """

    target: str
    timeout: float = 5.0
    read: bool = False
    source = "health"


@dataclass(frozen=True, slots=True)
class Loop:
    device: str  # /dev/loop0
    file: str
    offset: int = 0
    sizelimit: int = 0
    autoclear: bool = False  # gone at its last close: `losetup -d` while in use sets it


@dataclass(frozen=True, slots=True)
class Loops(Ask[tuple[Loop, ...]]):
    """Loop devices that have a backing file."""

    about: tuple[str, ...] = field(default=(), compare=False, repr=False)
    source = "loops"

    @classmethod
    def of(cls, file: str) -> "Loops":
        """For who attaches this file."""
        return cls((_last(file),))

    @staticmethod
    def news(old: tuple[Loop, ...], new: tuple[Loop, ...]) -> frozenset[str]:
        return frozenset(_last(loop.file.removesuffix(" (deleted)")) for loop in set(old) ^ set(new))


@dataclass(frozen=True, slots=True)
class Block:
    path: str  # canonical, symlinks resolved
    number: str  # "major:minor"
    size: int  # bytes
    readonly: bool = False
    names: tuple[str, ...] = ()  # others that mount tables show for it: /dev/mapper/…


@dataclass(frozen=True, slots=True)
class BlockDevice(Ask[Block | None]):
    """A block device by path, LABEL= or UUID=; None when there is none of that name."""

    path: str
    source = "block"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a low-level probe finds on a device; kind "" means it carries nothing at all."""

    kind: str = ""  # ext4, LVM2_member, …
    usage: str = ""  # filesystem, raid, crypto, …
    label: str = ""
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class Signatures(Ask[Signature | None]):
    """Content of a device, None when the device does not exist. Read past the page cache."""

    path: str
    source = "signatures"
    costly = True


@dataclass(frozen=True, slots=True)
class VolumeGroup:
    name: str
    uuid: str
    tags: frozenset[str] = frozenset()
    system_id: str = ""
    size: int = 0
    free: int = 0
    partial: bool = False
    exported: bool = False
    volumes: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()  # its physical volumes


@dataclass(frozen=True, slots=True)
class LogicalVolume:
    name: str
    vg: str
    active: bool
    size: int = 0
    open: bool = False
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LvmReport:
    """One report of everything LVM sees; `system_id` is this host's own, "" if not used."""

    groups: Mapping[str, VolumeGroup]
    volumes: Mapping[str, LogicalVolume]  # by "vg/lv"
    physical: Mapping[str, str]  # device → its vg, "" when in none
    system_id: str = ""


@dataclass(frozen=True, slots=True)
class Lvm(Ask[LvmReport]):
    source = "lvm"


@dataclass(frozen=True, slots=True)
class FileSeen:
    kind: str  # file, directory, link (dangling), block, other
    mode: int  # permission bits
    user: str  # name, or the number when it has none
    group: str
    size: int = 0
    uid: int = -1  # -1: not told
    gid: int = -1
    real: str = ""  # its path without symlinks, "" when not told


@dataclass(frozen=True, slots=True)
class File(Ask[FileSeen | None]):
    """A path followed through symlinks; None when it does not exist."""

    path: str
    source = "files"
