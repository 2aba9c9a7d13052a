"""Owners → the files that their programs' output goes to, kept small by copy and truncate."""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from reconciler.model import Owner
from reconciler.settings import Settings

BIGGEST = 10 * 1024 * 1024
KEEP = 3


class Logs:
    """Files `NAMESPACE.NAME.RID.log` in the state directory; `.1` to `.3` are older ones."""

    def __init__(self, settings: Settings, biggest: int = BIGGEST, keep: int = KEEP) -> None:
        self.directory = settings.state / "log"
        self._biggest, self._keep = biggest, keep

    def of(self, owner: Owner) -> Path:
        return self.directory / f"{owner.service.replace('/', '.')}.{owner.rid}.log"

    def make_directory(self) -> None:
        """Where it cannot be made, output goes to memory or is lost; programs start all the same."""
        with contextlib.suppress(OSError):
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o750)

    def rotate(self) -> int:
        """Blocking. Rotate every log that has grown too big; how many there were."""
        number = 0
        with contextlib.suppress(FileNotFoundError):
            for path in self.directory.glob("*.log"):
                if path.stat().st_size > self._biggest:
                    self._make_room(path)
                    self._copy_and_truncate(path)
                    number += 1
        return number

    def _make_room(self, path: Path) -> None:
        for number in range(self._keep - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                _older(path, number).rename(_older(path, number + 1))

    def _copy_and_truncate(self, path: Path) -> None:
        """The program goes on writing meanwhile: it appends, so it goes on at the new start."""
        copy = _older(path, 1)
        with open(path, "r+b", buffering=0) as source:
            try:
                with open(copy, "wb") as target:
                    shutil.copyfileobj(source, target, 1024 * 1024)
            except OSError:
                # The disk is full, maybe of this very log: let what is old go.
                copy.unlink(missing_ok=True)
            source.truncate(0)

    def adopt(self, owner: Owner, keep_as: Callable[[Path], bool]) -> None:
        """Make a captured file, still being written to, the owner's log; the one before it is kept."""
        path = self.of(owner)
        with contextlib.suppress(OSError):  # full or read-only: then its output is lost
            self._make_room(path)
            with contextlib.suppress(FileNotFoundError):
                path.rename(_older(path, 1))
            keep_as(path)


def _older(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def tail(path: Path, start: int = 0, most: int = 4096) -> str:
    """The end of what was written after byte `start`; "" when it cannot be read."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = start if start <= size else 0
            file.seek(max(start, size - most))
            return file.read(most).decode(errors="replace")
    except OSError:
        return ""
