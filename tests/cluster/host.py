"""A name and a number → a host: an agent and its guard on a machine that boots, crashes and boots again.

Each host finds its own directories at the same path, HOME:

    services/ state/ node.yaml agent.log     outlive a crash
    run/ dev/                                 new at each boot; dev/ has the disks that were attached

A crash loses all processes, addresses and mounts, run/, and what was not yet written to a shared disk.
It does not lose, though a real one would, data in services/ and state/ that nobody had synced.
"""

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import uuid
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler.cli import client
from tests.cluster.disk import Device, Disk, cut_power
from tests.cluster.machine import Machine
from tests.cluster.net import NETWORK, PLACE, Net

HOME = f"{PLACE}/self"
STANDFAST = (sys.executable, "-m", "reconciler.cli.main")
_GUARD = "reconciler.guard.__main__"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Host:
    """Down until `boot`. `node`: what stands in its node.yaml besides the store.

    name is that of the machine; its agent is `called` so, too, unless it is the copy of another.
    `environment` is what its agents are started with besides.
    """

    def __init__(
        self, net: Net, name: str, number: int, endpoints: Sequence[str], called: str = "", **node: Any
    ) -> None:
        self.name, self.called, self.address = name, called or name, f"{NETWORK}.{number}"
        self.environment: dict[str, str] = {}
        self._net, self._number = net, number
        self.disks: list[Disk] = []
        self.devices: list[Device] = []
        self._machine: Machine | None = None
        self.boot_id, self.agent = "", 0
        self.kept = net.root / "hosts" / name
        for directory in ("services", "state", "run", "dev"):
            (self.kept / directory).mkdir(parents=True)
        store = {"endpoints": list(endpoints)}
        self.configure({"failover_time": "fast", "metrics_listen": "", "etcd": store, **node})

    def configure(self, spec: Mapping[str, Any], **labels: str) -> None:
        """What node.yaml says from the next start of the agent on."""
        whole = {
            "apiVersion": "standfast/v1",
            "kind": "Node",
            "metadata": {"name": self.called, "labels": labels},
            "spec": spec,
        }
        (self.kept / "node.yaml").write_text(json.dumps(whole, indent=1))

    @property
    def machine(self) -> Machine:
        assert self._machine, f"{self.name} is down"
        return self._machine

    @property
    def up(self) -> bool:
        return self._machine is not None and self._machine.alive

    def path(self, path: str) -> Path:
        """Below HOME, as seen from here."""
        return self.machine.path(f"{HOME}/{path}")

    # --- the host --------------------------------------------------------------------------

    def boot(self) -> None:
        """Another boot: with another id, another clock, and no agent yet."""
        assert self._machine is None, f"{self.name} is up"
        self.boot_id = str(uuid.uuid4())
        (self.kept / "boot_id").write_text(f"{self.boot_id}\n")
        self._machine = self._net.machine(self.name, self._number, _steps(self.name, bool(self._net.group)))
        for disk in self.disks:
            self._plug(disk)

    def crash(self) -> None:
        """The power is gone: from one moment on nothing of it is heard, runs or is written."""
        machine, self._machine = self.machine, None
        if machine.group:
            Path(machine.group, "cgroup.freeze").write_text("1")
        self._net.remove(self.name)
        cut_power(machine.pid, {device.label for device in self.devices})
        machine.kill()
        for device in self.devices:
            device.detach()
        self.devices.clear()
        if machine.group:
            _remove_below(Path(machine.group))
        self.agent = 0

    def pause(self) -> None:
        """As a virtual machine is paused: all stands still, but clocks go on. `go_on` ends it."""
        self.machine.freeze()

    def go_on(self) -> None:
        self.machine.freeze(False)

    def attach(self, disk: Disk) -> str:
        """Now and at each boot; the device's path on the host."""
        self.disks.append(disk)
        if self._machine:
            self._plug(disk)
        return f"{HOME}/dev/{disk.name}"

    def _plug(self, disk: Disk) -> None:
        device = disk.device()
        self.devices.append(device)
        os.mknod(self.path(f"dev/{disk.name}"), 0o60600, device.rdev)

    def close(self) -> None:
        """The end of a test: as a crash, if it is up."""
        if self._machine:
            self.crash()

    # --- what runs on it -------------------------------------------------------------------

    def start(self) -> None:
        """The agent; what it says is in agent.log."""
        words = ["run", "--node", f"{HOME}/node.yaml", "--name", self.called]
        words += [w for name in ("services", "state", "run") for w in (f"--{name}", f"{HOME}/{name}")]
        besides = ["env", *(f"{name}={value}" for name, value in self.environment.items())]
        self.agent = self.machine.start([*besides, *STANDFAST, *words], self.kept / "agent.log")

    def kill_agent(self) -> None:
        """By SIGKILL, and nothing else of it."""
        self._signal(self.agent, signal.SIGKILL)

    def stop_agent(self) -> None:
        """SIGSTOP: it neither runs nor ends."""
        self._signal(self.agent, signal.SIGSTOP)

    def continue_agent(self) -> None:
        self._signal(self.agent, signal.SIGCONT)

    def end_agent(self) -> None:
        """SIGTERM, as a restart of the unit begins."""
        self._signal(self.agent, signal.SIGTERM)

    @property
    def guard(self) -> int:
        """Its pid, 0 when there is none."""
        return next((pid for pid, words in self.machine.processes().items() if _GUARD in words), 0)

    def kill_guard(self) -> int:
        pid = self.guard
        assert pid, f"{self.name} has no guard"
        self._signal(pid, signal.SIGKILL)
        return pid

    def _signal(self, pid: int, number: int) -> None:
        assert pid, f"{self.name} has no agent"
        os.kill(pid, number)

    def run(self, command: str, within: float = 20.0) -> str:
        """A shell command on it; what it printed."""
        return self.machine.run(command, within)

    def command(self, *words: str) -> str:
        """The line that a person would type on it."""
        return f"STANDFAST_RUN={HOME}/run {shlex.join([*STANDFAST, *words])}"

    def cli(self, *words: str, code: int | None = 0) -> str:
        """`standfast …` on it; what it printed. Its exit code must be the given one, None: any."""
        argv = self.machine.entering(("sh", "-c", self.command(*words)))
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
        said = f"{self.name}: standfast {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert code in (None, done.returncode), f"{said}\n{self.log()}"
        return done.stdout

    def json(self, *words: str) -> Any:
        """The same with `-o json`, read."""
        return json.loads(self.cli(*words, "-o", "json"))

    def get(self, path: str) -> Any:
        """What its agent answers to a GET; quicker than `json`, which starts a process."""
        return client.get(Namespace(run=str(self.path("run"))), path)

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        return client.post(Namespace(run=str(self.path("run"))), path, body)

    # --- seen ------------------------------------------------------------------------------

    def answers(self) -> bool:
        """The agent is there for its clients."""
        with socket.socket(socket.AF_UNIX) as door, contextlib.suppress(OSError):
            # By a short name: the way there from here may be too long for one.
            directory = os.open(self.path("run"), os.O_PATH)
            try:
                door.connect(f"/proc/self/fd/{directory}/standfast.sock")
                return True
            finally:
                os.close(directory)
        return False

    def addresses(self) -> list[str]:
        shown = self.run("ip -o -4 addr show dev eth0")
        return [line.split()[3] for line in shown.splitlines()]

    def mounts(self) -> list[str]:
        """What is mounted below HOME besides its own, in the kernel's order."""
        table = Path(f"/proc/{self.machine.pid}/mountinfo").read_text().splitlines()
        own = (f"{HOME}/run", f"{HOME}/dev")
        return [t for line in table if (t := line.split()[4]).startswith(f"{HOME}/") and t not in own]

    def log(self) -> str:
        path = self.kept / "agent.log"
        return path.read_text()[-4000:] if path.exists() else "no agent was started"

    # --- documents -------------------------------------------------------------------------

    def write(self, name: str, text: str) -> None:
        """A document into its watched directory, by rename as editors do."""
        hidden = self.kept / "services" / f".{name}.new"
        hidden.write_text(text)
        os.replace(hidden, self.kept / "services" / name)


def _steps(name: str, group: bool) -> list[Mapping[str, Any]]:
    """Its own tables of processes, devices and control groups, its own directories, its boot id."""

    def mount(what: str, at: str, kind: str = "", bind: bool = False) -> Mapping[str, Any]:
        return {"do": "mount", "what": what, "at": at, "type": kind, "how": ["bind"] if bind else []}

    return [
        {"do": "unmount", "at": "/proc"},
        mount("proc", "/proc", "proc"),
        {"do": "unmount", "at": "/sys"},
        mount("sysfs", "/sys", "sysfs"),
        *([mount("cgroup", "/sys/fs/cgroup", "cgroup2")] if group else []),
        {"do": "directory", "at": HOME},
        mount(f"{PLACE}/hosts/{name}", HOME, bind=True),
        mount("run", f"{HOME}/run", "tmpfs"),
        mount("dev", f"{HOME}/dev", "tmpfs"),
        mount("shm", "/dev/shm", "tmpfs"),
        mount(f"{HOME}/boot_id", _BOOT_ID, bind=True),
    ]


def _remove_below(group: Path) -> None:
    """Control groups do not outlive a power cut."""
    for directory, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(directory)
