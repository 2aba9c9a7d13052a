"""Mount and Unmount → mount(2) and umount2(2), or mount(8) for what only its helpers can do.

All calls block, for ever on a server that does not answer: run them outside the loop.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
from typing import NamedTuple

from reconciler.adapters.facts.mounts import MOUNTINFO, decode
from reconciler.asks import Mount as Mounted
from reconciler.errors import MayHeal
from reconciler.operations import Mount

_LIBC = ctypes.CDLL(None, use_errno=True)
_RDONLY, _REMOUNT, _BIND, _REC = 0x1, 0x20, 0x1000, 0x4000
_FORCE = 0x1
_NOFOLLOW = 0x8
_FLUSH = 0x1261  # BLKFLSBUF of linux/fs.h

_SET = {
    "ro": _RDONLY,
    "nosuid": 0x2,
    "nodev": 0x4,
    "noexec": 0x8,
    "sync": 0x10,
    "mand": 0x40,
    "dirsync": 0x80,
    "nosymfollow": 0x100,
    "noatime": 0x400,
    "nodiratime": 0x800,
    "silent": 0x8000,
    "relatime": 0x200000,
    "strictatime": 0x1000000,
    "lazytime": 0x2000000,
}
_CLEAR = {
    "rw": "ro",
    "suid": "nosuid",
    "dev": "nodev",
    "exec": "noexec",
    "async": "sync",
    "nomand": "mand",
    "symfollow": "nosymfollow",
    "atime": "noatime",
    "diratime": "nodiratime",
    "loud": "silent",
    "norelatime": "relatime",
    "nostrictatime": "strictatime",
    "nolazytime": "lazytime",
}
# Meant for others (fstab readers, systemd): nothing to do at the mount itself.
_NOT_OURS = frozenset(("defaults", "auto", "noauto", "nofail", "_netdev"))
_HELPED = frozenset(("loop", "user", "users", "owner", "group", "remount", "move", "helper", "uhelper"))
_HELPED |= {f"{r}{kind}" for r in ("", "r") for kind in ("shared", "private", "slave", "unbindable")}
_HELPER_DIRECTORIES = ("/sbin", "/usr/sbin")


class Options(NamedTuple):
    """`data` goes to the filesystem. `helped`: an option that only mount(8) understands, or ""."""

    flags: int
    data: str
    recursive: bool = False
    helped: str = ""


def parse(text: str) -> Options:
    """Options as in fstab → flags and the rest."""
    flags, data, recursive, helped = 0, [], False, ""
    for word in filter(None, text.split(",")):
        name = word.partition("=")[0]
        if word in _SET:
            flags |= _SET[word]
        elif word in _CLEAR:
            flags &= ~_SET[_CLEAR[word]]
        elif word in ("bind", "rbind"):
            recursive |= word == "rbind"
        elif name in _HELPED or name.lower().startswith("x-mount"):
            helped = word
        elif word not in _NOT_OURS and not name.startswith(("x-", "comment")):
            data.append(word)
    return Options(flags, ",".join(data), recursive, helped)


def needs_helper(operation: Mount) -> bool:
    """Whether mount(8) has to do it."""
    if operation.fstype in ("", "auto") or parse(operation.options).helped:
        return True
    if operation.source.partition("=")[0] in ("UUID", "LABEL", "PARTUUID", "PARTLABEL"):
        return True
    kind = operation.fstype.partition(".")[0]
    return kind == "fuse" or any(os.path.exists(f"{d}/mount.{kind}") for d in _HELPER_DIRECTORIES)


def mounted(operation: Mount) -> bool:
    """Mount it, unless it is already; False when that takes a helper. Raises MayHeal, OSError."""
    if "remount" not in operation.options.split(",") and already(operation):
        return True
    with contextlib.suppress(OSError):  # in use, by a bind mount of it: then nothing may be forgotten
        if stat.S_ISBLK(os.stat(operation.source).st_mode):
            read_anew(operation.source)
    if needs_helper(operation):
        return False
    mount(operation)
    return True


def already(operation: Mount) -> bool:
    """True when just this is mounted there; raises MayHeal for anything else in the way."""
    if not os.path.isdir(operation.target) and not os.path.isfile(operation.target):
        raise MayHeal(f"mount point {operation.target} does not exist")
    there = on_top(os.path.realpath(operation.target))
    if there is None:
        return False
    if _same(operation, there):
        return True
    raise MayHeal(f"{there.source} ({there.fstype}) is mounted on {operation.target} already")


def read_anew(device: str) -> None:
    """Forget what was read of a disk before: another host may have written it since.

    The kernel forgets it by itself with the last who has it open; somebody may have. Raises OSError
    when it is in use.
    """
    there = os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
    try:
        with contextlib.suppress(PermissionError):
            fcntl.ioctl(there, _FLUSH)
    finally:
        os.close(there)


def mount(operation: Mount) -> None:
    """By mount(2). Raises OSError with words for its meaning."""
    options = parse(operation.options)
    if operation.fstype != "bind":
        _mount(operation, operation.fstype, options.flags, options.data)
        return
    _mount(operation, "", _BIND | (_REC if options.recursive else 0), "")
    if options.flags:
        try:
            _mount(operation, "", _REMOUNT | _BIND | options.flags, "")
        except OSError:
            unmount(operation.target, force=False)  # not with less protection than asked for
            raise


def unmount(target: str, force: bool) -> None:
    """By umount2(2). Raises OSError."""
    if _LIBC.umount2(os.fsencode(target), _NOFOLLOW | (_FORCE if force else 0)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def table() -> list[Mounted]:
    """All mounts of this process's mount namespace, in the kernel's order. Never blocks."""
    with open(MOUNTINFO, "rb") as file:
        return [mount for line in file if (mount := decode(line.rstrip(b"\n"))) is not None]


def on_top(target: str) -> Mounted | None:
    """What is seen on a mount point, None when nothing is. The path as it is: no symlink is followed."""
    target = os.path.normpath(target)
    return next((mount for mount in reversed(table()) if mount.target == target), None)


def place(target: str) -> str:
    """The mount point a path means: symlinks in its parents are followed, itself is not looked at.

    Looking at it may hang, if a dead server is mounted there.
    """
    target = os.path.normpath(target)
    if on_top(target):
        return target
    return os.path.join(os.path.realpath(os.path.dirname(target)), os.path.basename(target))


def _same(operation: Mount, there: Mounted) -> bool:
    source = operation.source
    if operation.fstype == "bind":
        return os.path.samestat(os.stat(source), os.stat(operation.target))
    if operation.fstype not in ("", "auto", there.fstype):
        return False
    if source == there.source:
        return True
    if not source.startswith("/"):
        return False
    try:
        number = os.stat(source).st_rdev
    except OSError:
        return False
    same_number = number != 0 and there.device == f"{os.major(number)}:{os.minor(number)}"
    return same_number or os.path.realpath(source) == os.path.realpath(there.source)


def _mount(operation: Mount, fstype: str, flags: int, data: str) -> None:
    done = _LIBC.mount(
        os.fsencode(operation.source),
        os.fsencode(operation.target),
        os.fsencode(fstype),
        ctypes.c_ulong(flags),
        os.fsencode(data) or None,
    )
    if done:
        number = ctypes.get_errno()
        raise OSError(number, _meaning(number, operation))


def _meaning(number: int, operation: Mount) -> str:
    """mount(2) says little; these are its usual reasons."""
    source, text = operation.source, os.strerror(number)
    if number == errno.ENOENT and source.startswith("/") and not os.path.exists(source):
        return f"{source} does not exist"
    meaning = {
        errno.EINVAL: f"wrong filesystem type, bad option or damaged superblock on {source}",
        errno.EBUSY: f"{source} is in use elsewhere",
        errno.ENODEV: f"the kernel has no filesystem {operation.fstype}",
        errno.ENOTBLK: f"{source} is not a block device",
        errno.EROFS: f"{source} is write-protected",
        errno.EACCES: f"{source} is write-protected, or on a filesystem mounted nodev",
        errno.EUCLEAN: f"{source} needs a filesystem check",
    }.get(number)
    return f"{text}: {meaning}" if meaning else text
