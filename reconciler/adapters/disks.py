"""A block device → names of what is behind it, the same by whatever path it is reached.

A name that the disk itself carries is the same on every host that sees it (World Wide Name, UUID of a
device-mapper device); without one there is the kernel's, which says which it is on this host alone.
"""

import contextlib
from pathlib import Path

from reconciler.asks import Block
from reconciler.decide.things import KERNEL_DEVICE

_UNIQUE = ("naa.", "eui.", "uuid.")
"""By these it is one in the world. Others ("t10.ATA QEMU…") are what a vendor made up, for many a disk."""


def names(block: Block, sys: Path = Path("/sys/dev/block")) -> tuple[str, ...]:
    """As things are called. Blocking, but it reads memory only."""
    try:
        place = (sys / block.number).resolve(strict=True)
    except OSError:
        return ()
    part = _read(place / "partition")
    disk = place.parent if part else place
    suffix = f" partition {part}" if part else ""
    if uuid := _read(disk / "dm/uuid"):
        return (f"disk {uuid}{suffix}",)
    for name in ("wwid", "device/wwid"):
        wwid = _read(disk / name)
        if wwid.startswith(_UNIQUE):
            return (f"disk {wwid}{suffix}",)
    return (KERNEL_DEVICE + place.name,)


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").strip()
    return ""
