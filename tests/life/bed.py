"""Hosts of one cluster in a network namespace: a state and a run directory and an address each.

    with Bed() as bed, bed.inside():
        assert bed.host("a").standfast("init") == 0

Host number n is 127.0.0.n. Whatever keeps an etcd ends with the block.
"""

import asyncio
import contextlib
import io
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler.adapters import etcd_keeper
from reconciler.adapters.etcd_beside import patient
from reconciler.adapters.etcd_unit import Files
from reconciler.adapters.store_etcd import EtcdStore
from reconciler.cli.main import main
from reconciler.decide import sessions
from reconciler.decide.documents.node import read_node
from reconciler.decide.sessions import Level, Session
from reconciler.errors import MayHeal
from reconciler.settings import Etcd
from tests import kernel

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
LISTENING = ("init", "join", "witness")


class Host:
    def __init__(self, place: Path, name: str, number: int) -> None:
        self.name, self.address = name, f"127.0.0.{number}"
        self.place = place / name
        self.node = self.place / "node.yaml"
        self.files = Files(self.place / "state", self.place / "run")
        self.services = self.place / "services"
        self.services.mkdir(parents=True)
        self.node.write_text(f"apiVersion: standfast/v1\nkind: Node\nspec: {{services: {self.services}}}\n")
        self.out = self.err = ""

    def standfast(self, verb: str, *words: str) -> int:
        """`standfast cluster …` here; its exit code. What it said is in `out` and `err`."""
        options = ["--node", str(self.node), "--state", str(self.files.state), "--run", str(self.files.run)]
        options += ["--name", self.name, "--detached"]
        options += ["--listen", self.address] if verb in LISTENING and "--without-etcd" not in words else []
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main(["cluster", verb, *options, *words])
        self.out, self.err = out.getvalue(), err.getvalue()
        return code

    def token(self, *words: str) -> str:
        assert self.standfast("token", "-o", "json", *words) == 0, self.err
        return str(json.loads(self.out)["token"])

    def status(self) -> dict[str, Any]:
        self.standfast("status", "-o", "json")
        return dict(json.loads(self.out))

    def etcd(self) -> int:
        """The process of its etcd; 0 for none."""
        keeper = etcd_keeper.keeper(self.files)
        children = Path(f"/proc/{keeper}/task/{keeper}/children")
        return int((children.read_text().split() or ["0"])[0]) if keeper and children.exists() else 0

    def crash(self) -> None:
        """Its etcd and whoever keeps it, at once."""
        etcd = self.etcd()
        for pid in (etcd_keeper.keeper(self.files), etcd):
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        wait(lambda: not etcd_keeper.keeper(self.files) and not _alive(etcd))

    def left(self) -> list[str]:
        """What a cluster left in its state directory."""
        there = self.files.state.iterdir() if self.files.state.exists() else ()
        return sorted(path.name for path in there if path.name != "store.json")


class Bed:
    def __init__(self) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="standfast-cluster-", dir=MEMORY)
        self.path = Path(self._place.name)
        self._hosts: dict[str, Host] = {}
        with kernel.namespaces(mount=False):
            self._net = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> "Bed":
        return self

    def __exit__(self, *exc: object) -> None:
        for host in self._hosts.values():
            host.crash()
        os.close(self._net)
        self._place.cleanup()

    def host(self, name: str) -> Host:
        if name not in self._hosts:
            self._hosts[name] = Host(self.path, name, len(self._hosts) + 1)
        return self._hosts[name]

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        with kernel.network(self._net):
            yield


def wait(true: Any, seconds: float = 15.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        return bool(pid) and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# --- their store ---------------------------------------------------------------------------


def named(host: Host) -> Etcd | None:
    settings, faults = read_node(host.node.read_bytes(), "node.yaml")
    assert not faults
    found = settings.get("etcd")
    assert found is None or isinstance(found, Etcd)
    return found


def put(host: Host, values: dict[str, str]) -> None:
    """What was said to a leader that has just died is said again."""

    async def act() -> None:
        at = named(host)
        assert at is not None
        store = EtcdStore(replace(patient(at), request_timeout=0.5))
        try:
            async with asyncio.timeout(10):
                while True:
                    with contextlib.suppress(MayHeal):
                        await store.commit({}, values)
                        return
        finally:
            await store.close()

    asyncio.run(act())


def get(host: Host, key: str) -> str:
    async def act() -> str:
        at = named(host)
        assert at is not None
        store = EtcdStore(patient(at))
        try:
            return (await store.read(key)).entries[key].value
        finally:
            await store.close()

    return asyncio.run(act())


def session(node: str, epoch: int = 3, is_open: bool = True) -> str:
    return sessions.written(Session(node, epoch, "boot", "secret", 18.5, Level.LEASE, is_open))
