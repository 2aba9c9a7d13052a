"""File operations → system calls, each as good done twice as once. All block: run them outside the loop."""

import contextlib
import grp
import os
import pwd
import stat
import tempfile

from reconciler.adapters import mounting
from reconciler.errors import MayHeal
from reconciler.operations import CreateImage, MakeDirectory, RemoveDirectory, WriteFile

_TOP = ("", "bin", "boot", "dev", "etc", "home", "lib", "lib64", "media", "mnt", "opt", "proc", "root")
_MORE = ("run", "sbin", "srv", "sys", "tmp", "usr", "usr/bin", "usr/lib", "var", "var/lib", "var/log")
_SYSTEM = frozenset(f"/{name}" for name in (*_TOP, *_MORE))


def write(operation: WriteFile) -> None:
    """By rename: whoever reads sees the old content or the new. An empty one is only made."""
    path, content = operation.path, operation.content.encode()
    if os.path.isdir(path):
        raise IsADirectoryError(21, "is a directory", path)
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    if not content:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))
        return
    with contextlib.suppress(OSError), open(path, "rb") as file:
        if file.read(len(content) + 1) == content:
            return
    fd, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".standfast-")
    try:
        with open(fd, "wb") as file:
            file.write(content)
            os.fchmod(fd, 0o644)
            file.flush()
            os.fsync(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(path)


def make_directory(operation: MakeDirectory) -> None:
    """Parents too; owner and mode only if named, and then also those of an existing one."""
    path = operation.path
    os.makedirs(path, exist_ok=True)
    if operation.user or operation.group:
        uid = _id(operation.user, "user")
        gid = _id(operation.group, "group")
        os.chown(path, uid, gid)
    if operation.mode:
        os.chmod(path, int(operation.mode, 8))


def remove_directory(operation: RemoveDirectory) -> None:
    """With its contents only when asked; never a mount point, nor across one."""
    path = os.path.abspath(operation.path)
    if path in _SYSTEM or os.path.realpath(path) in _SYSTEM:
        raise MayHeal(f"{path} belongs to the system and is not removed")
    if os.path.islink(path):
        raise MayHeal(f"{path} is a symbolic link, not a directory: remove it by hand")
    real = os.path.realpath(path)
    if inside := [m.target for m in mounting.table() if f"{m.target}/".startswith(f"{real}/")]:
        raise MayHeal(f"{', '.join(inside)} is mounted there: unmount it first")
    with contextlib.suppress(FileNotFoundError):
        if operation.contents:
            parent = os.open(os.path.dirname(real), os.O_RDONLY | os.O_DIRECTORY)
            try:
                device = os.stat(real, follow_symlinks=False).st_dev
                _empty(parent, os.path.basename(real), device)
            finally:
                os.close(parent)
        os.rmdir(real)


def create_image(operation: CreateImage) -> None:
    """Sparse. One of that size that nothing was written to yet is taken as ours."""
    fd = os.open(operation.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        seen = os.fstat(fd)
        if not stat.S_ISREG(seen.st_mode):
            raise MayHeal(f"{operation.path} is not a regular file")
        if seen.st_blocks or seen.st_size not in (0, operation.size):
            raise MayHeal(f"{operation.path} exists and has content: it is not overwritten")
        os.ftruncate(fd, operation.size)
    finally:
        os.close(fd)


def _empty(parent: int, name: str, device: int) -> None:
    """Remove what is in the directory, by descriptors: a symlink put in its way leads nowhere."""
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        if os.fstat(fd).st_dev != device:
            raise MayHeal(f"another filesystem is mounted on {name}: nothing is removed across it")
        with os.scandir(fd) as entries:
            for entry in list(entries):
                if entry.is_dir(follow_symlinks=False):
                    _empty(fd, entry.name, device)
                    os.rmdir(entry.name, dir_fd=fd)
                else:
                    os.unlink(entry.name, dir_fd=fd)
    finally:
        os.close(fd)


def _id(name: str, kind: str) -> int:
    """-1 (leave it) without a name. Raises MayHeal for one that is not known."""
    if not name:
        return -1
    if name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid if kind == "user" else grp.getgrnam(name).gr_gid
    except KeyError:
        raise MayHeal(f"no {kind} {name!r} on this host") from None
