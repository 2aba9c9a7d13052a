"""Made-up resources: a driver, its question and its operations, for services of which nothing is real.

What a resource stands for is the thing that its spec names (by default the service's name and its rid).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler.adapters.drivers import Drivers
from reconciler.asks import Ask, Facts
from reconciler.contracts import Driver
from reconciler.model import Common, Flex, Goal, Observed, Resource, Service, State, settled
from reconciler.operations import Operation

UP, DOWN = Observed(State.UP), Observed(State.DOWN)
MADE_UP = (".thing", ".fake")
REAL = Drivers()
"""Each is loaded when it is asked for."""


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


class ThingDrivers(dict[str, Driver]):
    """One for each kind that is asked for; that of the product where there is one of that name."""

    def __missing__(self, kind: str) -> Driver:
        self[kind] = ThingDriver(kind) if kind.endswith(MADE_UP) else REAL[kind]
        return self[kind]

    def get(self, kind: str, default: Any = None) -> Any:
        """As a mapping that finds them has it, not as a dict: seen before or not."""
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


def disks(name: str, nodes: tuple[str, ...], address: str, device: str, **more: Any) -> Service:
    """The same stack of real drivers: a volume group on a shared device, made when it is not there."""
    made = {"netmask": 24, "family": "any", "check_carrier": True, "probe": True}
    mount = {"mnt": f"/srv/{name}", "mnt_opt": "", "mkfs_opt": "", "stat_timeout": 5.0, "check_read": True}
    run = {"shell": False, "retcodes": "0:up 1:down", "check_timeout": 30.0, "check_interval": 10.0}
    ends = {"stop_signal": "TERM", "stop_timeout": 0.5, "start_grace": 0.0}
    parts: tuple[tuple[str, str, Mapping[str, Any], tuple[str, ...]], ...] = (
        ("ip#0", "ip.host", {"name": address, "dev": "br0", **made}, ()),
        ("disk#0", "disk.vg", {"name": name, "pvs": (device,), "options": "", "other_tags": ()}, ()),
        (
            "disk#1",
            "disk.lv",
            {"name": "data", "vg": name, "size": "1g", "create_options": ""},
            ("disk#0",),
        ),
        ("fs#0", "fs.ext4", {"dev": "{disk#1.exposed_devs[0]}", **mount}, ("disk#1",)),
        ("app#0", "app.simple", {"start": SERVER, **run, **ends}, ("fs#0", "ip#0")),
    )
    resources = tuple(
        Resource(rid, kind, spec, Common(), frozenset(refs), late=rid == "fs#0")
        for rid, kind, spec, refs in parts
    )
    return Service(name, nodes=nodes, resources=resources, generation=name, **more)


SERVER = "/usr/bin/server"
"""A program that stays until it is ended."""


def thing_of(service: Service, resource: Resource) -> str:
    """What a resource stands for."""
    return str(resource.spec.get("thing") or f"{service.name}/{resource.rid}")
