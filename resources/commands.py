"""Keywords of programs (user, limits, environment, command lines) → arguments of operations and asks."""

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NotRequired, TypedDict

from reconciler.asks import Check, CheckResult, Facts, File
from reconciler.model import State
from reconciler.operations import Exec, Spawn

UNHEARD = (126, 127)
"""Exit codes of a shell that could not run the command: they say nothing about the program."""


class ProgramSpec(TypedDict):
    """Keywords that every kind of program has."""

    user: NotRequired[str]
    group: NotRequired[str]
    cwd: NotRequired[str]
    umask: NotRequired[str]
    environment: NotRequired[Mapping[str, Any] | tuple[str, ...]]
    limit_as: NotRequired[int]
    limit_core: NotRequired[int]
    limit_cpu: NotRequired[float]
    limit_data: NotRequired[int]
    limit_fsize: NotRequired[int]
    limit_memlock: NotRequired[int]
    limit_nofile: NotRequired[int]
    limit_nproc: NotRequired[int]
    limit_rss: NotRequired[int]
    limit_stack: NotRequired[int]
    shell: bool
    retcodes: str
    check_timeout: float
    check_interval: float


@dataclass(frozen=True)
class Line:
    """A command as it will be run; `argv` empty: nothing is to be run."""

    argv: tuple[str, ...] = ()
    shell: bool = False

    def __bool__(self) -> bool:
        return bool(self.argv)

    @property
    def program(self) -> File | None:
        """The question after its program, where the path is certain; a shell finds its own."""
        first = self.argv[0] if self.argv and not self.shell else ""
        return File(first) if first.startswith("/") and "{" not in first else None

    def trouble(self, facts: Facts) -> str:
        """Why it cannot be run, as far as that can be seen beforehand; else ""."""
        if self.program is None:
            return ""
        found, path = facts.of(self.program), self.program.path
        if found is None:
            return f"{path} does not exist"
        if found.kind != "file":
            return f"{path} is a {found.kind}, not a program"
        return "" if found.mode & 0o111 else f"{path} is not executable: chmod +x {path}"


NOTHING = Line()


def line(command: object, action: str, shell: bool, script: str = "") -> Line:
    """A keyword's value as a command: true is `<script> <action>`, false and absent are nothing."""
    if script and command in (True, "true"):
        words = (script, action)
        return Line((shlex.join(words),), True) if shell else Line(words)
    if not isinstance(command, str) or command == "":
        return NOTHING
    return Line((command,), True) if shell else Line(split(command))


@lru_cache(maxsize=4096)
def split(command: str) -> tuple[str, ...]:
    """Words of a command line; an open quote makes it one word, which no program is named."""
    try:
        return tuple(shlex.split(command))
    except ValueError:
        return (command,)


class Manner(TypedDict):
    """As whom, where and with what a command runs."""

    user: str
    group: str
    cwd: str
    env: tuple[tuple[str, str], ...]
    umask: str
    limits: tuple[tuple[str, str], ...]


def _manner(spec: ProgramSpec) -> Manner:
    return {
        "user": spec.get("user", ""),
        "group": spec.get("group", ""),
        "cwd": spec.get("cwd", ""),
        "env": _environment(spec),
        "umask": spec.get("umask", ""),
        "limits": _limits(spec),
    }


def run(
    spec: ProgramSpec, what: Line, timeout: float, ok: tuple[int, ...] = (0,), interruptible: bool = False
) -> Exec:
    """Run it to its end; whatever it did, a check would tell."""
    return Exec(
        what.argv,
        ok=ok,
        **_manner(spec),
        timeout=timeout,
        interruptible=interruptible,
        shell=what.shell,
        touching=("checks",),
    )


def stay(spec: ProgramSpec, what: Line, output: str, settle: float) -> Spawn:
    """Start it and leave it running."""
    return Spawn(
        what.argv,
        **_manner(spec),
        output=output,
        shell=what.shell,
        settle=settle,
    )


def check(spec: ProgramSpec, what: Line, timeout: float, every: float) -> Check:
    """Ask it again and again."""
    return Check(
        what.argv,
        **_manner(spec),
        timeout=timeout,
        every=every,
        shell=what.shell,
    )


def verdict(result: CheckResult, retcodes: str) -> tuple[State, str]:
    """What a check's exit code means, and in words why it is not simply up or down."""
    code = result.code
    if code is None:
        times = f", {result.failures} times in a row" if result.failures > 1 else ""
        return State.UNKNOWN, f"the check did not end in time{times}"
    meaning = dict(pair.split(":", 1) for pair in retcodes.split())
    said = f": {lines[-1].strip()}" if (lines := result.output.strip().splitlines()) else ""
    if str(code) in meaning:
        state = State(meaning[str(code)])
        return state, "" if state in (State.UP, State.DOWN) else f"the check exited with code {code}{said}"
    if code in UNHEARD:
        return State.UNKNOWN, f"the check could not be run (exit code {code}{said})"
    if code < 0:
        return State.UNKNOWN, f"the check was killed by signal {-code}{said}"
    return State.WARN, f"the check exited with code {code}{said}"


def _environment(spec: ProgramSpec) -> tuple[tuple[str, str], ...]:
    given = spec.get("environment", {})
    if isinstance(given, Mapping):
        return tuple((name, str(value)) for name, value in given.items())
    pairs = (word.partition("=") for word in given)
    return tuple((name, value) for name, _, value in pairs)


def _limits(spec: ProgramSpec) -> tuple[tuple[str, str], ...]:
    """By the names of prlimit(1); whole numbers of bytes, seconds or things."""
    return tuple(
        (name.removeprefix("limit_"), str(math.ceil(value)))
        for name, value in spec.items()
        if name.startswith("limit_") and isinstance(value, int | float)
    )
