"""A made-up agent → its documents, which travel by the store as they do, and its fences.

A document is a service as a value, named by its generation; the file that it would be is that name. What is
in force on a host is kept on its disk, as the library keeps it.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reconciler.decide.documents import Flavour
from reconciler.engine.fencing import Fencer
from reconciler.engine.membership import Membership
from reconciler.engine.record import Record
from reconciler.engine.travel import Offer, Shared, Travel, written
from reconciler.errors import MayHeal
from reconciler.model import Resource, Service
from reconciler.settings import Fence

if TYPE_CHECKING:
    from reconciler.testing.agents import SimAgent

FenceNode = Callable[[str], Awaitable[str]]
"""Switches a node off; "" when it surely is, else why that is not known."""


@dataclass
class Versions:
    """Every document that ever was, by generation: what a file would have had in it."""

    known: dict[str, Service] = field(default_factory=dict)

    def add(self, service: Service) -> Service:
        self.known[service.generation] = service
        return service

    def edited(self, service: Service, stops: bool) -> Service:
        """Another one of it: its program is started in another way, or (`stops`) it has another address."""
        number = sum(1 for each in self.known.values() if each.key == service.key)
        other = [r for r in service.resources if r.rid == "ip#0" and "exclusive" in r.spec]
        changed = "ip#0" if stops and other else "app#0"
        resources = tuple(
            _edited(resource, number) if resource.rid == changed else resource
            for resource in service.resources
        )
        generation = f"{service.key} {number}"
        return self.add(replace(service, resources=resources, generation=generation))

    def in_store(self, service: Service) -> str:
        return written(shared("n1", service))


def shared(node: str, service: Service) -> Shared:
    content = base64.b64encode(service.generation.encode()).decode()
    return Shared(node, f"/services/{service.name}.yaml", "yaml", service.generation, content)


def _edited(resource: Resource, number: int) -> Resource:
    if resource.kind == "app.simple":
        return replace(resource, spec={**resource.spec, "umask": f"{number % 64:04o}"})
    if resource.rid == "ip#0":
        return replace(
            resource, spec={**resource.spec, "exclusive": f"address 192.0.2.{100 + number % 100}"}
        )
    return replace(resource, spec={**resource.spec, "version": number})


class SimShelf:
    """engine.travel.Shelf: what is in force on one host."""

    def __init__(self, agent: "SimAgent", versions: Versions) -> None:
        self.refused_here: dict[str, str] = {}
        self._agent, self._versions = agent, versions

    async def take(self, key: str, path: str, flavour: Flavour, content: bytes) -> bool:
        await asyncio.sleep(self._agent.host.dice.uniform(0.001, 0.05))
        service = self._versions.known[content.decode()]
        in_force = self._agent.host.in_force
        if in_force.get(key) != service:
            in_force[key] = service
            await self._agent.desk.durable()
            self._put(key, service)
        return True

    def _put(self, key: str, service: Service) -> None:
        record = self._agent.records.setdefault(key, Record(key, service))
        self._agent.say(f"{key}: {service.generation!r} is in force")
        applied = self._agent.desk.applied(key)
        for resource in () if record.passes else record.service.resources:
            if resource.rid not in applied:  # an agent before this one may have begun to start it
                self._agent.desk.put_applied(key, resource.rid, resource)
        record.service = service
        record.budgets.clear()
        record.attempt.failed_until = record.attempt.conflict_until = 0.0
        self._agent.queue.add(key)

    def let_go(self, key: str, who: str) -> None:
        """No document of a simulation is removed."""

    def look_again(self) -> None:
        """There are no files."""


def travel(agent: "SimAgent", versions: Versions) -> Travel:
    made = Travel(agent.host.node, agent.cluster, agent.desk, agent.drivers, agent.records)
    made.shelf = SimShelf(agent, versions)
    agent.cluster.document = made.arrived
    agent.together.behind, agent.together.cannot = made.behind, made.cannot
    return made


def offer(agent: "SimAgent", service: Service) -> None:
    """A file of that content is saved on its host."""
    content = service.generation.encode()
    agent.travel.offer(Offer(service, shared("", service).path, "yaml", content))


def about_to_apply(agent: "SimAgent", key: str) -> str:
    """Why a file that was saved is not in force yet; "" also when only a stop would put it in force."""
    if key not in agent.travel._offers:
        return ""
    why = agent.travel._waits.get(key, "is not looked at yet")
    return "" if why.startswith("waits for stop") else why


class Sessions:
    """engine.fencing.Sessions of a membership that runs on the same loop."""

    def __init__(self, member: Membership) -> None:
        self._member = member

    async def suspected(self, suspicion: float) -> tuple[str, ...]:
        return self._member.suspected(suspicion)

    async def begin_fence(self, node: str) -> int:
        return await self._member.begin_fence(node)

    async def fenced(self, node: str, epoch: int) -> bool:
        return await self._member.fenced(node, epoch)


def fencer(agent: "SimAgent", nodes: Mapping[str, FenceNode]) -> Fencer:
    timing = agent.host.timing
    suspicion = timing.silent

    def sessions() -> Sessions:
        if agent.member is None:
            raise MayHeal("no member yet")
        return Sessions(agent.member)

    async def run(node: str, how: Fence) -> str:
        return await nodes[node](node)

    fences = {node: Fence("simulated") for node in nodes if node != agent.host.node}
    return Fencer(fences, suspicion, sessions, run, lambda text, ok: agent.say(text))
