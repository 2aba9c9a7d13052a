"""A bed and agents of their own process → documents, questions to the agent, what the kernel shows.

What is timed is seen from outside, by the kernel's own events: an address by netlink, a mount by the
mount table, a program by the line it writes when it starts.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.adapters.facts import rtnetlink as nl
from reconciler.cli import client
from tests.outcomes.bed import Bed, bedding, document

PATIENCE = 120.0
COMMAND = (str(Path(sys.executable).with_name("standfast")),)
Resources = Mapping[str, Mapping[str, Any]]


class Place:
    """Directories, a bridge, a pipe that programs write to when they start."""

    def __init__(self, bed: Bed) -> None:
        self.bed, self.root = bed, bed.root
        self._pipe = self.root / "started"
        os.mkfifo(self._pipe)
        self._reader = os.open(self._pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._lines: list[str] = []
        self._rest = b""
        # The last thing it does before it stays: what comes first is the price of any program.
        self.program = bed.script("program", f'echo "$1 $$" > {self._pipe}\nexec sleep 100000')
        self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._netlink.bind((0, 0x10))  # RTMGRP_IPV4_IFADDR
        self._netlink.setblocking(False)
        self._mounts = open("/proc/self/mountinfo", "rb")  # noqa: SIM115  # kept to be polled

    def close(self) -> None:
        os.close(self._reader)
        self._netlink.close()
        self._mounts.close()

    # --- what is wanted --------------------------------------------------------------------

    def app(self, name: str) -> dict[str, Any]:
        return {"type": "simple", "start": f"{self.program} {name}"}

    def flags(self, count: int, first: int = 0) -> dict[str, dict[str, Any]]:
        return {f"fs#{n}": {"type": "flag"} for n in range(first, first + count)}

    def image(self, name: str) -> Path:
        """A clean ext4 in a file; all are copies of one."""
        template = self.root / "template.img"
        if not template.exists():
            with open(template, "wb") as file:
                file.truncate(4 << 20)
            self.bed.run(f"mkfs.ext4 -q {template}")
        path = self.root / f"{name}.img"
        self.bed.run(f"cp --sparse=always {template} {path}")
        return path

    def stack(self, name: str, ip: str, probe: bool = False) -> dict[str, dict[str, Any]]:
        """Address, loop device, ext4, program."""
        return {
            "ip#0": {"type": "host", "name": ip, "netmask": 24, "dev": "br0", "probe": probe},
            "disk#0": {"type": "loop", "file": str(self.image(name))},
            "fs#0": {"type": "ext4", "dev": "{disk#0.exposed_devs[0]}", "mnt": str(self.root / "m" / name)},
            "app#0": self.app(name),
        }

    # --- what happens ----------------------------------------------------------------------

    def started(self, name: str, within: float = PATIENCE) -> int:
        """Wait until a program has written that it started; its pid."""
        return self._wait(lambda: self._started(name), self._reader, select.POLLIN, within)

    def all_started(self, names: set[str], within: float = PATIENCE) -> None:
        left = set(names)

        def none_left() -> bool:
            self._read()
            left.difference_update(line.split()[0] for line in self._lines)
            self._lines.clear()
            return not left

        self._wait(none_left, self._reader, select.POLLIN, within)

    def forget(self) -> None:
        """What was heard so far is of no interest."""
        self._read()
        self._lines.clear()
        self._messages()

    def address(self, kind: int, ip: str, within: float = PATIENCE) -> None:
        """Wait for the kernel to tell that it came (NEWADDR) or went (DELADDR)."""
        self._wait(lambda: (kind, ip) in self._messages(), self._netlink.fileno(), select.POLLIN, within)

    def mounted(self, target: Path, within: float = PATIENCE) -> None:
        self._wait(lambda: self._is_mounted(target), self._mounts.fileno(), select.POLLPRI, within)

    def _started(self, name: str) -> int:
        self._read()
        for line in self._lines:
            if line.split()[0] == name:
                self._lines.remove(line)
                return int(line.split()[1])
        return 0

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._reader, 1 << 16):
                *lines, self._rest = (self._rest + data).split(b"\n")
                self._lines += [line.decode() for line in lines]

    def _messages(self) -> set[tuple[int, str]]:
        found = set()
        with contextlib.suppress(BlockingIOError):
            while True:
                for message in nl.messages(self._netlink.recv(1 << 16)):
                    found.add((message.kind, nl.address(message.body).ip))
        return found

    def _is_mounted(self, target: Path) -> bool:
        self._mounts.seek(0)
        return f" {target} ".encode() in self._mounts.read()

    def _wait(self, done: Callable[[], Any], descriptor: int, mask: int, within: float) -> Any:
        poll = select.poll()
        poll.register(descriptor, mask)
        end = time.monotonic() + within
        while not (answer := done()):
            if time.monotonic() > end:
                raise AssertionError(f"not within {within:g} s; the agent's log: {self.root}/*.log")
            poll.poll(100)
        return answer


@dataclass
class Agent:
    """A running agent, as a client sees it."""

    process: subprocess.Popen[str]
    run: Path

    def get(self, path: str) -> Any:
        return client.get(Namespace(run=str(self.run)), path)

    def ask(self, service: str, verb: str) -> None:
        client.post(Namespace(run=str(self.run)), f"/v1/services/root/{service}/wish", {"verb": verb})

    def is_ready(self, service: str) -> bool:
        """As wanted, and nothing goes on."""
        conditions = self.get(f"/v1/services/root/{service}")["status"]["conditions"]
        found = {condition["type"]: condition["status"] for condition in conditions}
        return found["Ready"] == "True" and found["Reconciling"] == "False"

    def settled(self, service: str, within: float = PATIENCE) -> None:
        """Wait until it is as wanted."""
        self._until(lambda: self.is_ready(service), within)

    def all_settled(self, count: int, within: float = PATIENCE) -> None:
        def all_ready() -> bool:
            items = self.get("/v1/services")["items"]
            ready = [c for i in items for c in i["status"]["conditions"] if c["type"] == "Ready"]
            return len(ready) == count and all(c["status"] == "True" for c in ready)

        self._until(all_ready, within, every=0.5)

    def all_up(self, count: int, within: float) -> None:
        """The same by the meter: a list of thousands, asked for often, would be a load of its own."""
        self._until(lambda: self.say("up")["up"] == count, within, every=0.5)

    def stop(self) -> None:
        """End it with all that it runs."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)

    def say(self, command: str) -> Any:
        """A question to the meter inside (see tests/bench/meter.py)."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def _until(self, condition: Callable[[], bool], within: float, every: float = 0.005) -> None:
        end = time.monotonic() + within
        while time.monotonic() < end:
            with contextlib.suppress(client.Failed):
                if condition():
                    return
            time.sleep(every)
        raise AssertionError(f"not within {within:g} s")


@contextlib.contextmanager
def place() -> Iterator[Place]:
    with bedding() as bed:
        made = Place(bed)
        try:
            yield made
        finally:
            made.close()


@contextlib.contextmanager
def agent(place: Place, name: str = "", *words: str, meter: bool = False) -> Iterator[Agent]:
    """An agent as a process of its own, within the block. Another `name`: other directories."""
    base = place.root / name if name else place.root
    run = base / "run" if name else place.bed.run_dir
    (base / "services").mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "tests.bench.meter"] if meter else [*COMMAND, "run"]
    argv += ["--services", str(base / "services"), "--state", str(base / "state"), "--run", str(run)]
    argv += ["--name", "n1", "--metrics", "", *words]
    with open(place.root / f"agent{name}.log", "ab") as log:
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
    made = Agent(process, run)
    try:
        made._until(lambda: bool(made.get("/healthz")), PATIENCE)
        yield made
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def write(place: Place, services: Mapping[str, Resources], name: str = "", **spec: Any) -> None:
    """Documents, each put in force by rename."""
    directory = (place.root / name if name else place.root) / "services"
    directory.mkdir(parents=True, exist_ok=True)
    hidden = [directory / f".{key}" for key in services]
    for path, (key, resources) in zip(hidden, services.items(), strict=True):
        path.write_text(document(key, resources, **spec))
    for path, key in zip(hidden, services, strict=True):
        os.replace(path, directory / f"{key}.yaml")
