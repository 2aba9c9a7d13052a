"""A node's directories → made, moved, and held by one agent alone."""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from reconciler.errors import NeedsPerson
from reconciler.settings import Settings


def make_directories(settings: Settings) -> None:
    """Of state and run. Without the first nothing is kept; without the second there is no agent."""
    for path, mode in ((settings.run, 0o755), (settings.state, 0o755)):
        try:
            path.mkdir(parents=True, exist_ok=True, mode=mode)
        except OSError as fault:
            if path == settings.run:
                raise NeedsPerson(
                    f"{path} cannot be made: {fault.strerror}; name another with --run"
                ) from None


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """One agent for each run directory; the kernel lets go of the lock however we end.

    A lock of the process, not of the open file: no child of ours ever holds it after us.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise NeedsPerson(
                f"another agent runs with {path.parent}: stop it, or name another directory with --run"
            ) from None
        yield
    finally:
        os.close(descriptor)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def with_paths(settings: Settings, **paths: str | None) -> Settings:
    """Settings with the given directories moved; None leaves one where it is."""
    moved: Mapping[str, Path] = {name: Path(p).absolute() for name, p in paths.items() if p}
    return replace(settings, **moved)  # type: ignore[arg-type]  # the names are those of path fields
