"""/sys/block/loop* → loop devices and the files behind them."""

import contextlib
import os
from collections.abc import Sequence

from reconciler.adapters.facts.source import Base, Desk, Subject
from reconciler.adapters.facts.uevents import Uevents
from reconciler.adapters.facts.workers import Workers
from reconciler.asks import Loop

SYSFS = "/sys/block"
_LIMIT = 5.0


class LoopSource(Base):
    """All loop devices that have a backing file. One that was deleted ends in " (deleted)"."""

    def __init__(self, every: float, uevents: Uevents, sysfs: str = SYSFS) -> None:
        super().__init__(every)
        self._uevents, self._sysfs = uevents, sysfs
        self._workers = Workers(2, self.ask_again)

    async def start(self, desk: Desk) -> None:
        await super().start(desk)
        self._uevents.listen(self._heard)
        self._uevents.start()

    async def look(self, subjects: Sequence[Subject]) -> None:
        await self._workers.run(subjects, lambda _: read(self._sysfs), lambda _: _LIMIT, self.desk.report)

    async def close(self) -> None:
        self._uevents.close()

    def _heard(self, name: str) -> None:
        if not name or name.startswith("loop"):
            self.desk.changed()


def read(sysfs: str) -> tuple[Loop, ...]:
    """Loops in the order of their numbers. Raises OSError when sysfs cannot be read."""
    names = [name for name in os.listdir(sysfs) if name.startswith("loop")]
    found = []
    for name in sorted(names, key=lambda name: (len(name), name)):
        place = f"{sysfs}/{name}/loop"
        if not os.access(place, os.F_OK):  # most are not attached: no exception for each of them
            continue
        with contextlib.suppress(OSError):  # gone while we read
            file = _read(f"{place}/backing_file")
            offset, limit = int(_read(f"{place}/offset")), int(_read(f"{place}/sizelimit"))
            found.append(Loop(f"/dev/{name}", file, offset, limit, _read(f"{place}/autoclear") == "1"))
    return tuple(found)


def _read(path: str) -> str:
    """There may be hundreds of these: without the layers of `open`."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.fsdecode(os.read(file, 4096).removesuffix(b"\n"))
    finally:
        os.close(file)
