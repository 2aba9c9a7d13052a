"""Questions a driver needs answered about the host, and the values that answer them.

An ask is hashable and typed by its answer: `Facts.of(Links())` is a mapping of links. Equal asks
of all services are answered once. A *relative* ask means the resource that asks (its memory, its
program) and is answered for that one alone. A *costly* one is answered only when `observe` reads
it, never ahead.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

T = TypeVar("T")


class Ask(Generic[T]):
    """A question. `source` names who answers it; operations name the sources they touch.

    about  of a large answer, what the asker is concerned with: news of anything else do not wake it.
           Asks that differ in this only are one question. (): all of it.
    """

    __slots__ = ()

    about: tuple[str, ...] = ()

    @staticmethod
    def news(old: Any, new: Any) -> frozenset[str]:
        """What the difference of two answers is about, in the words of `about`."""
        return frozenset()

    source: ClassVar[str]
    relative: ClassVar[bool] = False
    costly: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Failed:
    """The source could not look (error, time limit): the resource is unknown, not down."""

    why: str


@dataclass(frozen=True, slots=True)
class NotYet:
    """No answer so far."""


NOT_YET = NotYet()


class Unanswered(Exception):
    """Raised by `Facts.of`: becomes `unknown`. `pending` when asking again will help."""

    def __init__(self, ask: "Ask[Any]", why: str, pending: bool = False) -> None:
        super().__init__(why)
        self.ask, self.why, self.pending = ask, why, pending


class Facts:
    """The answers as one resource may read them."""

    def __init__(self, lookup: Callable[[Ask[Any]], Any]) -> None:
        self._lookup = lookup

    @classmethod
    def given(cls, answers: Mapping[Ask[Any], Any]) -> "Facts":
        """Facts from a plain mapping, for tests and simulation."""
        return cls(lambda ask: answers.get(ask, NOT_YET))

    def of(self, ask: Ask[T]) -> T:
        """The answer; raises Unanswered when the source failed or has not answered yet."""
        answer = self._lookup(ask)
        if isinstance(answer, Failed):
            raise Unanswered(ask, answer.why)
        if isinstance(answer, NotYet):
            raise Unanswered(ask, f"no answer yet about {ask}", pending=True)
        return answer  # type: ignore[no-any-return]  # the ask's own type says what it is

    def why_not(self, ask: Ask[Any]) -> str:
        """Why there is no answer, or "" when there is one."""
        try:
            self.of(ask)
        except Unanswered as missing:
            if missing.pending:
                raise
            return missing.why
        return ""


# --- network -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Link:
    name: str
    index: int
    up: bool  # administratively
    carrier: bool  # operational: a cable, or a bridge with a live port
    mac: str = ""
    kind: str = ""  # bridge, veth, …; "" for hardware
    loopback: bool = False


@dataclass(frozen=True, slots=True)
class Links(Ask[Mapping[str, Link]]):
    """All network devices by name."""

    source = "links"


@dataclass(frozen=True, slots=True)
class Address:
    ip: str  # canonical text, no prefix
    prefix: int
    dev: str
    tentative: bool = False  # IPv6 duplicate detection still runs
    duplicate: bool = False  # and failed
    label: str = ""


@dataclass(frozen=True, slots=True)
class Addresses(Ask[tuple[Address, ...]]):
    """Addresses of one device, in the kernel's order; () when the device does not exist."""

    dev: str
    source = "addresses"


@dataclass(frozen=True, slots=True)
class AddressHeld(Ask[tuple[Address, ...]]):
    """Where this host holds one address, on any device."""

    ip: str
    source = "addresses"


@dataclass(frozen=True, slots=True)
class Route:
    to: str  # "default" or network/prefix
    via: str = ""
    dev: str = ""
    table: int = 254
    metric: int = 0
    src: str = ""


@dataclass(frozen=True, slots=True)
class Routes(Ask[tuple[Route, ...]]):
    """Unicast routes of one table, v4 and v6."""

    table: int = 254
    source = "routes"


@dataclass(frozen=True, slots=True)
class Name(Ask[tuple[str, ...]]):
    """Addresses of a host name, in the resolver's order; an address answers itself."""

    name: str
    source = "names"


# --- storage -------------------------------------------------------------------------------


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


# --- programs ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProgramSeen:
    """The program of a resource.

    code  exit status once it ended (negative: signal), None while it runs or when it was adopted
          by a later daemon, which cannot know it.
    """

    pid: int
    start_time: int  # clock ticks after boot, field 22 of /proc/PID/stat
    running: bool
    adopted: bool = False
    code: int | None = None
    leftovers: int = 0  # other processes of its control group or session still alive


@dataclass(frozen=True, slots=True)
class Program(Ask[ProgramSeen | None]):
    """The program this resource spawned, found again after a restart; None when there is none."""

    source = "programs"
    relative = True


@dataclass(frozen=True, slots=True)
class CheckResult:
    """code None: it did not end within its time limit, and says nothing."""

    code: int | None
    output: str = ""
    failures: int = 0  # looks in a row without an answer


@dataclass(frozen=True, slots=True)
class Check(Ask[CheckResult]):
    """A user's command, run every `every` seconds, at most one at a time for each resource."""

    argv: tuple[str, ...]
    user: str = ""
    group: str = ""
    cwd: str = ""
    env: tuple[tuple[str, str], ...] = ()
    umask: str = ""
    limits: tuple[tuple[str, str], ...] = ()
    timeout: float = 60.0
    every: float = 10.0
    shell: bool = False
    source = "checks"
    relative = True
    costly = True


# --- ourselves -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Memory(Ask[Mapping[str, str]]):
    """What `Remember` wrote for this resource and still holds (since this boot, or for ever)."""

    source = "memory"
    relative = True


@dataclass(frozen=True, slots=True)
class NodeSeen:
    name: str
    boot_id: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Node(Ask[NodeSeen]):
    source = "node"
