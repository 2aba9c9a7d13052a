"""A pid → what /proc says about it: state, parent, session, start time, environment."""

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_KERNEL_THREAD = 0x00200000  # PF_KTHREAD


class Process(NamedTuple):
    """pid and start time (clock ticks after boot) together name one process for ever, this boot."""

    pid: int
    start_time: int
    name: str
    state: str  # one letter, as in proc(5)
    parent: int
    group: int
    session: int
    threads: int
    kernel: bool

    @property
    def alive(self) -> bool:
        """Not a zombie. A leader that ended before its threads looks like one, and still runs."""
        return self.state not in "ZXx" or self.threads > 1

    def __str__(self) -> str:
        return f"{self.pid} ({self.name})"


def read(pid: int) -> Process | None:
    """None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    head, _, rest = text.rpartition(") ")
    field = rest.split()
    return Process(
        pid=pid,
        start_time=int(field[19]),
        name=head.partition("(")[2],
        state=field[0],
        parent=int(field[1]),
        group=int(field[2]),
        session=int(field[3]),
        threads=int(field[17]),
        kernel=bool(int(field[6]) & _KERNEL_THREAD),
    )


def processes() -> Iterator[Process]:
    """All that are alive and no kernel threads."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            process = read(int(entry))
            if process and process.alive and not process.kernel:
                yield process


def environment(pid: int) -> Mapping[str, str] | None:
    """As it was given to the program; None when it cannot be read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            text = file.read().decode(errors="replace")
    except OSError:
        return None
    pairs = (line.partition("=") for line in text.split("\0"))
    return {key: value for key, equals, value in pairs if equals}


def boot_id() -> str:
    """Another one after every boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def ancestors(pid: int) -> set[int]:
    """The pid itself, its parent and so on up to pid 1."""
    found = {1}
    while pid > 1 and pid not in found:
        found.add(pid)
        process = read(pid)
        pid = process.parent if process else 0
    return found
