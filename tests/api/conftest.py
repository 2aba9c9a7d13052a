"""A fake agent behind the real server, and a client."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from reconciler.api.server import Server
from tests.api.fake import FakeAgent, service


@pytest.fixture
def agent() -> FakeAgent:
    return FakeAgent(service("svc1"), service("web", "prod"), service("web2", "prod", "down"))


@pytest.fixture
async def server(agent: FakeAgent, tmp_path: Path) -> AsyncIterator[Server]:
    it = Server(agent, tmp_path / "standfast.sock", {"ops": "operator"})
    await it.start()
    yield it
    await it.close()


@pytest.fixture
async def http(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.UnixConnector(str(server.path))
    async with aiohttp.ClientSession("http://standfast", connector=connector) as session:
        yield session


class Reader:
    """Server-sent events of one response."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self) -> tuple[str, Any, str]:
        """Kind, data and id of the next one."""
        fields: dict[str, str] = {}
        while line := (await self._response.content.readline()).decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if not name and "data" in fields:
                return fields["event"], json.loads(fields["data"]), fields.get("id", "")
            fields[name] = value
        raise EOFError
