"""A place of its own → a guard on the real kernel, an agent to be killed, and when each thing was gone."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from reconciler.adapters import cgroups, guard, proc
from reconciler.adapters.cgroups import Groups
from reconciler.adapters.guard import GuardClient
from reconciler.decide.undo import Places
from reconciler.guard.kernel import boottime
from reconciler.guard.lines import Line, encode
from reconciler.model import Owner
from reconciler.settings import Settings
from tests import kernel

W, M = 2.0, 1.0
"""Of the fast profile: one second to stop everything."""
ROOT = Path(__file__).parents[2]


class Agent:
    """A process that holds a session."""

    def __init__(self, path: Path) -> None:
        argv = [sys.executable, "-m", "tests.guard.agent", str(path)]
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1
        )
        assert self._line() == "ready"
        self.pid, self._number = self.process.pid, 0

    def ask(self, do: str, **words: Any) -> dict[str, Any]:
        self.send(do, **words)
        return json.loads(self._line())

    def must(self, do: str, **words: Any) -> dict[str, Any]:
        said = self.ask(do, **words)
        assert said["ok"], said
        return said

    def send(self, do: str, **words: Any) -> None:
        assert self.process.stdin is not None
        self._number += 1
        self.process.stdin.write(json.dumps({"id": self._number, "do": do, **words}) + "\n")

    def start(self, *argv: str) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write(f"! {' '.join(argv)}\n")
        return int(self._line())

    def enter(self, *lines: Line) -> list[int]:
        return self.must("enter", lines=[encode(line) for line in lines])["numbers"]

    @property
    def alive(self) -> bool:
        return alive(self.pid)

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


class Bed:
    """One run directory. `record`: what the watchdog was told; `sysrq`: a file in place of the real one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = Settings(node="n1", state=root / "state", run=root / "run")
        self.groups = Groups.find(self.settings)
        assert self.groups.root is not None
        self.operations = self.groups.root / "operations"
        self.places: Places = guard.places(self.settings, self.groups)
        self.here = guard.directory(self.settings)
        self.record, self.sysrq = root / "watchdog", root / "sysrq"
        self.record.touch()
        self._agents: list[Agent] = []
        self._loops: list[tuple[str, list[str]]] = []
        self._guards: set[int] = set()

    # --- guard and agent -------------------------------------------------------------------

    def guard(self, **more: Any) -> int:
        """A guard, started if there is none; its pid."""

        async def start() -> int:
            given = {"watchdog": f"record:{self.record}", **more}
            client = await guard.at_hand(self.settings, self.groups, **given)
            try:
                said = await client._ask("state")
                return int(said["pid"])
            finally:
                await client.disconnect()

        pid = asyncio.run(start())
        self._guards.add(pid)
        return pid

    def client(self) -> GuardClient:
        return GuardClient(
            self.here / "socket", str(self.operations), str(self.settings.run / "operations")
        )

    def agent(self) -> Agent:
        made = Agent(self.here / "socket")
        self._agents.append(made)
        return made

    def session(self, limit: float, *lines: Line, epoch: int = 1) -> tuple[Agent, float]:
        """An agent whose session ends `limit` seconds from now, and that instant."""
        agent = self.agent()
        agent.must("arm", watchdog=W, margin=M)
        deadline = boottime() + limit
        self.open(agent, deadline, epoch)
        if lines:
            agent.enter(*lines)
        return agent, deadline

    def open(self, agent: Agent, deadline: float, epoch: int = 1) -> dict[str, Any]:
        notes = str(self.settings.run / "operations")
        return agent.must(
            "open", epoch=epoch, deadline=deadline, operations=str(self.operations), notes=notes
        )

    def state(self) -> dict[str, Any]:
        """Asked by a bystander."""
        asking = self.agent()
        said = asking.must("state")
        asking.end()
        return said

    def until(self, condition: Callable[[], bool], limit: float = 8.0) -> float:
        """The instant at which it holds."""
        end = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < end, (self.here / "log").read_text()
            time.sleep(0.002)
        return boottime()

    # --- what is up ------------------------------------------------------------------------

    def program(self, owner: Owner, script: str = "exec sleep 600") -> Path:
        """Running in the control group of its owner."""
        group = Path(self.places.group(owner))
        self.run_in(group, script)
        return group

    def run_in(self, group: Path, script: str) -> int:
        assert cgroups.make(group)
        words = f'echo 0 >"{group}/cgroup.procs"; {script}'
        process = subprocess.Popen(["sh", "-c", words], start_new_session=True, stdout=-3, stderr=-3)
        self.until(lambda: populated(group))
        threading.Thread(target=process.wait, daemon=True).start()
        return process.pid

    def loop(self, file: Path) -> str:
        """Another loop device of the file."""
        device = kernel.run(f"losetup -f --show {file}")
        self._loops.append((device, _backing(device)))
        return device

    def filesystem(self, name: str = "disk", mount: bool = True) -> tuple[Path, str, Path]:
        """Image, loop device, mount point of an ext4."""
        image, target = self.root / f"{name}.img", self.root / name
        with open(image, "wb") as file:
            file.truncate(16 << 20)
        device = self.loop(image)
        kernel.run(f"mke2fs -q -t ext4 {device}")
        target.mkdir()
        if mount:
            kernel.run(f"mount {device} {target}")
        return image, device, target

    # --- what the watchdog was told --------------------------------------------------------

    def told(self, what: str) -> list[float]:
        words = [line.split(maxsplit=1) for line in self.record.read_text().splitlines()]
        return [float(at) for at, said in words if said.startswith(what)]

    @property
    def pets(self) -> list[float]:
        return self.told("pet")

    # --- the end ---------------------------------------------------------------------------

    def clear(self) -> None:
        for pid in self._guards:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for agent in self._agents:
            agent.end()
        for group in self._own_groups():
            for _ in range(200):
                cgroups.kill(group)
                if not cgroups.members(group):
                    break
                time.sleep(0.01)
        table = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        self._each("umount -l", [t for t in reversed(table) if t.startswith(f"{self.root}/")])
        # One that is detached may be somebody else's by now.
        ours = [device for device, backing in self._loops if _backing(device) == backing]
        self._each("losetup -d", reversed(ours))
        self._clear_groups()
        subprocess.run(["rm", "-rf", "--one-file-system", str(self.root)], check=False)

    def _each(self, command: str, words: Iterable[str]) -> None:
        for word in words:
            subprocess.run([*command.split(), word], capture_output=True, check=False)

    def _own_groups(self) -> list[Path]:
        """The node's, and the guard's."""
        assert self.groups.root is not None
        return [self.groups.root, self.groups.root.with_name(f"{self.groups.root.name}.guard")]

    def _clear_groups(self) -> None:
        for root in self._own_groups():
            for directory in [*sorted(root.rglob("*/"), reverse=True), root]:
                for _ in range(100):
                    with contextlib.suppress(OSError):
                        directory.rmdir()
                    if not directory.exists():
                        break
                    time.sleep(0.01)


