"""Files that name running programs → programs found again after a restart of the daemon.

A record is written by the program's own process, before it becomes the
program: `PID START_TIME BOOT_ID CONTROL_GROUP`. Pid, start time and boot id together cannot mean
another process.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from reconciler.adapters import proc
from reconciler.model import Owner
from reconciler.settings import Settings


class Found(NamedTuple):
    """A program of an earlier daemon. `group`: its control group, None when none is known."""

    owner: Owner
    pid: int
    start_time: int
    group: Path | None
    recorded: bool = True


class Records:
    def __init__(self, settings: Settings) -> None:
        self._directory = settings.run / "programs"
        self._marks = marks(settings)

    def of(self, owner: Owner) -> Path:
        return self._directory / owner.service / owner.rid

    def make_room(self, owner: Owner) -> Path:
        """Where the owner's record is to be written; nothing is there yet."""
        record = self.of(owner)
        record.parent.mkdir(parents=True, exist_ok=True)
        record.unlink(missing_ok=True)
        return record

    def write(self, found: Found) -> None:
        """For a program whose record was missing; without it, it is found by its environment again."""
        with contextlib.suppress(OSError):
            text = f"{found.pid} {found.start_time} {proc.boot_id()} {found.group or ''}\n"
            self.make_room(found.owner).write_text(text, encoding="utf-8")

    def remove(self, owner: Owner) -> None:
        record = self.of(owner)
        record.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # other resources have theirs beside it
            record.parent.rmdir()
            record.parent.parent.rmdir()

    def find(self) -> list[Found]:
        """Blocking. Programs of this boot, running or not; by their records, else by environment."""
        found = {each.owner: each for each in self._recorded()}
        running = sorted(self._marked(), key=lambda each: each.start_time)
        for each in running:
            found.setdefault(each.owner, each)
        return list(found.values())

    def _recorded(self) -> Iterator[Found]:
        boot = proc.boot_id()
        for record in self._directory.glob("*/*/*"):
            namespace, name, rid = record.parts[-3:]
            owner = Owner(f"{namespace}/{name}", rid)
            try:
                pid, start_time, its_boot, *group = record.read_text(encoding="utf-8").split(maxsplit=3)
                found = Found(owner, int(pid), int(start_time), Path(group[0].strip()) if group else None)
            except (OSError, ValueError):
                continue  # being written, or cut short: then the environment tells
            if its_boot == boot and self._believable(found):
                yield found
            else:
                record.unlink(missing_ok=True)

    def _believable(self, found: Found) -> bool:
        """False when the process says that it belongs to somebody else."""
        process = proc.read(found.pid)
        if process is None or process.start_time != found.start_time:
            return True  # it has ended: its record tells what to look for leftovers of
        said = proc.environment(found.pid) or {}
        wanted = {**self._marks, **owned(found.owner)}
        return all(said.get(key, value) == value for key, value in wanted.items())

    def _marked(self) -> Iterator[Found]:
        """Session leaders with our marks: programs whose record is missing."""
        for process in proc.processes():
            if process.session != process.pid:
                continue
            said = proc.environment(process.pid) or {}
            owner = Owner(said.get("STANDFAST_SERVICE", ""), said.get("STANDFAST_RID", ""))
            if owner.service and all(said.get(key) == value for key, value in self._marks.items()):
                yield Found(owner, process.pid, process.start_time, None, recorded=False)


def owned(owner: Owner) -> dict[str, str]:
    """What every command of the owner finds in its environment."""
    return {"STANDFAST_SERVICE": owner.service, "STANDFAST_RID": owner.rid}


def node(settings: Settings) -> dict[str, str]:
    """What every command of this node finds in its environment."""
    return {"STANDFAST_NODE": settings.node, "STANDFAST_RUN": str(settings.run)}


def marks(settings: Settings) -> dict[str, str]:
    """What tells this node's programs from other nodes' and from commands that are run to their end."""
    return {**node(settings), "STANDFAST_ROLE": "program"}


def carries(pid: int, wanted: dict[str, str]) -> bool:
    """Whether the process was started with all of these in its environment."""
    said = proc.environment(pid) or {}
    return all(said.get(key) == value for key, value in wanted.items())
