"""A path, LABEL= or UUID= → the block device of that name, or None."""

import asyncio
import contextlib
import os
import stat
from collections.abc import Iterable, Mapping, Sequence

from reconciler.adapters.facts.run import NotInstalled, Prober
from reconciler.adapters.facts.source import Base, Desk, Subject
from reconciler.adapters.facts.uevents import Names, Uevents
from reconciler.adapters.facts.workers import Workers
from reconciler.asks import Block, BlockDevice, Failed, Signatures
from reconciler.errors import MayHeal

LIMIT = 5.0
_BY = {"LABEL": "by-label", "UUID": "by-uuid", "PARTLABEL": "by-partlabel", "PARTUUID": "by-partuuid"}
_PLAIN = frozenset("#+-.:=@_/")  # besides letters and digits: what udev leaves as it is in names of links


class ByDevice(Base):
    """Answers about devices by path or name, looked at in threads: a dead disk may hang even `stat`."""

    def __init__(self, every: float, uevents: Uevents, prober: Prober) -> None:
        super().__init__(every)
        self._uevents, self._prober = uevents, prober
        self._workers = Workers(16, self.ask_again)
        self._finders = asyncio.Semaphore(4)
        self._names = Names()

    async def start(self, desk: Desk) -> None:
        await super().start(desk)
        self._uevents.listen(self._heard)
        self._uevents.start()

    async def look(self, subjects: Sequence[Subject]) -> None:
        self._names.asked(subjects)
        named = [subject for subject in subjects if block_path(asked_path(subject))]
        plain = {subject: asked_path(subject) for subject in subjects if subject not in named}
        await asyncio.gather(self._look_at(plain), *(self._find(subject) for subject in named))

    async def _look_at(self, paths: Mapping[Subject, str]) -> None:
        """Report an answer for each."""
        raise NotImplementedError  # it is what the sources differ in

    async def _find(self, subject: Subject) -> None:
        async with self._finders:
            path = await path_of(asked_path(subject), self._prober)
        if isinstance(path, Failed):
            self.desk.report({subject: path})
        else:
            await self._look_at({subject: path})

    def forget(self, subjects: Iterable[Subject]) -> None:
        self._names.forget(subjects)

    async def close(self) -> None:
        self._uevents.close()

    def _heard(self, name: str) -> None:
        self.desk.changed(self._names.of(name))


class BlockSource(ByDevice):
    """Devices by name."""

    async def _look_at(self, paths: Mapping[Subject, str]) -> None:
        def report(answers: Mapping[Subject, Block | Failed | None]) -> None:
            for subject, answer in answers.items():
                real = answer.path if isinstance(answer, Block) else ""
                self._names.found(subject, asked_path(subject), real)
            self.desk.report(answers)

        await self._workers.run(paths, lambda subject: device(paths[subject]), lambda _: LIMIT, report)


def device(path: str) -> Block | None:
    """None when there is no block device of that path. Raises OSError when it cannot be told."""
    if not path:
        return None
    try:
        real = os.path.realpath(path, strict=True)
        seen = os.stat(real)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISBLK(seen.st_mode):
        return None
    number = f"{os.major(seen.st_rdev)}:{os.minor(seen.st_rdev)}"
    try:
        with open(f"/sys/dev/block/{number}/size") as size, open(f"/sys/dev/block/{number}/ro") as readonly:
            bytes_, ro = int(size.read()) * 512, readonly.read().strip() == "1"
            return Block(real, number, bytes_, ro, _other_names(path, real, number))
    except FileNotFoundError:
        return None  # a node that is left over: the kernel has no such device


def _other_names(path: str, real: str, number: str) -> tuple[str, ...]:
    """The path that was asked, and the one that mount(8) shows for a device-mapper device."""
    names = [path]
    with contextlib.suppress(OSError), open(f"/sys/dev/block/{number}/dm/name") as name:
        names.append(f"/dev/mapper/{name.read().strip()}")
    return tuple(dict.fromkeys(name for name in names if name != real))


async def path_of(name: str, prober: Prober) -> str | Failed:
    """The path behind LABEL= and the like: udev's link, else what blkid finds; "" when nothing does."""
    link = block_path(name)
    if link is None:
        return name
    if os.path.lexists(link):  # noqa: ASYNC240  # in memory, no disk is asked
        return link
    key, _, value = name.partition("=")
    wanted = f"{key}={_unquoted(value)}"
    try:
        found = await prober.run(("blkid", "-c", "/dev/null", "-l", "-o", "device", "-t", wanted), LIMIT)
    except NotInstalled:
        return ""  # without it udev's links are all there is
    except MayHeal as fault:
        return Failed(str(fault))
    return found.out.strip() if found.code in (0, 2) else Failed(f"blkid: {found.complaint}")


def block_path(name: str) -> str | None:
    """The link udev makes for LABEL= and the like, None when it is a path already."""
    key, equals, value = name.partition("=")
    return f"/dev/disk/{_BY[key]}/{encoded(_unquoted(value))}" if equals and key in _BY else None


def _unquoted(value: str) -> str:
    return value.strip('"')


def encoded(value: str) -> str:
    """As udev writes a label into the name of a link."""
    return "".join(
        char if char.isalnum() or char in _PLAIN - {"/"} else "".join(f"\\x{b:02x}" for b in char.encode())
        for char in value
    )


def asked_path(subject: Subject) -> str:
    assert isinstance(subject.ask, BlockDevice | Signatures)
    return subject.ask.path
