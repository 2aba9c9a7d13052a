"""A device → the signature it carries, by a low-level probe of what is on the disk now."""

import asyncio
import os
import stat
from collections.abc import Iterable, Mapping, Sequence

from reconciler.adapters.facts import blkid
from reconciler.adapters.facts.block import block_path, path_of
from reconciler.adapters.facts.run import Prober
from reconciler.adapters.facts.source import Base, Desk, Subject
from reconciler.adapters.facts.uevents import Names, Uevents
from reconciler.adapters.facts.workers import Workers
from reconciler.asks import Failed, Signature, Signatures
from reconciler.errors import MayHeal

_LIMIT = 5.0
_FINDERS = 4
_EDGE = 4 << 20  # bytes at both ends of a device where signatures are


class SignatureSource(Base):
    """Devices are read in threads, for a dead disk may hang the first of them."""

    def __init__(self, every: float, uevents: Uevents, prober: Prober) -> None:
        super().__init__(every)
        self._uevents, self._prober = uevents, prober
        self._workers = Workers(16, self.ask_again)
        self._finders = asyncio.Semaphore(_FINDERS)
        self._names = Names()

    async def start(self, desk: Desk) -> None:
        await super().start(desk)
        self._uevents.listen(self._heard)
        self._uevents.start()

    async def look(self, subjects: Sequence[Subject]) -> None:
        self._names.asked(subjects)
        named = [subject for subject in subjects if block_path(_ask(subject).path)]
        plain = {subject: _ask(subject).path for subject in subjects if subject not in named}
        await asyncio.gather(self._read(plain), *(self._find(subject) for subject in named))

    def forget(self, subjects: Iterable[Subject]) -> None:
        self._names.forget(subjects)

    async def close(self) -> None:
        self._uevents.close()

    async def _find(self, subject: Subject) -> None:
        async with self._finders:
            path = await path_of(_ask(subject).path, self._prober)
        if isinstance(path, Failed):
            self.desk.report({subject: path})
        else:
            await self._read({subject: path})

    async def _read(self, paths: Mapping[Subject, str]) -> None:
        for subject, path in paths.items():
            # Before it is opened: what is told of it from then on is news. Device nodes are in memory.
            self._names.found(subject, _ask(subject).path, os.path.realpath(path))  # noqa: ASYNC240

        def report(answers: Mapping[Subject, Signature | Failed | None]) -> None:
            for subject, answer in answers.items():
                if not isinstance(answer, Signature):
                    self._names.found(subject, _ask(subject).path, "")
            self.desk.report(answers)

        await self._workers.run(paths, lambda subject: read(paths[subject]), lambda _: _LIMIT, report)

    def _heard(self, name: str) -> None:
        self.desk.changed(self._names.of(name))


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


def _ask(subject: Subject) -> Signatures:
    assert isinstance(subject.ask, Signatures)
    return subject.ask
