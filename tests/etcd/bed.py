"""Real etcd members in a network namespace of their own, on loopback addresses, data in memory.

    with Bed(3) as bed, bed.inside():
        bed.start(); ...; bed.kill(bed.leader())

Member n is 127.0.0.n, clients at port 2379. All end with the block, also on failure.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from reconciler.adapters.etcd_settings import EtcdSettings
from tests import kernel
from tests.etcd import asked

needs_etcd = [
    *kernel.needs_root,
    pytest.mark.skipif(shutil.which("etcd") is None, reason="needs etcd: apt install etcd-server"),
]
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
QUICK = 0.5  # seconds: r of the tests


class Bed:
    """`count` members of one cluster; `arguments` go to each of them."""

    def __init__(self, count: int = 1, scheme: str = "http", arguments: Sequence[str] = ()) -> None:
        self.scheme = scheme
        self.members = tuple(range(1, count + 1))
        self._arguments = arguments
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._place = tempfile.TemporaryDirectory(prefix="standfast-etcd-", dir=MEMORY)
        self.path = Path(self._place.name)
        with kernel.namespaces(mount=False):
            self._net = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> "Bed":
        return self

    def __exit__(self, *exc: object) -> None:
        for member in list(self._running):
            self.kill(member)
        os.close(self._net)
        self._place.cleanup()

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets and processes made within the block are in the members' network."""
        with kernel.network(self._net):
            yield

    def url(self, member: int) -> str:
        return f"{self.scheme}://127.0.0.{member}:2379"

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(map(self.url, self.members))

    def settings(self, prefix: str = "test/", **more: Any) -> EtcdSettings:
        return EtcdSettings(more.pop("endpoints", self.urls), prefix=prefix, **{**DEFAULTS, **more})

    def start(self, *members: int) -> None:
        """Returns when a leader serves each of them (all, if none is named)."""
        with self.inside():
            for member in members or self.members:
                self._running[member] = self._process(member)
            if self.scheme == "http":
                for member in members or self.members:
                    self.wait(member)

    def kill(self, member: int) -> None:
        """As a crash: at once."""
        process = self._running.pop(member)
        process.kill()
        process.wait()

    def stop(self, member: int) -> None:
        """It keeps its connections and answers nobody; `go_on` ends it."""
        self._running[member].send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._running[member].pid, os.WSTOPPED)  # until then its threads may answer

    def go_on(self, member: int) -> None:
        self._running[member].send_signal(signal.SIGCONT)

    def leader(self) -> int:
        """The member that leads; one always does, or will soon."""
        for _ in range(200):
            for member in self._running:
                said = self.ask(member, "/v3/maintenance/status", {})
                if said.get("leader") and said["leader"] == said["header"]["member_id"]:
                    return member
            time.sleep(0.02)
        raise AssertionError("no member leads")

    def ask(self, member: int, path: str, body: Any) -> dict[str, Any]:
        """What a member answers by itself; {} when it does not."""
        with self.inside():
            return asked.ask(self.url(member) + path, body)

    def wait(self, member: int) -> None:
        """Until it serves: its health is a linearizable read."""
        for _ in range(500):
            if asked.healthy(self.url(member)):
                return
            assert self._running[member].poll() is None, self.log(member)
            time.sleep(0.01)
        raise AssertionError(self.log(member))

    def log(self, member: int) -> str:
        return (self.path / f"{member}.log").read_text()[-3000:]

    @contextlib.contextmanager
    def muted(self, member: int) -> Iterator[None]:
        """Clients get no packet of the member any more, on old connections and on new ones."""
        rule = f"ip saddr 127.0.0.{member} tcp sport 2379 drop"
        with self.inside():
            kernel.run("nft add table inet bed")
            kernel.run("nft 'add chain inet bed out { type filter hook output priority 0; }'")
            try:
                kernel.run(f"nft add rule inet bed out {rule}")
                yield
            finally:
                kernel.run("nft delete table inet bed")

    def _process(self, member: int) -> "subprocess.Popen[bytes]":
        peers = ",".join(f"m{n}=http://127.0.0.{n}:2380" for n in self.members)
        peer, client = f"http://127.0.0.{member}:2380", self.url(member)
        words = f"""
            etcd --name m{member} --data-dir {self.path}/{member} --logger zap --log-outputs stderr
            --listen-peer-urls {peer} --initial-advertise-peer-urls {peer}
            --listen-client-urls {client} --advertise-client-urls {client}
            --initial-cluster {peers} --initial-cluster-token {self.path.name} --initial-cluster-state new
            --heartbeat-interval 50 --election-timeout 500 --pre-vote
        """
        with (self.path / f"{member}.log").open("ab") as log:
            return subprocess.Popen([*words.split(), *self._arguments], stdout=log, stderr=log)


class Proxy:
    """A way to one member that can be hurt: `async with Proxy(bed.members[0]) as way: way.url`.

    mute_watches  old streams fall silent, though their connections stand; new ones work
    cut_at        answers to commits end after so many bytes
    """

    def __init__(self, member: int) -> None:
        self._member = member
        self._muted: set[asyncio.StreamWriter] = set()
        self._watches: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.cut_at: int | None = None

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def mute_watches(self) -> None:
        self._muted |= self._watches

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there, to_there = await asyncio.open_connection(f"127.0.0.{self._member}", 2379)
        state = {"cut": False}
        back = asyncio.create_task(self._answers(there, writer, state))
        self._tasks.add(back)
        try:
            while data := await reader.read(65536):
                if b"/v3/watch" in data:
                    self._watches.add(writer)
                state["cut"] = b"/v3/kv/txn" in data
                to_there.write(data)
        finally:
            back.cancel()
            to_there.close()
            writer.close()

    async def _answers(
        self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, state: dict[str, bool]
    ) -> None:
        while data := await there.read(65536):
            if writer in self._muted:
                continue
            if state["cut"] and self.cut_at is not None:
                writer.write(data[: self.cut_at])
                break
            writer.write(data)
        writer.close()


DEFAULTS: dict[str, Any] = {"request_timeout": QUICK, "silence": 1.0}
