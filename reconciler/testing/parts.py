"""A service of real drivers on a made-up host → its resources as things: how they look, what is up."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler import operations as op
from reconciler.asks import Facts
from reconciler.decide.references import bind_resource
from reconciler.model import Goal, Observed, Owner, Resource, Service, State, unknown
from reconciler.testing.kernel import SimKernel
from reconciler.testing.programs import STAYS
from reconciler.testing.things import MADE_UP, REAL, SERVER, thing_of


@dataclass(frozen=True)
class Part:
    owner: Owner
    resource: Resource


class Parts:
    """By thing, of all services whose drivers are real."""

    def __init__(self, kernel: SimKernel, services: Iterable[Service]) -> None:
        self._kernel = kernel
        self._parts: dict[str, Part] = {}
        kernel.install(SERVER, lambda kernel, argv: (STAYS, ""))
        for service in services:
            devices = {
                r.rid: {"exposed_devs": (f"/dev/{r.spec['vg']}/{r.spec['name']}",)}
                for r in service.resources
                if r.kind == "disk.lv"
            }
            for resource in service.resources:
                if not resource.kind.endswith(MADE_UP):
                    bound, _ = bind_resource(resource, devices)
                    owner = Owner(service.key, resource.rid)
                    self._parts[thing_of(service, resource)] = Part(owner, bound)

    def __contains__(self, thing: str) -> bool:
        return thing in self._parts

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def look(self, thing: str) -> Observed:
        """As its driver sees it."""
        part = self._parts[thing]
        facts = Facts(lambda ask: self._kernel.look(ask, part.owner))
        try:
            return REAL[part.resource.kind].observe(part.resource.spec, facts)
        except Exception as missing:
            return unknown(str(missing))

    def has(self, thing: str) -> bool:
        """Whether this host has it, whatever marks and memory say: what two must not have at once."""
        part, kernel = self._parts[thing], self._kernel
        spec: Mapping[str, Any] = part.resource.spec
        match part.resource.kind:
            case "ip.host":
                return any(a.ip == spec["name"] for a in kernel.network.addresses)
            case "disk.vg" | "disk.lv":
                group = kernel.storage.san.groups.get(spec.get("vg", spec["name"]))
                volumes = group.volumes.values() if group else ()
                one = spec["name"] if part.resource.kind == "disk.lv" else ""
                return any(kernel.machine in v.active for v in volumes if one in ("", v.name))
            case "fs.ext4":
                return kernel.storage.on_top(spec["mnt"]) is not None
            case "app.simple":
                return bool(kernel.programs.of(part.owner))
        return self.look(thing).state is not State.DOWN

    def lose(self, thing: str) -> None:
        """It is down, and nobody of us did it. What others stand on stays as long as it is in use."""
        part = self._parts[thing]
        spec = part.resource.spec
        storage = self._kernel.storage
        match part.resource.kind:
            case "ip.host":
                self._kernel.network.drop(spec["name"], spec["dev"])
            case "app.simple":
                for process in self._kernel.programs.of(part.owner):
                    self._kernel.programs.kill(process)
            case "fs.ext4":
                if (there := storage.on_top(spec["mnt"])) is not None:
                    storage.drop(there)
            case "disk.lv" if not self._in_use(spec):
                storage.san.groups[spec["vg"]].volumes[spec["name"]].active.discard(self._kernel.machine)

    def came_along(self, thing: str) -> bool:
        """A volume that its group brought up, and that nobody has mounted."""
        part = self._parts.get(thing)
        return part is not None and part.resource.kind == "disk.lv" and not self._in_use(part.resource.spec)

    def _in_use(self, spec: Mapping[str, Any]) -> bool:
        group = self._kernel.storage.san.groups.get(spec["vg"])
        volume = group.volumes.get(spec["name"]) if group else None
        return volume is None or any(m.content is volume.content for m in self._kernel.storage.mounts)

    def thing(self, owner: Owner) -> str:
        return f"{owner.service.rpartition('/')[2]}/{owner.rid}"

    def owner(self, thing: str) -> Owner:
        return self._parts[thing].owner


def towards(operation: op.Operation, goal: Goal | None, act: str) -> str:
    """The verb of an operation of a job: start, stop, create, destroy or look."""
    if isinstance(operation, op.ProbeAddress) or act == "preflight":
        return "look"
    if act in ("create", "destroy"):
        return act
    return "stop" if goal is Goal.DOWN else "start"
