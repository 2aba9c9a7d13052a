"""AttachLoop and DetachLoop → ioctls on loop devices. All calls block: run them outside the loop."""

import contextlib
import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

from reconciler.adapters import holders
from reconciler.errors import MayHeal

_SET_FD, _CLR_FD, _SET_STATUS64, _GET_STATUS64, _CONFIGURE = 0x4C00, 0x4C01, 0x4C04, 0x4C05, 0x4C0A
_CTL_GET_FREE = 0x4C82
_READ_ONLY, _AUTOCLEAR = 1, 4
_INFO = struct.Struct("=QQQQQIIII64s64s32sQQ")  # struct loop_info64
_ATTEMPTS = 50
RELEASE_WITHIN = 2.0
"""Seconds for others (udev) to look at the device once more and close it."""


class _Status(NamedTuple):
    """What a configured loop device says of itself; `raw` to write back with other flags."""

    backing: tuple[int, int]  # device and inode of its file
    offset: int
    sizelimit: int
    flags: int
    raw: bytes


def attach(file: str, offset: int, sizelimit: int) -> str:
    """The loop device of the file: an existing one, or a free one. Raises OSError, MayHeal."""
    try:
        backing = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        flags = 0
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.ETXTBSY):
            raise
        backing = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        flags = _READ_ONLY
    try:
        seen = os.fstat(backing)
        for device in _configured():
            with _opened(device) as loop:
                status = _status(loop)
                wanted = ((seen.st_dev, seen.st_ino), offset, sizelimit)
                if status and (status.backing, status.offset, status.sizelimit) == wanted:
                    # `losetup -d` of a device in use marks it so: it would vanish at its last close.
                    if status.flags & _AUTOCLEAR:
                        _write_flags(loop, status, status.flags & ~_AUTOCLEAR)
                    return device
        return _configure_free(file, backing, offset, sizelimit, flags)
    finally:
        os.close(backing)


def detach(device: str, file: str) -> None:
    """Only from that file. Returns when the kernel has let go of it; raises MayHeal when it is busy."""
    until = time.monotonic() + RELEASE_WITHIN
    pause = 0.001
    while True:
        try:
            with _opened(device) as loop:
                number = _number(os.fstat(loop).st_rdev)
                if not _backed_by(device, loop, file):
                    return
                fcntl.ioctl(loop, _CLR_FD)
        except OSError as error:
            if error.errno in (errno.ENXIO, errno.ENOENT, errno.ENODEV):
                return
            if error.errno != errno.EBUSY:
                raise
        if not os.path.exists(_backing(device)):
            return
        if time.monotonic() > until:
            raise MayHeal(f"busy: {holders.of_loop(device, number) or 'who holds it was not found'}")
        time.sleep(pause)
        pause = min(2 * pause, 0.1)


def _configure_free(file: str, backing: int, offset: int, sizelimit: int, flags: int) -> str:
    info = _INFO.pack(0, 0, 0, offset, sizelimit, 0, 0, 0, flags, os.fsencode(file)[:63], b"", b"", 0, 0)
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS):
            device = f"/dev/loop{fcntl.ioctl(control, _CTL_GET_FREE)}"
            try:
                with _opened(device, os.O_RDONLY if flags & _READ_ONLY else os.O_RDWR) as loop:
                    _configure(loop, backing, info)
                    return device
            except OSError as error:
                # Somebody was faster, or the node is not there yet.
                if error.errno not in (errno.EBUSY, errno.ENOENT, errno.ENXIO):
                    raise
            time.sleep(0.005)
    finally:
        os.close(control)
    raise MayHeal("no free loop device could be had")


def _configure(loop: int, backing: int, info: bytes) -> None:
    try:
        fcntl.ioctl(loop, _CONFIGURE, struct.pack("=II", backing, 0) + info + b"\0" * 64)
        return
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EINVAL):  # kernels before 5.8 do not know it
            raise
    fcntl.ioctl(loop, _SET_FD, backing)
    try:
        fcntl.ioctl(loop, _SET_STATUS64, info)
    except OSError:
        fcntl.ioctl(loop, _CLR_FD)
        raise


def _configured() -> Iterator[str]:
    for name in os.listdir("/sys/class/block"):
        if name.startswith("loop") and os.path.exists(_backing(name)):
            yield f"/dev/{name}"


@contextlib.contextmanager
def _opened(device: str, how: int = os.O_RDONLY) -> Iterator[int]:
    fd = os.open(device, how | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _status(loop: int) -> _Status | None:
    buffer = bytearray(_INFO.size)
    try:
        fcntl.ioctl(loop, _GET_STATUS64, buffer)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise
    device, inode, _, offset, sizelimit, _, _, _, flags, *_ = _INFO.unpack(buffer)
    return _Status((device, inode), offset, sizelimit, flags, bytes(buffer))


def _write_flags(loop: int, status: _Status, flags: int) -> None:
    fields = list(_INFO.unpack(status.raw))
    fields[8] = flags
    fcntl.ioctl(loop, _SET_STATUS64, _INFO.pack(*fields))


def _backed_by(device: str, loop: int, file: str) -> bool:
    """False also when it has no file at all."""
    status = _status(loop)
    if status is None:
        return False
    names = {f"{file} (deleted)"}  # deleted or replaced meanwhile: the kernel remembers its name
    try:
        seen = os.stat(file)
        if status.backing == (seen.st_dev, seen.st_ino):
            return True
    except OSError:
        names.add(file)
    with open(_backing(device), encoding="utf-8") as text:
        return text.read().removesuffix("\n") in names


def _backing(device: str) -> str:
    """Where the kernel says which file a loop device has; there is no such file while it has none."""
    return f"/sys/class/block/{os.path.basename(device)}/loop/backing_file"


def _number(rdev: int) -> str:
    return f"{os.major(rdev)}:{os.minor(rdev)}"
