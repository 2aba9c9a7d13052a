"""Resources as observed → states of instance and service, and the `status` of the API's own object."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any, NamedTuple

from reconciler.decide.candidates import BY_LOAD
from reconciler.model import Common, Goal, Level, Note, Observed, Resource, Service, State, info, warning

OUTSIDE_AVAIL = ("sync", "task")
"""Groups that say nothing about whether the service is available."""


# --- states --------------------------------------------------------------------------------


def merge(states: Iterable[State]) -> State:
    """One state for a set of them; neither order nor number matters, and n/a is neutral.

    For up, down, warn, n/a and the standby pair this equals OpenSVC's table. Two things differ on
    purpose: its `undef` is neutral where our `unknown` beside anything else is a warning (not
    having looked is news), and `elsewhere`, which it does not have, merges as down.
    """
    kinds = {State.DOWN if state is State.ELSEWHERE else state for state in states} - {State.NA}
    if not kinds:
        return State.NA
    if len(kinds) == 1:
        return kinds.pop()
    return _MIXED.get(frozenset(kinds), State.WARN)


_MIXED = {
    frozenset({State.UP, State.STANDBY_UP}): State.UP,
    frozenset({State.DOWN, State.STANDBY_DOWN}): State.STANDBY_DOWN,
    frozenset({State.DOWN, State.STANDBY_UP}): State.STANDBY_UP,
}


def displayed(state: State, standby: bool) -> State:
    """The state as shown: of a standby resource, up and down are `stdby up` and `stdby down`."""
    if standby:
        return {State.UP: State.STANDBY_UP, State.DOWN: State.STANDBY_DOWN}.get(state, state)
    return state


def flags(
    common: Common,
    *,
    running: bool = False,
    provisioned: bool | None = None,
    restarts_left: int | None = None,
    stopped_on_purpose: bool = False,
) -> str:
    """Eight characters: Running, Monitored, Disabled, Optional, Encapsulated, not Provisioned,
    Standby, and the restarts left.

    `/` in the sixth: nothing to provision. The eighth is `.` without a budget, `+` above nine and
    `X` when a person stopped the resource on purpose.
    """
    budget = "." if restarts_left is None or not common.restart else str(max(restarts_left, 0))
    text = "".join(
        (
            "R" if running else ".",
            "M" if common.monitor else ".",
            "D" if common.disable else ".",
            "O" if common.optional else ".",
            "E" if "encap" in common.tags else ".",
            {True: ".", False: "P", None: "/"}[provisioned],
            "S" if common.standby else ".",
            "X" if stopped_on_purpose else budget if len(budget) == 1 else "+",
        )
    )
    return intern(text)  # ten thousand have the same


# --- one resource --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ResourceReport:
    """What one pass knows of one resource on this host.

    provisioned    as observed, or else as remembered; None: nothing to provision.
    restarts_left  None: no budget is being counted.
    failures       starts that failed and losses since it was last stable.
    since          wall-clock time of the last change of state.
    waiting        why a step that is wanted is not ready, or "".
    notes          the engine's own, beside those of the driver.
    """

    resource: Resource
    seen: Observed
    running: bool = False
    provisioned: bool | None = None
    restarts_left: int | None = None
    stopped_on_purpose: bool = False
    since: float = 0.0
    goal: Goal = Goal.NONE
    waiting: str = ""
    notes: tuple[Note, ...] = ()
    failures: int = 0

    @property
    def looked_at(self) -> bool:
        """False when its state is not to be judged: disabled, or tagged `nostatus`."""
        common = self.resource.common
        return not common.disable and "nostatus" not in common.tags

    @property
    def state(self) -> State:
        """As shown in the tree and merged."""
        return displayed(self.seen.state, self.resource.common.standby) if self.looked_at else State.NA

    @property
    def spent(self) -> bool:
        """The last restart it had failed, too."""
        return self.failures > self.resource.common.restart

    @property
    def upward(self) -> bool:
        return self.goal in (Goal.UP, Goal.STANDBY)

    @property
    def log(self) -> tuple[Note, ...]:
        """The driver's notes and the engine's, and what the observation itself says; each once."""
        seen = self.seen
        notes = [*seen.notes, *self.notes]
        if seen.blocked:
            notes.append(warning(seen.blocked) if self.upward else info(seen.blocked))
        if seen.state is State.ELSEWHERE and seen.holder:
            notes.append(info(f"held by {seen.holder}"))
        texts: dict[str, Note] = {}
        for note in notes:
            texts.setdefault(note.text, note)
        return tuple(texts.values())


def resource_as_api(report: ResourceReport) -> dict[str, Any]:
    """The object at `status.instances[NODE].resources[RID]`."""
    resource, common = report.resource, report.resource.common
    return {
        "kind": resource.kind,
        "state": report.state.value,
        "flags": flags(
            common,
            running=report.running,
            provisioned=report.provisioned,
            restarts_left=report.restarts_left,
            stopped_on_purpose=report.stopped_on_purpose,
        ),
        "label": report.seen.label,
        "provisioned": report.provisioned,
        "since": report.since,
        "goal": report.goal.value,
        "optional": common.optional,
        "disable": common.disable,
        "monitor": common.monitor,
        "standby": common.standby,
        "restarts_left": report.restarts_left,
        "running": report.running,
        "waiting": report.waiting,
        "log": [{"level": note.level.value, "text": note.text} for note in report.log],
    }


# --- an instance ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Instance:
    """A service on one host. `some_up`: at least one resource that counts for avail is up here."""

    avail: State = State.NA
    overall: State = State.NA
    provisioned: str = "n/a"
    some_up: bool = False


def instance(reports: Iterable[ResourceReport]) -> Instance:
    """Merge one host's resources.

    avail leaves out optional resources and the groups sync and task; overall takes all, and is
    warn as soon as one that is looked at logged a warning or an error.
    """
    looked = [report for report in reports if report.looked_at]
    counts = [
        report.state
        for report in looked
        if not report.resource.common.optional and report.resource.group not in OUTSIDE_AVAIL
    ]
    logged = any(note.level is not Level.INFO for report in looked for note in report.log)
    overall = merge(report.state for report in looked)
    return Instance(
        avail=merge(counts),
        overall=State.WARN if logged else overall,
        provisioned=provisioned("n/a" if r.provisioned is None else str(r.provisioned) for r in looked),
        some_up=State.UP in counts,
    )


def provisioned(values: Iterable[str]) -> str:
    """true, false, mixed or n/a, of resources or of instances; n/a is neutral."""
    kinds = {value.lower() for value in values} - {"n/a"}
    return "n/a" if not kinds else "mixed" if len(kinds) > 1 else kinds.pop()


def as_api(
    reports: Sequence[ResourceReport],
    here: Instance,
    *,
    frozen: bool = False,
    state: str = "idle",
    expect: str = "",
) -> dict[str, Any]:
    """The object at `status.instances[NODE]`.

    here    the reports merged.
    state   what the host is doing with the service: idle, starting, stopping, …
    expect  what the host takes for wanted: started, stopped or "".
    """
    return {
        "avail": here.avail.value,
        "overall": here.overall.value,
        "frozen": frozen,
        "state": state,
        "expect": expect,
        "provisioned": here.provisioned,
        "resources": {report.resource.rid: resource_as_api(report) for report in reports},
    }


def read_instance(told: Mapping[str, Any]) -> Instance:
    """The reverse of `as_api`, as far as services are merged by it. What it does not say is unknown."""
    states = [one.get("state") for one in dict(told.get("resources", {})).values()]
    some_up = any(state in (State.UP.value, State.STANDBY_UP.value) for state in states)
    try:
        avail, overall = State(told.get("avail", "unknown")), State(told.get("overall", "unknown"))
    except ValueError:
        avail = overall = State.UNKNOWN
    return Instance(avail, overall, str(told.get("provisioned", "n/a")), some_up)


# --- the service ---------------------------------------------------------------------------


class Summary(NamedTuple):
    """Of a service over all its hosts. `placement`: optimal, non-optimal or n/a."""

    avail: State
    overall: State
    placement: str


def service_status(
    service: Service, instances: Mapping[str, Instance], ranked: Sequence[str] = ()
) -> Summary:
    """Merge the instances, by host name, into one service.

    `ranked` are the hosts as the placement policy orders them; default: the document's order.
    """
    avail = _avail(service, instances.values())
    doubtful = any(here.overall in (State.WARN, State.UNKNOWN) for here in instances.values())
    overall = State.WARN if doubtful and avail is not State.UNKNOWN else avail
    return Summary(avail, overall, _placement(service, instances, ranked or service.nodes))


def _avail(service: Service, instances: Iterable[Instance]) -> State:
    """An instance that is only standby counts as down, and so does a warn with nothing up: an idle
    host's trouble says nothing about the service. One that could not be looked at may be up."""
    here = [one for one in instances if one.avail is not State.NA]
    if not here:
        return State.NA
    up = sum(one.avail is State.UP for one in here)
    if up:
        least, most = (service.flex.min, service.flex.max) if service.topology == "flex" else (1, 1)
        return State.UP if least <= up and (not most or up <= most) else State.WARN
    if any(one.avail is State.WARN and one.some_up for one in here):
        return State.WARN
    if any(one.avail is State.UNKNOWN for one in here):
        return State.UNKNOWN
    return State.DOWN


def _placement(service: Service, instances: Mapping[str, Instance], ranked: Sequence[str]) -> str:
    """Non-optimal: up on a host that is not a leader while a leader is not up; of loads none leads."""
    up = {node for node, here in instances.items() if here.avail is State.UP}
    if not up or service.placement in ("none", *BY_LOAD):
        return "n/a"
    slots = max(service.flex.target, 1) if service.topology == "flex" else 1
    leaders = set(ranked[:slots])
    return "non-optimal" if up - leaders and leaders - up else "optimal"
