"""A node's directories → made, moved, and held by one agent alone."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from reconciler.errors import NeedsPerson
from reconciler.settings import Settings

LOCK = "standfast.lock"
KEPT = "state-kept"
"""Name of a file in the run directory: since the last boot there was a state to be kept."""
FSTAB = Path("/etc/fstab")


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


def lost_state(settings: Settings, fstab: Path = FSTAB) -> str:
    """Why a missing state is no first start, "" when it may be one; asked before the store is opened."""
    if (settings.state / "state.db").exists():
        return ""
    if _since_boot(settings.run / KEPT):
        why = f"{settings.state}/state.db is gone, which an agent kept since the last boot"
    elif places := [place for place in _named(fstab) if _holds(place, settings.state)]:
        why = f"{settings.state} has no state.db, and {places[-1]}, which {fstab} names, is not mounted"
    else:
        return ""
    return f"{why}: nothing is provisioned by itself; wishes and freezes are lost, see `standfast status`"


def note_state(settings: Settings) -> None:
    """What `lost_state` of the next agent goes by."""
    if (settings.state / "state.db").exists():
        with contextlib.suppress(OSError):  # a hint that is missing says nothing
            (settings.run / KEPT).touch()


def _since_boot(path: Path) -> bool:
    """By the wall clock, which may have been set meanwhile: a hint, no proof."""
    try:
        return path.stat().st_mtime > time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    except FileNotFoundError:
        return False


def _named(fstab: Path) -> list[Path]:
    try:
        lines = fstab.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines if not line.lstrip().startswith("#")]
    return [Path(word[1]) for word in words if len(word) > 1 and word[1] not in ("/", "none")]


def _holds(place: Path, state: Path) -> bool:
    """It should, and nothing is mounted there."""
    return state.is_relative_to(place) and not os.path.ismount(place)


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
