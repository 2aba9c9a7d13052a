"""The words of Standfast as frozen values: states, goals, resources, services, steps, plans."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from reconciler.operations import Operation


def nothing() -> Mapping[str, Any]:
    """The empty mapping, as a default of frozen fields."""
    return _NOTHING


_NOTHING: Mapping[str, Any] = MappingProxyType({})

GROUPS = ("ip", "volume", "disk", "fs", "share", "container", "app", "sync", "task")
"""Resource groups in the order of a start; a stop takes them reversed."""


class State(StrEnum):
    """What a resource, an instance or a service looks like.

    UNKNOWN is not DOWN: a source that failed has not said anything. ELSEWHERE means that a mark
    on the thing itself (tag, system id, reservation) names another holder, or that the claim of
    another service has the thing on this host.
    """

    UP = "up"
    DOWN = "down"
    WARN = "warn"
    NA = "n/a"
    UNKNOWN = "unknown"
    ELSEWHERE = "elsewhere"
    STANDBY_UP = "stdby up"
    STANDBY_DOWN = "stdby down"


class Goal(StrEnum):
    """What a driver is asked for. A service's goal is turned into one of these per resource."""

    UP = "up"
    STANDBY = "standby"
    DOWN = "down"
    NONE = "none"


class ServiceGoal(StrEnum):
    """What this node does with a service.

    DOWN leaves standby resources up; ABSENT takes them down too; UNTOUCHED only looks.
    """

    UP = "up"
    STANDBY = "standby"
    DOWN = "down"
    ABSENT = "absent"
    UNTOUCHED = "untouched"


class Level(StrEnum):
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Note:
    """A line below a resource in the status tree."""

    level: Level
    text: str


def info(text: str) -> Note:
    return Note(Level.INFO, text)


def warning(text: str) -> Note:
    return Note(Level.WARN, text)


def error(text: str) -> Note:
    return Note(Level.ERROR, text)


@dataclass(frozen=True, slots=True)
class Observed:
    """One resource's state, read off the facts.

    provisioned  True or False where it can be seen, None where there is nothing to provision or
                 it cannot be told from here.
    blocked      why no step towards up can succeed until the world changes (device missing, a
                 foreign mount in the way): reported and waited for, not tried.
    exposes      what references may read while it is up: {"exposed_devs": ("/dev/loop0",)}.
    identity     names this very instance (mount id, device number, pid and start time): what
                 stands on it was started on an earlier one when it changes.
    left         nothing of it is in use here: a mark on what several hosts share says that it was.
    may_mark     False: this host has no session, and leaves such marks as they are.
    data         the driver's own, carried from `observe` to `operations`; may be empty.
    again_in     seconds after which a new look is worthwhile without any event.
    """

    state: State
    label: str = ""
    notes: tuple[Note, ...] = ()
    provisioned: bool | None = None
    blocked: str = ""
    holder: str = ""
    exposes: Mapping[str, tuple[str, ...]] = field(default_factory=nothing)
    identity: str = ""
    left: bool = False
    may_mark: bool = True
    data: Mapping[str, Any] = field(default_factory=nothing)
    again_in: float | None = None


def unknown(why: str, label: str = "") -> Observed:
    """Could not look: nothing is started, created or destroyed on a guess."""
    return Observed(State.UNKNOWN, label=label, notes=(warning(why),))


def settled(goal: Goal, seen: Observed) -> bool:
    """True when nothing is left to do for this goal. Drivers' `operations` is empty exactly then."""
    return seen.state in SETTLED[goal]


SETTLED: Mapping[Goal, tuple[State, ...]] = {
    Goal.UP: (State.UP, State.NA),
    Goal.STANDBY: (State.UP, State.NA),
    Goal.DOWN: (State.DOWN, State.NA, State.ELSEWHERE),
    Goal.NONE: tuple(State),
}


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose operation or question it is. `service` is a key (`namespace/name`)."""

    service: str
    rid: str = ""

    def __str__(self) -> str:
        return f"{self.service}:{self.rid}" if self.rid else self.service


@dataclass(frozen=True, slots=True)
class Trigger:
    """A user's command around an action. A blocking one that fails ends the job."""

    when: str  # "pre" or "post"
    action: str  # start, stop, provision, unprovision
    command: str
    blocking: bool = False


