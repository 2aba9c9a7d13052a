"""Loop devices and active LVM volumes → let go of by ioctl, and seen to be gone in /sys."""

import contextlib
import errno
import fcntl
import os
import re
import struct
from collections.abc import Iterator

from reconciler.guard.lines import Loop, Volumes
from reconciler.guard.programs import until

_CLR_FD = 0x4C01
_DM_REMOVE = 0xC138FD04
_DM = struct.Struct("=3IIIIiIIIQ128s129s7x")  # struct dm_ioctl
_LAYERS = r"(_(tmeta|tdata|cmeta|cdata|cvol|corig|mlog|[rm]image_\d+|rmeta_\d+))*(-[a-z0-9]+)?"
"""What LVM adds to a volume's name for what is hidden beneath it."""
_BLOCK = "/sys/class/block"


def stop_loop(line: Loop, by: float) -> str:
    """ "" when no loop device has the file; else why. A busy one is let go of at its last close only."""
    why = ""

    def gone() -> bool:
        nonlocal why
        for name in _loops(line):
            try:
                fd = os.open(f"/dev/{name}", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    fcntl.ioctl(fd, _CLR_FD)
                finally:
                    os.close(fd)
            except OSError as error:
                if error.errno not in (errno.ENXIO, errno.ENOENT, errno.ENODEV):
                    why = f"/dev/{name}: {error.strerror}"
        found = list(_loops(line))
        why = why if found else ""
        return not found

    return "" if until(gone, by) else why or f"{', '.join(_loops(line))} is in use"


def _loops(line: Loop) -> Iterator[str]:
    names = {line.file, f"{line.file} (deleted)"}
    for name in os.listdir(_BLOCK):
        ours = name.startswith("loop") and _read(name, "loop/backing_file") in names
        if ours and _read(name, "loop/offset") in ("", str(line.offset)):
            yield name


def stop_volumes(line: Volumes, by: float) -> str:
    """ "" when device-mapper has none of them; else why. What others stand on goes after them."""
    why = ""

    def gone() -> bool:
        nonlocal why
        left = _volumes(line)
        for kernel_name, name in left.items():
            if holders := _listed(f"{_BLOCK}/{kernel_name}/holders"):
                why = f"{name} is held by {', '.join(holders)}"
                continue
            try:
                _remove(name)
            except OSError as error:
                why = f"{name}: {error.strerror}"
        return not _volumes(line)

    return "" if until(gone, by) else why


def _volumes(line: Volumes) -> dict[str, str]:
    """Kernel name (dm-0) → device-mapper's name, of all that LVM made for it, hidden layers too."""
    wanted = re.escape(f"{_mangled(line.group)}-")
    # A dash within a name is doubled: nothing of another group or volume that only begins alike.
    wanted += f"{re.escape(_mangled(line.volume))}{_LAYERS}" if line.volume else r"(?!-).*"
    found = {}
    for kernel_name in _listed(_BLOCK):
        name = _read(kernel_name, "dm/name")
        if re.fullmatch(wanted, name) and _read(kernel_name, "dm/uuid").startswith("LVM-"):
            found[kernel_name] = name
    return found


def _mangled(name: str) -> str:
    return name.replace("-", "--")


def _remove(name: str) -> None:
    """Raises OSError; one that is gone is fine."""
    request = bytearray(_DM.pack(4, 0, 0, _DM.size, 0, 0, 0, 0, 0, 0, 0, os.fsencode(name), b""))
    control = os.open("/dev/mapper/control", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(control, _DM_REMOVE, request)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
    finally:
        os.close(control)


def _read(name: str, what: str) -> str:
    with contextlib.suppress(OSError), open(f"{_BLOCK}/{name}/{what}", encoding="utf-8") as file:
        return file.read().strip()
    return ""


def _listed(directory: str) -> list[str]:
    with contextlib.suppress(OSError):
        return os.listdir(directory)
    return []
