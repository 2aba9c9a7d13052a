"""/proc/self/mountinfo → the mount table; the kernel tells when to read it again."""

import asyncio
import re
import select
from collections.abc import Callable, Sequence
from functools import lru_cache

from reconciler.adapters.facts.source import IDLE_MOST, IDLE_SHARE, Base, Desk, Subject
from reconciler.asks import Mount, Mounts

MOUNTINFO = "/proc/self/mountinfo"
_AT_ONCE = 500  # lines decoded before the loop gets its turn
_ESCAPE = re.compile(r"\\([0-7]{3})")


class MountSource(Base):
    """The mount table of this process's mount namespace. `table` is the last one read."""

    def __init__(self, every: float, events: bool, path: str = MOUNTINFO) -> None:
        super().__init__(every)
        self._events, self._path = events, path
        self._poll: select.epoll | None = None
        self._reader: asyncio.Task[None] | None = None
        self._again = False
        self._listeners: list[Callable[[set[str]], None]] = []
        self.table: tuple[Mount, ...] = ()
        self.targets: frozenset[str] = frozenset({"/"})

    def listen(self, changed: Callable[[set[str]], None]) -> None:
        """Be told of the targets where something was mounted or unmounted."""
        self._listeners.append(changed)

    async def start(self, desk: Desk) -> None:
        await super().start(desk)
        if not self._events:
            return
        try:
            self._open = open(self._path, "rb")  # noqa: SIM115, ASYNC230  # kept to be polled; procfs
            self._poll = select.epoll()
            self._poll.register(self._open.fileno(), select.EPOLLPRI | select.EPOLLERR)
        except OSError:
            return
        asyncio.get_running_loop().add_reader(self._poll.fileno(), self._heard)

    async def look(self, subjects: Sequence[Subject]) -> None:
        await self.read()
        self.desk.report(dict.fromkeys(subjects, self.table))

    async def read(self) -> None:
        """Bring `table` up to date. Raises OSError."""
        with open(self._path, "rb") as file:  # noqa: ASYNC230  # procfs answers from memory
            lines = file.read().splitlines()
        mounts: list[Mount] = []
        for at in range(0, len(lines), _AT_ONCE):
            mounts += [mount for line in lines[at : at + _AT_ONCE] if (mount := decode(line)) is not None]
            await asyncio.sleep(0)
        new, old = tuple(mounts), self.table
        if new != old:
            self.table = new
            self.targets = frozenset(mount.target for mount in new) | {"/"}
            differing = {mount.target for mount in set(new) ^ set(old)}
            for listener in self._listeners:
                listener(differing)

    async def close(self) -> None:
        if self._poll is not None:
            asyncio.get_running_loop().remove_reader(self._poll.fileno())
            self._poll.close()
            self._open.close()
            self._poll = None
        if self._reader is not None:
            self._reader.cancel()

    def _heard(self) -> None:
        # Asking the outer poll has already taken the kernel's mark away: being called is the event.
        if self._poll is not None:
            self._poll.poll(0)
        self._again = True
        if self._reader is None:
            self._reader = asyncio.create_task(self._read_on())

    async def _read_on(self) -> None:
        """Read once for all events that came together, and leave the loop free for longer than that."""
        loop = asyncio.get_running_loop()
        try:
            while self._again:
                self._again, began = False, loop.time()
                self.desk.changed(())
                try:
                    await self.read()
                    self.desk.report({Subject(Mounts()): self.table})
                except (OSError, ValueError):
                    self.desk.changed()  # a look will say why
                await asyncio.sleep(min(IDLE_SHARE * (loop.time() - began), IDLE_MOST))
        finally:
            self._reader = None


@lru_cache(maxsize=16384)
def decode(line: bytes) -> Mount | None:
    """One line of mountinfo; None when it has another shape. Most lines were seen before."""
    before, found, after = line.decode(errors="surrogateescape").partition(" - ")
    left, right = before.split(" "), after.split(" ")
    if not found or len(left) < 6 or len(right) < 2:
        return None
    of_filesystem = right[2] if len(right) > 2 else ""
    return Mount(
        id=int(left[0]),
        parent=int(left[1]),
        device=left[2],
        root=_plain(left[3]),
        target=_plain(left[4]),
        fstype=_plain(right[0]),
        source=_plain(right[1]),
        options=_options(left[5]),
        super_options=_options(of_filesystem),
    )


def _options(text: str) -> frozenset[str]:
    return frozenset(_plain(option) for option in text.split(",") if option)


def _plain(text: str) -> str:
    r"""Undo the kernel's `\040` escapes; each escapes one byte of UTF-8, all of them ASCII."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), text) if "\\" in text else text