class Watch(threading.Thread):
    """When each of the named things was last seen there, looked at every 2 ms.

    Named in the order in which they should go, and looked at the other way round: whatever holds up a
    round, one that is missing while an earlier one is there went before it.
    """

    def __init__(self, **things: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self._things = things
        self._last = dict.fromkeys(things, 0.0)
        self._ended = threading.Event()

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(0.002):
            began = boottime()
            for name, there in reversed(self._things.items()):
                if there():
                    self._last[name] = began

    @property
    def order(self) -> list[str]:
        """By the last round in which they were there; in one round, as they were named."""
        return sorted(self._last, key=lambda name: self._last[name])

    def __getitem__(self, name: str) -> float:
        return self._last[name]


def _backing(device: str) -> list[str]:
    """Inode and device of its file; of none, nothing."""
    words = ["losetup", "-n", "-O", "BACK-INO,BACK-MAJ:MIN", device]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.split()


def alive(pid: int) -> bool:
    process = proc.read(pid)
    return process is not None and process.alive


def populated(group: Path) -> bool:
    try:
        return "populated 1" in (group / "cgroup.events").read_text()
    except OSError:
        return False


def held(address: str) -> bool:
    """An IPv4 address, by the kernel's table of what it delivers to itself."""
    table = Path("/proc/thread-self/net/fib_trie").read_text()
    return re.search(rf"-- {re.escape(address)}\n +/32 host LOCAL", table) is not None


def mounted(target: Path) -> bool:
    return f" {target} " in Path("/proc/thread-self/mountinfo").read_text()


def attached(image: Path) -> bool:
    for place in Path("/sys/class/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if place.read_text().strip() == str(image):
                return True
    return False


@contextlib.contextmanager
def bedding() -> Iterator[Bed]:
    """A bed within the block, with a device d0 of its own network."""
    with kernel.namespaces():
        kernel.run("ip link add d0 type bridge; ip link set d0 up")
        bed = Bed(Path(tempfile.mkdtemp(prefix="sf-g-")))
        try:
            yield bed
        finally:
            bed.clear()
