"""Made-up resources: a driver, its question and its operations, for services of which nothing is real.

What a resource stands for is the thing that its spec names (by default the service's name and its rid).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler.asks import Ask, Facts
from reconciler.model import Common, Flex, Goal, Observed, Resource, Service, State, settled
from reconciler.operations import Operation

UP, DOWN = Observed(State.UP), Observed(State.DOWN)


@dataclass(frozen=True)
class Seen(Ask[Observed]):
    """How a thing looks on this host."""

    thing: str
    source = "things"


@dataclass(frozen=True)
class Do(Operation):
    """verb  start, stop, create or destroy."""

    verb: str
    thing: str
    interruptible: bool = False
    sources = ("things",)

    def __str__(self) -> str:
        return f"{self.verb} {self.thing}"

    def done_to(self, seen: Observed) -> Observed:
        match self.verb:
            case "start":
                return replace(seen, state=State.UP)
            case "stop":
                return replace(seen, state=State.DOWN)
            case _:
                return replace(seen, provisioned=self.verb == "create")


class ThingDriver:
    """Of any kind: one operation for each step. What is on shared storage or an address is exclusive."""

    def __init__(self, kind: str) -> None:
        self.KIND = kind

    def asks(self, spec: Mapping[str, Any]) -> tuple[Ask[Any], ...]:
        return (Seen(spec["thing"]),)

    def observe(self, spec: Mapping[str, Any], facts: Facts) -> Observed:
        return facts.of(Seen(spec["thing"]))

    def operations(self, spec: Mapping[str, Any], seen: Observed, goal: Goal) -> tuple[Operation, ...]:
        if settled(goal, seen) or seen.state is State.UNKNOWN:
            return ()
        return (Do("stop" if goal is Goal.DOWN else "start", spec["thing"]),)

    def create(self, spec: Mapping[str, Any], seen: Observed) -> tuple[Operation, ...]:
        return (Do("create", spec["thing"]),)

    def destroy(self, spec: Mapping[str, Any], seen: Observed) -> tuple[Operation, ...]:
        return (Do("destroy", spec["thing"]),)

    def exclusive(self, spec: Mapping[str, Any]) -> tuple[str, ...]:
        named = spec.get("exclusive")
        return (named,) if named else ()


class ThingDrivers(dict[str, ThingDriver]):
    """One for each kind that is asked for."""

    def __missing__(self, kind: str) -> ThingDriver:
        self[kind] = ThingDriver(kind)
        return self[kind]


def resource(rid: str, service: str, *refs: str, exclusive: str = "", **common: Any) -> Resource:
    """`fs#data` of a service, which stands on the rids it refers to."""
    spec = {"thing": f"{service}/{rid}", "exclusive": exclusive}
    return Resource(rid, f"{rid.partition('#')[0]}.thing", spec, Common(**common), frozenset(refs))


def stack(
    name: str,
    nodes: tuple[str, ...],
    address: str,
    standby: bool = False,
    monitor: bool = False,
    **more: Any,
) -> Service:
    """An address, a shared disk, a filesystem on it and a program on both.

    standby  the disk is. monitor: another node takes it over when the program is lost too often.
    """
    disk = "" if standby else f"volume group {name}"
    resources = (
        resource("ip#0", name, exclusive=f"address {address}"),
        resource("disk#0", name, exclusive=disk, standby=standby),
        resource("fs#0", name, "disk#0", exclusive=f"mount point /{name}"),
        resource("app#0", name, "fs#0", "ip#0", monitor=monitor, restart=1 if monitor else 3),
    )
    return Service(name, nodes=nodes, resources=resources, generation=name, **more)


def pair(name: str, nodes: tuple[str, ...], target: int) -> Service:
    """A directory and a program on it, on as many nodes at once."""
    resources = (resource("fs#0", name), resource("app#0", name, "fs#0"))
    flex = Flex(target=target)
    return Service(name, nodes=nodes, resources=resources, generation=name, topology="flex", flex=flex)


def thing_of(resource: Resource) -> str:
    return str(resource.spec["thing"])
