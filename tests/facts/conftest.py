"""A started hub over chosen sources, and what the kernel lends to a test and gets back."""

import asyncio
import ctypes
import os
import subprocess
from contextlib import asynccontextmanager

import pytest

from reconciler.adapters.facts import desk
from reconciler.adapters.facts.hub import Hub
from reconciler.asks import Failed
from reconciler.model import Owner
from reconciler.settings import Settings

A, B = Owner("root/a", "x#0"), Owner("root/b", "x#0")
_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

root = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root on a real kernel")]


class Bench:
    """A hub and the services it has woken."""

    def __init__(self, sources, **settings):
        self.woken: list[str] = []
        self._event = asyncio.Event()
        self.hub = Hub(Settings(node="n1", **settings), self._notify, sources)

    def _notify(self, service):
        self.woken.append(service)
        self._event.set()

    async def get(self, ask, owner=A):
        """Answered and known, as a pass reads it."""
        async with asyncio.timeout(10):
            await self.hub.answer(owner, [ask])
        return self.hub.known(owner, ask)

    async def follow(self, ask, owner=A):
        """Follow and have it answered; woken by nothing yet."""
        self.hub.follow(owner, [ask])
        answer = await self.get(ask, owner)
        await asyncio.sleep(0)
        self.woken.clear()
        return answer

    async def told(self, service=A.service, within=2.0):
        async with asyncio.timeout(within):
            while service not in self.woken:
                self._event.clear()
                await self._event.wait()

    async def until(self, ask, wanted, owner=A, within=3.0):
        """Woken as often as it takes until the answer is as wanted; returns it."""
        async with asyncio.timeout(within):
            while True:
                self._event.clear()
                answer = self.hub.known(owner, ask)
                if not isinstance(answer, Failed) and wanted(answer):
                    return answer
                await self._event.wait()

    async def quiet(self, seconds=0.3):
        """Nobody is woken for so long."""
        self.woken.clear()
        await asyncio.sleep(seconds)
        return not self.woken


@pytest.fixture
def bench(monkeypatch):
    """`async with bench(sources, look_every=…) as b`: closed at the end whatever happens."""
    monkeypatch.setattr(desk, "RETRY_FIRST", 0.2)

    @asynccontextmanager
    async def opened(sources, **settings):
        made = Bench(sources, **{"look_every": 3600.0, **settings})
        await made.hub.start()
        try:
            yield made
        finally:
            await made.hub.close()

    return opened


@pytest.fixture
def namespace():
    """This thread in a network namespace of its own, with `lo` up, and back."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    assert _libc.unshare(_NEWNET) == 0, os.strerror(ctypes.get_errno())
    try:
        sh("ip link set lo up")
        yield
    finally:
        back = _libc.setns(home, _NEWNET)
        os.close(home)
        assert back == 0


@pytest.fixture
def loop_file(tmp_path):
    """A file of 16 MiB; loop devices that were attached to it are gone afterwards."""
    path = tmp_path / "disk.img"
    with open(path, "wb") as file:
        file.truncate(16 << 20)
    yield path
    attached = sh(f"losetup -j {path} -O NAME -n").split()
    for device in attached:
        sh(f"umount {device}", ok=(0, 32))
        sh(f"losetup -d {device}", ok=(0, 1))


def sh(command, ok=(0,)):
    """Run it with the shell; its output."""
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode in ok, f"{command}: {done.stderr}"
    return done.stdout
