"""Owners → control groups (cgroup v2): who belongs to what, and an end that nobody escapes."""

import contextlib
import itertools
import os
import zlib
from pathlib import Path

from reconciler.adapters import proc
from reconciler.adapters.proc import Process
from reconciler.model import Owner
from reconciler.settings import Settings

_NUMBERS = itertools.count(1)


class Groups:
    """`root` is None where no control group can be made: then sessions have to do."""

    def __init__(self, root: Path | None) -> None:
        self.root = root

    @classmethod
    def find(cls, settings: Settings) -> "Groups":
        """Below the first cgroup2 mount in which a group can be made."""
        # Two nodes of one name, told apart by their run directories, must not meet in one group.
        at_home = settings.run == Settings.run
        place = settings.node if at_home else f"{settings.node}.{zlib.crc32(os.fsencode(settings.run)):08x}"
        for mount in _cgroup2_mounts():
            root = mount / "standfast" / place
            with contextlib.suppress(OSError):
                (root / "operations").mkdir(parents=True, exist_ok=True)
                if os.access(root / "cgroup.procs", os.W_OK):
                    for old in root.glob("*/*/"):
                        remove(old)
                    return cls(root)
        return cls(None)

    def of(self, owner: Owner) -> Path | None:
        """Where the owner's program and all it starts live; not made yet."""
        return self.root / owner.service.replace("/", ".") / owner.rid if self.root else None

    def left(self, owner: Owner) -> Path | None:
        """Where that lives which the owner's commands left running when they ended; not made yet."""
        own = self.of(owner)
        return own.with_name(f"{own.name}.left") if own else None

    def operation(self) -> Path | None:
        """A new group for one operation in flight; None where there are none."""
        if self.root is None:
            return None
        for number in _NUMBERS:
            group = self.root / "operations" / f"{os.getpid()}-{number}"
            try:
                group.mkdir(parents=True)
            except FileExistsError:  # of a daemon before us, with our pid: what it left still runs
                continue
            except OSError:
                return None
            return group
        return None


def make(group: Path) -> bool:
    """False when it cannot be made (a limit on their number, say)."""
    try:
        group.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return True


def pids(group: Path | None) -> list[int]:
    """All processes in it and below, zombies not among them; () when there is no such group."""
    if group is None:
        return []
    found: list[int] = []
    try:
        # A directory has a link from each of its own: most groups have none, and need no walk.
        plain = os.stat(group).st_nlink <= 2
        for directory in (group,) if plain else (d for d, _, _ in os.walk(group)):
            with open(f"{directory}/cgroup.procs", encoding="ascii") as file:
                found += map(int, file.read().split())
    except OSError:  # it goes away meanwhile: then it is empty
        return found
    return found


def members(group: Path | None) -> list[Process]:
    """The same, alive and by name."""
    return [process for pid in pids(group) if (process := proc.read(pid)) and process.alive]


def move(source: Path, to: Path) -> None:
    """Move all processes of one group to another, which is made."""
    make(to)
    for _ in range(5):  # they may fork meanwhile
        staying = members(source)
        if not staying:
            return
        for process in staying:
            with contextlib.suppress(OSError):  # it ended meanwhile
                (to / "cgroup.procs").write_text(str(process.pid), encoding="ascii")


def kill(group: Path | None) -> None:
    """SIGKILL to all at once, where the kernel can (5.14): a fork bomb does not outrun it."""
    if group is not None:
        with contextlib.suppress(OSError):
            (group / "cgroup.kill").write_text("1", encoding="ascii")


def remove(group: Path | None) -> None:
    """Remove it, what was made below it, and what it is in, as far as they are empty."""
    if group is not None:
        with contextlib.suppress(OSError):
            for directory, _, _ in os.walk(group, topdown=False):
                os.rmdir(directory)
            if group.parent.name != "operations":
                group.parent.rmdir()


def _cgroup2_mounts() -> list[Path]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        lines = [line.split() for line in file]
    return [Path(words[4]) for words in lines if words[words.index("-") + 1] == "cgroup2"]
