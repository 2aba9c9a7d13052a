"""Acts on the host as data. Each prints as the line a person would type and names what it touches.

Any operation may meet a host where it was half done before, so performing one twice is as good as
once: adding what is there and removing what is not there succeed.

touches  sources whose answers it may change, as "source" or "source:argument"; the next pass of
         the owner reads them anew. Relative sources (memory, programs, checks) mean the owner's.
interruptible  a job whose goal turned may be cancelled in the middle of it.
"""

import shlex
from dataclasses import dataclass
from typing import ClassVar


class Operation:
    """Base of all. `timeout` in seconds bounds one performance of it."""

    interruptible: bool = False
    timeout: float = 30.0
    sources: ClassVar[tuple[str, ...]] = ()

    @property
    def touches(self) -> tuple[str, ...]:
        """What it may change; most kinds of operation touch always the same sources."""
        return self.sources


# --- commands and programs -----------------------------------------------------------------


@dataclass(frozen=True)
class Exec(Operation):
    """Run a command to its end. `shell`: argv has one string, handed to `sh -c`."""

    argv: tuple[str, ...]
    ok: tuple[int, ...] = (0,)
    user: str = ""
    group: str = ""
    cwd: str = ""
    env: tuple[tuple[str, str], ...] = ()
    umask: str = ""
    limits: tuple[tuple[str, str], ...] = ()  # ("nofile", "1024"): names as prlimit(1) has them
    timeout: float = 60.0
    interruptible: bool = False
    shell: bool = False
    touching: tuple[str, ...] = ()
    blank: str = ""  # a device that must carry no signature, checked right before
    alone: str = ""  # a device nobody may have open: waited for, as an unmount ends after it is seen

    @property
    def touches(self) -> tuple[str, ...]:
        return self.touching

    def __str__(self) -> str:
        return self.argv[0] if self.shell else shlex.join(self.argv)


@dataclass(frozen=True)
class Spawn(Operation):
    """Start a program that stays: own session, own control group where there is one.

    Its output goes to `output` (opened for appending), never to a pipe of ours. It is found again
    by the pid recorded before it runs, and by STANDFAST_SERVICE and STANDFAST_RID in its environment.
    """

    argv: tuple[str, ...]
    user: str = ""
    group: str = ""
    cwd: str = ""
    env: tuple[tuple[str, str], ...] = ()
    umask: str = ""
    limits: tuple[tuple[str, str], ...] = ()
    output: str = ""  # "" : a file of the owner under the state directory
    shell: bool = False
    settle: float = 0.0  # fail if it exits within this many seconds
    sources: ClassVar[tuple[str, ...]] = ("programs", "checks")

    def __str__(self) -> str:
        return f"{self.argv[0] if self.shell else shlex.join(self.argv)} &"


@dataclass(frozen=True)
class Terminate(Operation):
    """End the owner's program and all it started: SIGTERM, after `grace` seconds SIGKILL; verified."""

    pid: int
    start_time: int
    grace: float = 5.0
    signal: str = "TERM"
    timeout: float = 60.0
    sources: ClassVar[tuple[str, ...]] = ("programs", "checks")

    def __str__(self) -> str:
        return f"kill -{self.signal} -- -{self.pid}"


# --- network -------------------------------------------------------------------------------


@dataclass(frozen=True)
class AddAddress(Operation):
    address: str  # with prefix
    dev: str
    label: str = ""
    sources: ClassVar[tuple[str, ...]] = ("addresses", "routes")

    def __str__(self) -> str:
        label = f" label {self.label}" if self.label else ""
        # A service's address must be usable at once: ours was probed, so the kernel need not.
        nodad = " nodad" if ":" in self.address else ""
        return f"ip addr add {self.address} dev {self.dev}{label}{nodad}"


@dataclass(frozen=True)
class DeleteAddress(Operation):
    address: str
    dev: str
    sources: ClassVar[tuple[str, ...]] = ("addresses", "routes")

    def __str__(self) -> str:
        return f"ip addr del {self.address} dev {self.dev}"


@dataclass(frozen=True)
class SetLinkUp(Operation):
    dev: str
    sources: ClassVar[tuple[str, ...]] = ("links",)

    def __str__(self) -> str:
        return f"ip link set {self.dev} up"


@dataclass(frozen=True)
class ProbeAddress(Operation):
    """Does another host answer for this address? ARP or ND; `within` seconds in all."""

    address: str
    dev: str
    probes: int = 3
    within: float = 0.4
    interruptible: bool = True

    def __str__(self) -> str:
        ip = self.address.partition("/")[0]
        if ":" in ip:
            return f"ndisc6 -q {ip} {self.dev}"
        return f"arping -D -c {self.probes} -w {self.within:g} -I {self.dev} {ip}"


@dataclass(frozen=True)
class Announce(Operation):
    """Tell the neighbours where the address is now (gratuitous ARP, unsolicited ND)."""

    address: str
    dev: str

    def __str__(self) -> str:
        ip = self.address.partition("/")[0]
        if ":" in ip:
            return f"ndsend {ip} {self.dev}"
        return f"arping -U -c 1 -I {self.dev} {ip}"


