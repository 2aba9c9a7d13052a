"""What was started → a line of the ledger that says how to undo it: plain values, to JSON and back.

A line names all that is needed to stop the thing and to see it gone, so that the guard can do both with
the standard library alone, whatever became of the document, the agent and the store.

owner    "namespace/service:rid": lines of one service are undone one after another, the last one first.
standby  it stays up when the session ends: nothing of it is exclusive.
"""

import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple, get_args


class Program(NamedTuple):
    """A program and all it started: who is in the control group, and the session of the recorded pid.

    group   its control group; "" where none can be made: then some may escape.
    record  a file that begins `PID START_TIME BOOT_ID`, written by the program itself as it begins.
    grace   seconds that it is given after `signal`, as far as there is time for it; then SIGKILL.
    """

    owner: str
    group: str = ""
    record: str = ""
    signal: int = 15
    grace: float = 0.0
    standby: bool = False

    def __str__(self) -> str:
        return f"program {self.group or self.record}"


class Address(NamedTuple):
    """`address` with prefix."""

    owner: str
    address: str
    dev: str
    standby: bool = False

    def __str__(self) -> str:
        return f"address {self.address} on {self.dev}"


class Mount(NamedTuple):
    """Whatever is mounted on `target`, and `device` ("major:minor") wherever it is mounted.

    device  "" when it cannot be told before: then what is on the target is meant, whatever it is.
    """

    owner: str
    target: str
    source: str
    fstype: str
    device: str = ""
    standby: bool = False

    def __str__(self) -> str:
        return f"mount {self.source} on {self.target}"


class Loop(NamedTuple):
    """The loop devices of a file, from that offset."""

    owner: str
    file: str
    offset: int = 0
    standby: bool = False

    def __str__(self) -> str:
        return f"loop device of {self.file}"


class Volumes(NamedTuple):
    """Device-mapper devices of an LVM volume group, or of one logical volume in it."""

    owner: str
    group: str
    volume: str = ""
    standby: bool = False

    def __str__(self) -> str:
        return f"active volume {self.group}/{self.volume or '*'}"


class Command(NamedTuple):
    """A command that undoes; gone is when `verify` (without one: `argv`) exits with 0."""

    owner: str
    argv: tuple[str, ...]
    verify: tuple[str, ...] = ()
    timeout: float = 10.0
    standby: bool = False

    def __str__(self) -> str:
        return f"what `{shlex.join(self.argv)}` undoes"


class Damaged(NamedTuple):
    """A line that can no longer be read: what it was about is never seen gone."""

    owner: str
    text: str
    standby: bool = False

    def __str__(self) -> str:
        return f"an unreadable line of the ledger ({self.text[:40]!r})"


Line = Program | Address | Mount | Loop | Volumes | Command | Damaged

_KINDS: Mapping[str, type[Line]] = {kind.__name__.lower(): kind for kind in get_args(Line)}


def encode(line: Line) -> dict[str, Any]:
    """As JSON has it."""
    return {"what": type(line).__name__.lower(), **line._asdict()}


def decode(given: object) -> Line:
    """The reverse. Raises ValueError for anything that `encode` would not have made."""
    if not isinstance(given, Mapping):
        raise ValueError(f"not a line: {given!r}")
    kind = _KINDS.get(str(given.get("what")))
    if kind is None:
        raise ValueError(f"no such line: {given.get('what')!r}; the guard knows {', '.join(_KINDS)}")
    words = {}
    for name, value in given.items():
        if name != "what":
            words[name] = _checked(kind, name, value)
    if missing := set(kind._fields) - set(kind._field_defaults) - set(words):
        raise ValueError(f"a {given['what']} without {', '.join(sorted(missing))}")
    return kind(**words)


def _checked(kind: type[Line], name: str, value: object) -> Any:
    wanted = kind.__annotations__.get(name)
    match value:
        case bool() if wanted is bool:
            return value
        case int() if wanted in (int, float) and not isinstance(value, bool):
            return wanted(value)
        case float() if wanted is float and 0 <= value < float("inf"):
            return value
        case str() if wanted is str:
            return value
        case list() | tuple() if wanted == tuple[str, ...] and all(isinstance(v, str) for v in value):
            return tuple(value)
    raise ValueError(f"{kind.__name__.lower()}.{name} cannot be {value!r}")
