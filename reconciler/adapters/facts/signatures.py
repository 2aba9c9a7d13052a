"""A device → the signature it carries, by blkid's low-level probe of what is on the disk now."""

import asyncio
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.adapters.facts.block import path_of
from reconciler.adapters.facts.run import NotInstalled, Prober
from reconciler.adapters.facts.source import Base, Desk, Subject
from reconciler.adapters.facts.uevents import Names, Uevents
from reconciler.adapters.facts.workers import Workers
from reconciler.asks import Failed, Signature, Signatures
from reconciler.errors import MayHeal

_LIMIT = 5.0
_AT_ONCE = 4
_NOTHING, _SEVERAL = 2, 8  # exit codes of blkid -p
_EDGE = 4 << 20  # bytes at both ends of a device where signatures are


class SignatureSource(Base):
    """At most four probes at once, one for each device."""

    def __init__(self, every: float, uevents: Uevents, prober: Prober) -> None:
        super().__init__(every)
        self._uevents, self._prober = uevents, prober
        self._workers = Workers(16, self.ask_again)
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._names = Names()

    async def start(self, desk: Desk) -> None:
        await super().start(desk)
        self._uevents.listen(self._heard)
        self._uevents.start()

    async def look(self, subjects: Sequence[Subject]) -> None:
        self._names.asked(subjects)
        await asyncio.gather(*(self._look(subject) for subject in subjects))

    def forget(self, subjects: Iterable[Subject]) -> None:
        self._names.forget(subjects)

    async def close(self) -> None:
        self._uevents.close()

    async def _look(self, subject: Subject) -> None:
        assert isinstance(subject.ask, Signatures)
        async with self._at_once:
            path = await path_of(subject.ask.path, self._prober)
        if isinstance(path, Failed):
            self.desk.report({subject: path})
            return
        # Before it is opened: what is told of it from then on is news. Device nodes are in memory.
        self._names.found(subject, subject.ask.path, os.path.realpath(path))  # noqa: ASYNC240
        opened: dict[Subject, Any] = {}
        await self._workers.run([subject], lambda _: open_anew(path), lambda _: _LIMIT, opened.update)
        if opened[subject] is not True:
            self._names.found(subject, subject.ask.path, "")
            self.desk.report({subject: None if opened[subject] is False else opened[subject]})
            return
        async with self._at_once:
            self.desk.report({subject: await self._probe(path)})

    async def _probe(self, path: str) -> Signature | Failed:
        try:
            found = await self._prober.run(("blkid", "-p", "-o", "export", path), _LIMIT)
        except NotInstalled:
            return Failed("blkid is not installed: apt install util-linux")
        except MayHeal as fault:
            return Failed(str(fault))
        match found.code:
            case 0:
                return decode(found.out)
            case code if code == _NOTHING and not found.err.strip():
                return Signature()
            case code if code == _SEVERAL:
                return Signature("several")
        return Failed(f"blkid {path}: {found.complaint}")

    def _heard(self, name: str) -> None:
        self.desk.changed(self._names.of(name))


def open_anew(path: str) -> bool:
    """False when there is no such device. Raises OSError, MayHeal when it cannot be read.

    What this host has cached of its ends is dropped: another host may have written there since.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        kind = os.fstat(file).st_mode
        if not (stat.S_ISBLK(kind) or stat.S_ISREG(kind)):
            return False
        size = os.lseek(file, 0, os.SEEK_END)
        if not size:
            raise MayHeal(f"{path} has no size: nothing is attached to it")
        os.posix_fadvise(file, 0, _EDGE, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(file, max(0, size - _EDGE), 0, os.POSIX_FADV_DONTNEED)
        os.pread(file, 1, 0)  # blkid keeps a read error to itself
    finally:
        os.close(file)
    return True


def decode(text: str) -> Signature:
    """blkid's export format: KEY=value, the value escaped for a shell."""
    fields: Mapping[str, str] = {
        key: re.sub(r"\\(.)", r"\1", value)
        for key, equals, value in (line.partition("=") for line in text.splitlines())
        if equals
    }
    kind = fields.get("TYPE") or fields.get("PTTYPE", "")
    usage = fields.get("USAGE") or ("partitions" if "PTTYPE" in fields else "")
    return Signature(kind, usage, fields.get("LABEL", ""), fields.get("UUID") or fields.get("PTUUID", ""))