@dataclass(frozen=True)
class AddRoute(Operation):
    to: str
    via: str = ""
    dev: str = ""
    table: int = 254
    metric: int = 0
    src: str = ""
    verb: ClassVar[str] = "replace"
    sources: ClassVar[tuple[str, ...]] = ("routes",)

    def __str__(self) -> str:
        words = ["ip", *(["-6"] if ":" in self.to + self.via else []), "route", self.verb, self.to]
        for word, value in (("via", self.via), ("dev", self.dev), ("src", self.src)):
            words += [word, value] if value else []
        words += ["metric", str(self.metric)] if self.metric else []
        words += ["table", str(self.table)] if self.table != 254 else []
        return " ".join(words)


@dataclass(frozen=True)
class DeleteRoute(AddRoute):
    verb: ClassVar[str] = "del"

    def __str__(self) -> str:
        return AddRoute.__str__(self)


# --- storage -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mount(Operation):
    source: str
    target: str
    fstype: str  # "bind" for a bind mount
    options: str = ""
    timeout: float = 60.0
    sources: ClassVar[tuple[str, ...]] = ("mounts", "health", "files", "checks")

    def __str__(self) -> str:
        options = f" -o {self.options}" if self.options else ""
        if self.fstype == "bind":
            return f"mount --bind{options} {shlex.quote(self.source)} {shlex.quote(self.target)}"
        return f"mount -t {self.fstype}{options} {shlex.quote(self.source)} {shlex.quote(self.target)}"


@dataclass(frozen=True)
class Unmount(Operation):
    """Unmount; when busy and `evict`, end the processes that hold it (by device, never by path)."""

    target: str
    evict: bool = True
    force: bool = False  # umount -f: a server that does not answer
    timeout: float = 60.0
    sources: ClassVar[tuple[str, ...]] = ("mounts", "health", "files", "checks", "loops")

    def __str__(self) -> str:
        return f"umount {'-f ' if self.force else ''}{shlex.quote(self.target)}"


@dataclass(frozen=True)
class AttachLoop(Operation):
    file: str
    offset: int = 0
    sizelimit: int = 0
    sources: ClassVar[tuple[str, ...]] = ("loops", "block", "signatures", "lvm")

    def __str__(self) -> str:
        extra = f" -o {self.offset}" if self.offset else ""
        extra += f" --sizelimit {self.sizelimit}" if self.sizelimit else ""
        return f"losetup -f{extra} {shlex.quote(self.file)}"


@dataclass(frozen=True)
class DetachLoop(Operation):
    """Detach, and wait until the kernel has let go of the file: a busy device is an error."""

    device: str
    file: str
    sources: ClassVar[tuple[str, ...]] = ("loops", "block", "signatures", "lvm")

    def __str__(self) -> str:
        return f"losetup -d {self.device}"


# --- files ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class MakeDirectory(Operation):
    """With its parents; an existing one is given the owner and mode that are named."""

    path: str
    mode: str = ""  # octal text
    user: str = ""
    group: str = ""

    @property
    def touches(self) -> tuple[str, ...]:
        return (f"files:{self.path}",)

    def __str__(self) -> str:
        owner = f" -o {self.user}" if self.user else ""
        owner += f" -g {self.group}" if self.group else ""
        mode = f" -m {self.mode}" if self.mode else ""
        if owner or mode:
            return f"install -d{owner}{mode} {shlex.quote(self.path)}"
        return f"mkdir -p {shlex.quote(self.path)}"


@dataclass(frozen=True)
class RemoveDirectory(Operation):
    """Only an empty one, unless `contents`."""

    path: str
    contents: bool = False

    @property
    def touches(self) -> tuple[str, ...]:
        return (f"files:{self.path}",)

    def __str__(self) -> str:
        return f"{'rm -rf' if self.contents else 'rmdir'} {shlex.quote(self.path)}"


@dataclass(frozen=True)
class WriteFile(Operation):
    """Replace a small file by rename; parents are made."""

    path: str
    content: str = ""

    @property
    def touches(self) -> tuple[str, ...]:
        return (f"files:{self.path}",)

    def __str__(self) -> str:
        if not self.content:
            return f"touch {shlex.quote(self.path)}"
        return f"printf %s {shlex.quote(self.content)} > {shlex.quote(self.path)}"


@dataclass(frozen=True)
class RemoveFile(Operation):
    path: str

    @property
    def touches(self) -> tuple[str, ...]:
        return (f"files:{self.path}",)

    def __str__(self) -> str:
        return f"rm -f {shlex.quote(self.path)}"


@dataclass(frozen=True)
class CreateImage(Operation):
    """A sparse file of `size` bytes; refuses a file that exists with content."""

    path: str
    size: int

    @property
    def touches(self) -> tuple[str, ...]:
        return (f"files:{self.path}",)

    def __str__(self) -> str:
        return f"truncate -s {self.size} {shlex.quote(self.path)}"


# --- memory --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Remember(Operation):
    """Keep what cannot be seen again; `until` is "reboot" or "forever". None forgets."""

    key: str
    value: str | None
    until: str = "forever"
    sources: ClassVar[tuple[str, ...]] = ("memory",)

    def __str__(self) -> str:
        if self.value is None:
            return f"# forget {self.key}"
        return f"# remember {self.key}={self.value} until {self.until}"
