"""A device → the signature it carries, by a low-level probe of what is on the disk now."""

import os
import stat
from collections.abc import Mapping

from reconciler.adapters.facts import blkid
from reconciler.adapters.facts.block import ByDevice, asked_path
from reconciler.adapters.facts.source import Subject
from reconciler.asks import Failed, Signature
from reconciler.errors import MayHeal

_LIMIT = 5.0
_EDGE = 4 << 20  # bytes at both ends of a device where signatures are


class SignatureSource(ByDevice):
    """What devices carry."""

    async def _look_at(self, paths: Mapping[Subject, str]) -> None:
        for subject, path in paths.items():
            # Before it is opened: what is told of it from then on is news.
            real = os.path.realpath(path)  # noqa: ASYNC240  # device nodes are in memory
            self._names.found(subject, asked_path(subject), real)

        def report(answers: Mapping[Subject, Signature | Failed | None]) -> None:
            for subject, answer in answers.items():
                if not isinstance(answer, Signature):
                    self._names.found(subject, asked_path(subject), "")
            self.desk.report(answers)

        await self._workers.run(paths, lambda subject: read(paths[subject]), lambda _: _LIMIT, report)


def read(path: str) -> Signature | None:
    """None when there is no such device. Raises OSError, MayHeal when it cannot be read.

    What this host has cached of its ends is dropped: another host may have written there since.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        kind = os.fstat(file).st_mode
        if not (stat.S_ISBLK(kind) or stat.S_ISREG(kind)):
            return None
        size = os.lseek(file, 0, os.SEEK_END)
        if not size:
            raise MayHeal(f"{path} has no size: nothing is attached to it")
        os.posix_fadvise(file, 0, _EDGE, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(file, max(0, size - _EDGE), 0, os.POSIX_FADV_DONTNEED)
        os.pread(file, 1, 0)  # the probe keeps a read error to itself
        return blkid.probe(file, path)
    finally:
        os.close(file)
