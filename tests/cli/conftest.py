"""The command line against a fake agent behind the real server, which runs in a thread."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.api.server import Server
from reconciler.cli.main import main
from reconciler.settings import Api
from tests.api.fake import FakeAgent, service


class Running:
    """An agent that answers at `directory`; `do` runs a function in its loop."""

    def __init__(self, agent: FakeAgent, directory: Path) -> None:
        self.agent, self.directory = agent, directory
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: Server | None = None
        self.begin()

    def begin(self) -> None:
        async def start() -> None:
            self._server = Server(self.agent, self.directory / "standfast.sock", {})
            await self._server.start()

        self._wait(start())

    def serve_others(self, api: Api) -> int:
        """Over TLS as well; the port."""
        assert self._server
        return int(self._wait(self._server.serve_others(api)))

    def end(self) -> None:
        if self._server:
            self._wait(self._server.close())
            self._server = None

    def do(self, function: Callable[..., Any], *values: Any, **more: Any) -> None:
        async def act() -> None:
            function(*values, **more)

        self._wait(act())

    def later(self, seconds: float, function: Callable[[], Any]) -> None:
        self._loop.call_soon_threadsafe(self._loop.call_later, seconds, function)

    def close(self) -> None:
        self.end()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, task: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(task, self._loop).result(10)


class Command:
    """Runs `standfast …` here; remembers what it said."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *words: str, entry: Callable[..., int] = main) -> int:
        self._capsys.readouterr()
        code = entry(list(words))
        self.out, self.err = self._capsys.readouterr()
        return code


@pytest.fixture
def agent() -> FakeAgent:
    return FakeAgent(service("svc1"), service("web", "prod"), service("web2", "prod", "down", "down"))


@pytest.fixture
def running(agent: FakeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    directory = tmp_path / "run"
    monkeypatch.setenv("STANDFAST_RUN", str(directory))
    for name in ("services", "state", "run"):
        (tmp_path / name).mkdir(exist_ok=True)
    agent.paths = {name: str(tmp_path / name) for name in ("services", "state", "run")}
    it = Running(agent, directory)
    yield it
    it.close()


@pytest.fixture
def standfast(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)
