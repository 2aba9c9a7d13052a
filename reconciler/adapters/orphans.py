"""Commands that outlived the daemon that started them → waited for, so that none runs twice at once."""

import contextlib
import os
import time
from pathlib import Path
from typing import NamedTuple

from reconciler.adapters import proc
from reconciler.model import Owner

_TICKS = os.sysconf("SC_CLK_TCK")


class Orphan(NamedTuple):
    pid: int
    start_time: int
    limit: float
    group: Path | None
    note: Path


class Orphans:
    """One small file per command in flight, named by its pid; what a new daemon finds are orphans."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._left: dict[Owner, list[Orphan]] = {}
        with contextlib.suppress(OSError):
            directory.mkdir(parents=True, exist_ok=True)
        for note in directory.glob("[0-9]*"):
            self._read(note)

    def note(self, owner: Owner, pid: int, limit: float, group: Path | None) -> Path | None:
        """Written right after the start; None when it cannot be (a full /run stops nothing)."""
        process = proc.read(pid)
        note = self._directory / str(pid)
        if process is None:
            return None
        words = (process.start_time, limit, proc.boot_id(), group or "-", owner.service, owner.rid)
        try:
            note.write_text(" ".join(map(str, words)) + "\n", encoding="utf-8")
        except OSError:
            return None
        return note

    def of(self, owner: Owner) -> list[Orphan]:
        """Those that were left when this daemon came, and have not been seen to yet."""
        return list(self._left.get(owner, ()))

    def owners(self) -> list[Owner]:
        """Of all that were left."""
        return list(self._left)

    def under_way(self, service: str) -> frozenset[str]:
        """Rids of which one still lives: what it does is not done yet."""
        mine = [(owner, left) for owner, left in self._left.items() if owner.service == service]
        return frozenset(owner.rid for owner, left in mine if any(map(_lives, left)))

    def settled(self, owner: Owner, orphan: Orphan) -> None:
        """It has ended."""
        orphan.note.unlink(missing_ok=True)
        left = self._left.get(owner, [])
        if orphan in left:
            left.remove(orphan)
        if not left:
            self._left.pop(owner, None)

    def _read(self, note: Path) -> None:
        words = ""
        with contextlib.suppress(OSError):
            words = note.read_text(encoding="utf-8")
        try:
            start_time, limit, boot, group, service, *rid = words.split()
            its_group = None if group == "-" else Path(group)
            orphan = Orphan(int(note.name), int(start_time), float(limit), its_group, note)
        except ValueError:  # cut short: its writer died in the middle of it
            note.unlink(missing_ok=True)
            return
        if boot == proc.boot_id() and _lives(orphan):
            self._left.setdefault(Owner(service, *rid), []).append(orphan)
        else:
            note.unlink(missing_ok=True)


def _lives(orphan: Orphan) -> bool:
    process = proc.read(orphan.pid)
    return process is not None and process.alive and process.start_time == orphan.start_time


def remaining(orphan: Orphan) -> float:
    """Seconds that it still has of its time limit."""
    started = orphan.start_time / _TICKS
    return max(0.0, started + orphan.limit - time.clock_gettime(time.CLOCK_BOOTTIME))
