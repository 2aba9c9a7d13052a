"""A made-up host's watched directory → the library as it is, which reads it; every document there ever was.

What a file has in it is a name: that of a service as a value. All else (what is in force, what is missing,
whether a removal is believed) is the library's own doing, and its state is kept on the host's disk.
"""

import asyncio
import base64
import errno
import os
from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.decide.documents import Checked, Home, generation_of
from reconciler.engine.directory import Directory, File, Listing
from reconciler.engine.library import NOT_HERE, Library
from reconciler.engine.reading import Reader
from reconciler.engine.travel import Shared, Travel, written
from reconciler.model import Resource, Service
from reconciler.testing.around import SimRecorder
from reconciler.testing.machines import SimHost

if TYPE_CHECKING:
    from reconciler.testing.agents import SimAgent

SERVICES = Path("/services")
NOTICED = 0.06
"""Seconds until a watch says that something was saved."""


def path_of(key: str) -> str:
    return str(SERVICES / f"{key.rpartition('/')[2]}.yaml")


@dataclass
class Versions:
    """Every document that ever was, by what its file has in it."""

    known: dict[str, Service] = field(default_factory=dict)

    def add(self, service: Service) -> Service:
        """The same as a document: its generation is that of its content, which is the one it had."""
        content, path = service.generation, path_of(service.key)
        made = replace(service, generation=generation_of(content.encode()), source=path)
        self.known[content] = made
        return made

    def content(self, service: Service) -> str:
        return next(text for text, each in self.known.items() if each.generation == service.generation)

    def last(self, key: str) -> Service:
        return [service for service in self.known.values() if service.key == key][-1]

    def edited(self, service: Service, stops: bool) -> Service:
        """Another one of it: its program is started in another way, or (`stops`) it has another address."""
        number = sum(1 for each in self.known.values() if each.key == service.key)
        other = [r for r in service.resources if r.rid == "ip#0" and "exclusive" in r.spec]
        changed = "ip#0" if stops and other else "app#0"
        resources = tuple(
            _edited(resource, number) if resource.rid == changed else resource
            for resource in service.resources
        )
        return self.add(replace(service, resources=resources, generation=f"{service.key} {number}"))

    def in_store(self, service: Service) -> str:
        content = base64.b64encode(self.content(service).encode()).decode()
        return written(Shared("n1", service.source, "yaml", service.generation, content))


def _edited(resource: Resource, number: int) -> Resource:
    if resource.kind == "app.simple":
        return replace(resource, spec={**resource.spec, "umask": f"{number % 64:04o}"})
    if resource.rid == "ip#0":
        odd = int(resource.spec["exclusive"].rpartition(".")[2]) % 2  # no two services ever share one
        address = f"192.0.2.{100 + 2 * (number % 50) + odd}"
        return replace(resource, spec={**resource.spec, "exclusive": f"address {address}"})
    return replace(resource, spec={**resource.spec, "version": number})


class SimDirectory(Directory):
    """The files of one host."""

    def __init__(self, host: SimHost) -> None:
        super().__init__(SERVICES, strict=False)
        self._host = host

    async def listed(self, known: Mapping[str, File]) -> Listing:
        await asyncio.sleep(0.001)
        if not self._host.mounted:
            return Listing(False, {})
        found = {path_of(key): (key, text.encode()) for key, text in self._host.files.items()}
        return Listing(True, {path: _file(path, *has, known.get(path)) for path, has in found.items()})

    def remove(self, path: str) -> None:
        key = next((key for key in self._host.files if path_of(key) == path), "")
        if self._host.read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        if not key or not self._host.mounted:
            raise FileNotFoundError(path)
        self._host.save(key, "")


def _file(path: str, key: str, content: bytes, known: File | None) -> File:
    return known if known and known.content == content else File(path, key, "yaml", NOT_HERE, content)


class SimReader(Reader):
    """No document is read twice as fast as another."""

    def __init__(self, host: SimHost, versions: Versions) -> None:
        super().__init__(Home(host.node), Executor())
        self._host, self._versions = host, versions

    async def checked(self, file: File, together: int = 1) -> Checked:
        await asyncio.sleep(self._host.dice.uniform(0.001, 0.05))
        return Checked(self._versions.known[(file.content or b"").decode()])


class SimLibrary(Library):
    def __init__(self, agent: "SimAgent", versions: Versions) -> None:
        host = agent.host
        given = (agent.desk, agent.records, SimRecorder(agent.say), host.clock, agent.queue.add)
        reader = SimReader(host, versions)
        super().__init__(SERVICES, reader, *given, agent.settings.removal_after)
        self._directory = SimDirectory(host)
        self._agent = agent
        self._stirred = asyncio.Event()
        host.saved = lambda: self._noticed()

    async def watch(self) -> None:
        """For ever, as engine.watch does it."""
        while True:
            self._stirred.clear()
            again_in = await self.scan()
            with suppress(TimeoutError):
                async with asyncio.timeout(
                    self._agent.settings.look_every if again_in is None else again_in
                ):
                    await self._stirred.wait()

    def _noticed(self) -> None:
        if self._agent.alive:
            self._agent.main.call(NOTICED, self._stirred.set)

    def _put_in_force(self, file: File, checked: Checked) -> None:
        self._agent.say(f"{file.key}: {(file.content or b'').decode()!r} is in force")
        super()._put_in_force(file, checked)


def travel(agent: "SimAgent", library: SimLibrary) -> Travel:
    made = Travel(agent.host.node, agent.cluster, agent.desk, agent.drivers, agent.records)
    made.shelf, library.travel = library, made
    agent.cluster.document, agent.cluster.host = made.arrived, made.host
    agent.reconciler.ended_for_all = made.ended
    agent.together.behind, agent.together.cannot = made.behind, made.cannot
    return made


def about_to_apply(agent: "SimAgent", key: str) -> str:
    """Why a file that was saved is not in force yet; "" also when only a stop would put it in force."""
    if key not in agent.travel._offers:
        return ""
    why = agent.travel._waits.get(key, "is not looked at yet")
    return "" if why.startswith("waits for stop") else why
