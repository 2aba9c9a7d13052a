"""Paths → what is there; a watch on each directory tells of change, a look at all of them in periods."""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from grp import getgrgid
from itertools import chain
from posixpath import split
from pwd import getpwuid

from reconciler.adapters.facts.mounts import MountSource
from reconciler.adapters.facts.source import Base, Desk, Subject
from reconciler.adapters.facts.watches import Watches
from reconciler.adapters.facts.workers import Workers
from reconciler.asks import File, FileSeen

See = Callable[[str], FileSeen | None]
_LIMIT = 5.0
_MOST = 32
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFBLK: "block"}


class FileSource(Base):
    """Files by path. One on a dead mount costs its own answer and those of the same mount."""

    def __init__(
        self,
        every: float,
        events: bool,
        mounts: MountSource,
        see: "Callable[[str], FileSeen | None] | None" = None,
    ) -> None:
        super().__init__(every)
        self._mounts, self._see = mounts, see or seen
        self._watches = Watches(self._changed) if events else None
        self._subjects: dict[str, dict[str, tuple[Subject, ...]]] = {}  # by directory and name
        self._workers = Workers(
            _MOST, self.ask_again, domain=lambda subject: self._mount_of(subject.ask.path)
        )

    async def start(self, desk: Desk) -> None:
        await super().start(desk)
        if self._watches is not None:
            self._watches.start()
            self._mounts.listen(self._remounted)

    async def look(self, subjects: Sequence[Subject]) -> None:
        for subject in subjects:
            directory, name = split(_path(subject))
            names = self._subjects.setdefault(directory, {})
            if subject not in (known := names.get(name, ())):
                names[name] = (*known, subject)
        await self._workers.run(subjects, self._look, lambda _: _LIMIT, self.desk.report)

    def distrust(self) -> None:
        _user.cache_clear()
        _group.cache_clear()
        if self._watches is not None:
            self._watches.distrust()

    def forget(self, subjects: Iterable[Subject]) -> None:
        for subject in subjects:
            directory, name = split(_path(subject))
            names = self._subjects.get(directory, {})
            left = tuple(known for known in names.pop(name, ()) if known != subject)
            if left:
                names[name] = left
            if not names and self._subjects.pop(directory, None) is not None and self._watches is not None:
                self._watches.forget(directory)

    async def close(self) -> None:
        if self._watches is not None:
            self._watches.close()

    # --- in a thread -----------------------------------------------------------------------

    def _look(self, subject: Subject) -> FileSeen | None:
        path = _path(subject)
        if self._watches is not None:
            self._watches.cover(split(path)[0])  # before the look: what happens after it is an event
        return self._see(path)

    # --- in the loop -----------------------------------------------------------------------

    def _changed(self, directory: str, name: str | None) -> None:
        """Of the names in this directory this one, or all of them when None; "" for all there is."""
        if not directory:
            self.desk.changed()
            return
        names = self._subjects.get(directory, {})
        found = names.get(name, ()) if name is not None else tuple(chain(*names.values()))
        if found:
            self.desk.changed(found)

    def _remounted(self, targets: set[str]) -> None:
        """Below a new or vanished mount the same paths mean other files."""
        below = tuple(target.rstrip("/") + "/" for target in targets)
        for directory in self._subjects:
            if directory in targets or directory.startswith(below):
                if self._watches is not None:
                    self._watches.forget(directory)
                self._changed(directory, None)
        for target in targets:
            self._changed(*split(target))

    def _mount_of(self, path: str) -> str:
        targets = self._mounts.targets
        while path and path not in targets:
            path = split(path)[0]
        return path


def seen(path: str) -> FileSeen | None:
    """None when there is nothing of that name. Raises OSError when it cannot be told."""
    try:
        file = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as fault:
        if fault.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return _dangling(path)
    try:
        found = os.fstat(file)
        real = os.readlink(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
    if real == path or not found.st_nlink:  # deleted just now: the kernel has no path of it
        real = path  # one string, not two that are equal
    kind = _KINDS.get(stat.S_IFMT(found.st_mode), "other")
    # A directory's own size follows what is put into it, and tells nothing.
    return _made(kind, found, found.st_size if kind == "file" else 0, real)


def _dangling(path: str) -> FileSeen | None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            return _made("link", found, 0, "")
    return None


def _made(kind: str, found: os.stat_result, size: int, real: str) -> FileSeen:
    return FileSeen(
        kind=kind,
        mode=stat.S_IMODE(found.st_mode),
        user=_user(found.st_uid),
        group=_group(found.st_gid),
        size=size,
        uid=found.st_uid,
        gid=found.st_gid,
        real=real,
    )


@lru_cache(maxsize=1024)
def _user(uid: int) -> str:
    try:
        return getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@lru_cache(maxsize=1024)
def _group(gid: int) -> str:
    try:
        return getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _path(subject: Subject) -> str:
    assert isinstance(subject.ask, File)
    return subject.ask.path