@dataclass(frozen=True, slots=True)
class Common:
    """The keywords every resource has (design §5). Times in seconds.

    provision  the loop creates what is missing and was never provisioned. False with `creatable`:
               only on command; without it: never, not even on command.
    """

    optional: bool = False
    disable: bool = False
    monitor: bool = False
    restart: int = 3
    restart_delay: float = 0.5
    standby: bool = False
    shared: bool = False
    subset: str = ""
    parallel: bool = False  # of its subset
    tags: frozenset[str] = frozenset()
    after: tuple[str, ...] = ()
    provision: bool = True
    creatable: bool = True
    unprovision: bool = True
    timeouts: Mapping[str, float] = field(default_factory=nothing)  # start, stop, provision, unprovision, …
    triggers: tuple[Trigger, ...] = ()
    requires: Mapping[str, tuple[tuple[str, frozenset[State]], ...]] = field(default_factory=nothing)
    on_change: str = "restart"  # or ignore: what it stands on was replaced


@dataclass(frozen=True, slots=True)
class Resource:
    """One part of a service.

    spec  the driver's keywords, scoped, dereferenced and with defaults; strings may still hold
          run-time references (`{disk#1.exposed_devs[0]}`), bound before a driver sees them.
    refs  rids that its keywords refer to.
    late  it holds run-time references (in its spec or triggers): to be bound first.
    """

    rid: str
    kind: str
    spec: Mapping[str, Any]
    common: Common = Common()
    refs: frozenset[str] = frozenset()
    line: int = 0
    late: bool = False

    @property
    def group(self) -> str:
        return self.rid.partition("#")[0]


@dataclass(frozen=True, slots=True)
class Flex:
    min: int = 1
    max: int = 0  # 0: as many as there are nodes
    target: int = 1


@dataclass(frozen=True, slots=True)
class Service:
    """A document as wanted, resolved for this node."""

    name: str
    namespace: str = "root"
    labels: Mapping[str, str] = field(default_factory=nothing)
    app: str = "default"
    env: str = "TST"
    nodes: tuple[str, ...] = ()  # node names, in placement order
    selectors: tuple[str, ...] = ()  # what of `nodes` as written stands for whatever nodes match
    topology: str = "failover"
    flex: Flex = Flex()
    orchestrate: str = "ha"
    placement: str = "nodes order"
    failback: str = "never"
    state: str = "started"
    on_delete: str = "stop"
    monitor_action: str = "switch"
    priority: int = 50
    rollback: bool = True
    disable: bool = False
    requires_safety: str = ""  # "" : derived from its resources
    relations: Mapping[str, tuple[str, ...]] = field(
        default_factory=nothing
    )  # parents, children, affinities
    resources: tuple[Resource, ...] = ()
    source: str = ""  # path of the file
    line: int = 0  # of `state:` in it, for "git says stopped (file:line)"
    generation: str = ""  # hash of its content

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def several_nodes(self) -> bool:
        """It may run on more than this one: what is selected may be more than is known yet."""
        return len(self.nodes) > 1 or bool(self.selectors)

    @property
    def nodes_shown(self) -> str:
        """Its nodes, and by what they were chosen, in words."""
        by = f", by {', '.join(self.selectors)}" if self.selectors else ""
        return f"{', '.join(self.nodes) or 'none match'}{by}"

    def resource(self, rid: str) -> Resource | None:
        return next((r for r in self.resources if r.rid == rid), None)


class Act(StrEnum):
    """What kind of step it is: only CREATE and DESTROY may touch data."""

    PREFLIGHT = "preflight"
    CREATE = "provision"
    START = "start"
    STOP = "stop"
    DESTROY = "unprovision"


@dataclass(frozen=True, slots=True)
class Step:
    """The operations of one resource that are ready now, as one job, and why."""

    rid: str
    act: Act
    why: str
    operations: tuple[Operation, ...]
    goal: Goal = Goal.NONE
    timeout: float = 3600.0


@dataclass(frozen=True, slots=True)
class Waiting:
    rid: str
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, what would follow if each step ends as expected, and what waits for what."""

    now: tuple[Step, ...] = ()
    then: tuple[Step, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    notes: tuple[str, ...] = ()  # what else who reads it should know

    def __bool__(self) -> bool:
        return bool(self.now)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one operation ended. `output` is what it printed, at most 64 KiB, both streams."""

    ok: bool
    seconds: float = 0.0
    error: str = ""
    output: str = ""
    code: int | None = None
    conflict: bool = False  # a probe was answered by somebody else
    values: Mapping[str, str] = field(default_factory=nothing)
