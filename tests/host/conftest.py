"""A real LinuxHost in namespaces of its own; at the end, whatever it started is ended."""

import asyncio
import contextlib
import os
import signal

import pytest

from reconciler.adapters import cgroups, proc, records
from reconciler.adapters.facts.source import Subject
from reconciler.adapters.linux import LinuxHost
from reconciler.adapters.programs import Programs
from reconciler.asks import Program
from reconciler.model import Owner
from reconciler.operations import Terminate
from reconciler.settings import Settings
from tests import kernel

WEB = Owner("root/svc1", "app#web")


class Told:
    """A desk that keeps what it was told."""

    def __init__(self) -> None:
        self.news: asyncio.Queue[Subject] = asyncio.Queue()
        self.answers: dict = {}

    def report(self, answers):
        self.answers.update(answers)

    def changed(self, subjects=None):
        for subject in subjects or ():
            self.news.put_nowait(subject)

    def wanted(self, subject):
        return True


class World:
    """A host, its programs and where they keep their things."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.desk = Told()
        self.extra: dict[str, str] = {}
        self._all: list[Programs] = []
        self._hosts: list[LinuxHost] = []
        self.begin()

    def begin(self) -> None:
        """A daemon that starts: nothing in its memory."""
        self.programs = Programs(self.settings)
        self.host = LinuxHost(self.settings, self.programs, lambda owner: self.extra)
        self._all.append(self.programs)
        self._hosts.append(self.host)

    async def do(self, operation, owner=WEB):
        async with asyncio.timeout(20):
            return await self.host.perform(operation, owner)

    async def works(self, operation, owner=WEB):
        outcome = await self.do(operation, owner)
        assert outcome.ok, outcome
        return outcome

    async def seen(self, owner=WEB):
        subject = Subject(Program(), owner)
        self.programs.desk = self.desk
        await self.programs.look([subject])
        return self.desk.answers[subject]

    async def until(self, condition, owner=WEB):
        """Wait for events until what is seen of the program is as wanted."""
        self.programs.desk = self.desk
        async with asyncio.timeout(10):
            while not condition(seen := await self.seen(owner)):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.desk.news.get(), 0.2)
        return seen

    async def end(self) -> None:
        mark = str(self.settings.run)
        for process in proc.processes():
            if (proc.environment(process.pid) or {}).get("STANDFAST_RUN") == mark:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
        for programs in self._all:
            root = programs.runner.groups.root
            for _ in range(100):
                if not cgroups.members(root):
                    break
                await asyncio.sleep(0.01)
            await programs.close()
        for host in self._hosts:
            host.close()


@pytest.fixture
async def world(tmp_path):
    with kernel.namespaces():
        there = World(Settings(node="n1", state=tmp_path / "state", run=tmp_path / "run"))
        try:
            yield there
        finally:
            await there.end()


def terminate(seen, **more) -> Terminate:
    return Terminate(seen.pid, seen.start_time, **more)


def marked(world: World) -> list[proc.Process]:
    """Live processes that carry this world's mark."""
    wanted = {"STANDFAST_RUN": str(world.settings.run)}
    return [process for process in proc.processes() if records.carries(process.pid, wanted)]
