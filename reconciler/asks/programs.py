"""What is asked about programs, checks and ourselves → the values that answer."""

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.asks.ask import Ask


@dataclass(frozen=True, slots=True)
class ProgramSeen:
    """The program of a resource.

    code  exit status once it ended (negative: signal), None while it runs or when it was adopted
          by a later daemon, which cannot know it.
    """

    pid: int
    start_time: int  # clock ticks after boot, field 22 of /proc/PID/stat
    running: bool
    adopted: bool = False
    code: int | None = None
    leftovers: int = 0  # other processes of its control group or session still alive


@dataclass(frozen=True, slots=True)
class Program(Ask[ProgramSeen | None]):
    """The program this resource spawned, found again after a restart; None when there is none."""

    source = "programs"
    relative = True


@dataclass(frozen=True, slots=True)
class CheckResult:
    """code None: it did not end within its time limit, and says nothing."""

    code: int | None
    output: str = ""
    failures: int = 0  # looks in a row without an answer


@dataclass(frozen=True, slots=True)
class Check(Ask[CheckResult]):
    """A user's command, run every `every` seconds, at most one at a time for each resource."""

    argv: tuple[str, ...]
    user: str = ""
    group: str = ""
    cwd: str = ""
    env: tuple[tuple[str, str], ...] = ()
    umask: str = ""
    limits: tuple[tuple[str, str], ...] = ()
    timeout: float = 60.0
    every: float = 10.0
    shell: bool = False
    source = "checks"
    relative = True
    costly = True


@dataclass(frozen=True, slots=True)
class Memory(Ask[Mapping[str, str]]):
    """What `Remember` wrote for this resource and still holds (since this boot, or for ever)."""

    source = "memory"
    relative = True


@dataclass(frozen=True, slots=True)
class NodeSeen:
    name: str
    boot_id: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Node(Ask[NodeSeen]):
    source = "node"
