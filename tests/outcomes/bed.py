"""A place of its own → a whole agent on the real kernel, a wire with another host, a bystander.

    async def test_something(bed):
        bed.write("web", {"ip#0": bed.address()})
        async with bed.agent() as agent:
            await agent.up("web")
            bed.run("ip addr del 10.83.0.10/24 dev br0")
            await agent.until(lambda: agent.state("web", "ip#0") == "up")

Network and mount namespaces are private, every path lies on a tmpfs that vanishes with them, and what
the agent started is ended with the bed. All the while a service that has nothing to do with the test is
edited and damaged: each of these changes must be acted on within a second.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from reconciler.adapters import proc
from reconciler.adapters.cgroups import Groups
from reconciler.api.agent import Principal, Role
from reconciler.contracts import Event
from reconciler.daemon import running
from reconciler.running import Running
from reconciler.settings import Settings
from tests import kernel

AT_ONCE = 1.0
"""Seconds in which a change is acted on, whatever else goes on."""
PATIENCE = 8.0
"""Seconds a test waits for what must come."""
BYSTANDER = "bystander"

Resources = Mapping[str, Mapping[str, Any]]


def document(name: str, resources: Resources, **spec: Any) -> str:
    """JSON is YAML."""
    whole = {**spec, "resources": resources}
    return json.dumps(
        {"apiVersion": "standfast/v1", "kind": "Service", "metadata": {"name": name}, "spec": whole},
        indent=1,
    )


class Bed:
    """Directories, a bridge `br0` (10.83.0.1/24) with a live port, and the host at its other end."""

    def __init__(self, root: Path, peer: kernel.Neighbour) -> None:
        self.root, self.peer = root, peer
        self.services, self.state, self.run_dir = root / "services", root / "state", root / "run"
        self.services.mkdir()

    def settings(self, **more: Any) -> Settings:
        given = {"node": "n1", "services": self.services, "state": self.state, "run": self.run_dir}
        return Settings(**{**given, "metrics_listen": "", **more})

    # --- documents -------------------------------------------------------------------------

    def write(self, name: str, resources: Resources, **spec: Any) -> Path:
        """Put a document in force, by rename as editors do."""
        return self.put(f"{name}.yaml", document(name.rpartition("/")[2], resources, **spec))

    def put(self, name: str, text: str | bytes) -> Path:
        path = self.services / name
        path.parent.mkdir(exist_ok=True)
        hidden = path.with_name(f".{path.name}.new")
        hidden.write_bytes(text.encode() if isinstance(text, str) else text)
        os.replace(hidden, path)
        return path

    def flag(self, name: str) -> Path:
        return self.root / "flags" / name

    # --- the machine -----------------------------------------------------------------------

    def run(self, command: str) -> str:
        return kernel.run(command)

    def script(self, name: str, text: str, mode: int = 0o755) -> Path:
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(mode)
        return path

    def image(self, name: str = "disk", megabytes: int = 16) -> Path:
        path = self.root / f"{name}.img"
        with open(path, "wb") as file:
            file.truncate(megabytes << 20)
        return path

    def loops(self) -> list[str]:
        """Loop devices over files of this bed."""
        found = []
        for place in Path("/sys/class/block").glob("loop*/loop/backing_file"):
            with contextlib.suppress(OSError):
                if place.read_text().startswith(str(self.root)):
                    found.append(f"/dev/{place.parent.parent.name}")
        return sorted(found)

    def mounts(self) -> list[str]:
        """What is mounted below this bed, in the kernel's order."""
        targets = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        return [target for target in targets if target.startswith(f"{self.root}/")]

    def addresses(self, dev: str = "br0") -> list[str]:
        shown = self.run(f"ip -o addr show dev {dev} scope global")
        return [line.split()[3] for line in shown.splitlines()]

    def programs(self, service: str = "", rid: str = "") -> list[int]:
        """Live processes that an agent of this bed started, for one service or resource."""
        wanted = {"STANDFAST_RUN": str(self.run_dir)}
        wanted |= {"STANDFAST_SERVICE": f"root/{service}"} if service else {}
        wanted |= {"STANDFAST_RID": rid} if rid else {}
        found = []
        for process in proc.processes():
            variables = proc.environment(process.pid) or {}
            if all(variables.get(key) == value for key, value in wanted.items()):
                found.append(process.pid)
        return sorted(found)

    # --- agents ----------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def agent(self, bystander: bool = True, **settings: Any) -> AsyncIterator["Agent"]:
        """A whole agent in this process. What it runs stays up when the block ends."""
        if bystander:
            watched = Bystander(self)
        async with running(self.settings(**settings)) as made:
            agent = Agent(made)
            if not bystander:
                yield agent
                return
            async with watched.around(agent):
                agent.bystander = watched
                yield agent

    @contextlib.contextmanager
    def process(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """`standfast run` as a process of its own, its log in `agent.log`; killed at the end."""
        argv = [*_STANDFAST, "run", "--services", str(self.services), "--state", str(self.state)]
        argv += ["--run", str(self.run_dir), "--name", "n1", "--metrics", "", *words]
        with open(self.root / "agent.log", "ab") as log:
            started = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield started
        finally:
            started.kill()
            started.wait()

    # --- the end ---------------------------------------------------------------------------

    def clear(self) -> None:
        """Nothing of it is left: programs, mounts, loop devices, control groups."""
        for pid in self.programs():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        loops = self.loops()  # before their files are out of sight
        for target in reversed(self.mounts()):
            subprocess.run(["umount", "-l", target], capture_output=True, check=False)
        for device in loops:
            subprocess.run(["losetup", "-d", device], capture_output=True, check=False)
        self._clear_groups()

    def _clear_groups(self) -> None:
        root = Groups.find(self.settings()).root
        for _ in range(200):  # what was killed is on its way out
            if root is None or not root.exists():
                return
            for directory in [*sorted(root.rglob("*/"), reverse=True), root]:
                with contextlib.suppress(OSError):
                    directory.rmdir()
            time.sleep(0.01)


_STANDFAST = (sys.executable, "-m", "reconciler.cli.main")


class Agent:
    """A running agent, and what happened since it began."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.events: list[Event] = []
        self.bystander: Bystander | None = None
        running.tell.listeners.append(self.events.append)

    # --- seen ------------------------------------------------------------------------------

    def object(self, service: str) -> Mapping[str, Any]:
        return self.running.agent.service(f"root/{service}") or _NOTHING

    def resource(self, service: str, rid: str) -> Mapping[str, Any]:
        resources = self.object(service)["status"]["instances"].get("n1", {}).get("resources", {})
        return resources.get(rid, {"state": "", "log": [], "waiting": ""})

    def state(self, service: str, rid: str) -> str:
        return str(self.resource(service, rid)["state"])

    def notes(self, service: str, rid: str) -> str:
        """What the tree shows below a resource, and what it waits for."""
        found = self.resource(service, rid)
        return "\n".join([*(note["text"] for note in found["log"]), found["waiting"]])

    def condition(self, service: str, kind: str) -> Mapping[str, Any]:
        found = [c for c in self.object(service)["status"]["conditions"] if c["type"] == kind]
        return found[0] if found else {"status": "", "reason": "", "message": ""}

    def stalled(self, service: str) -> str:
        """The reason of the condition Stalled, "" when it is not."""
        condition = self.condition(service, "Stalled")
        return str(condition["reason"]) if condition["status"] == "True" else ""

    def is_ready(self, service: str) -> bool:
        """Where it is wanted, as the last pass saw it, and nothing goes on."""
        quiet = self.condition(service, "Reconciling")["status"] == "False"
        return quiet and self.condition(service, "Ready")["status"] == "True"

    def operations(self, service: str, rid: str = "", ok: bool | None = True) -> list[str]:
        """The lines of its log: what was done for it so far."""
        return [
            event.text
            for event in self.events
            if event.kind == "operation" and event.service == f"root/{service}"
            if rid in ("", event.rid) and ok in (None, event.ok)
        ]

    def told(self, service: str, text: str) -> bool:
        """An event of this service says so."""
        return any(text in e.text for e in self.events if e.service in (f"root/{service}", ""))

    # --- waited for ------------------------------------------------------------------------

    async def until(self, condition: Callable[[], Any], within: float = PATIENCE) -> float:
        """Wait for news until it holds; the seconds that took. Fails with all that is known."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > within:
                raise AssertionError(f"not within {within:g} s\n{self.report()}")
            await self.running.stirred()
        return time.monotonic() - began

    async def up(self, service: str, within: float = PATIENCE) -> float:
        return await self.until(lambda: self.is_ready(service), within)

    async def idle(self, service: str, seconds: float = 0.5) -> list[str]:
        """Let it be for so long; what it did meanwhile."""
        before = len(self.operations(service, ok=None))
        await asyncio.sleep(seconds)
        return self.operations(service, ok=None)[before:]

    async def ask(self, service: str, verb: str, **more: Any) -> None:
        await self.running.agent.ask(f"root/{service}", {"verb": verb, **more}, _ALICE)

    async def stopped(self, service: str, within: float = PATIENCE) -> None:
        """Stop it by word, and see it stopped."""
        await self.ask(service, "stop")
        await self.until(
            lambda: self.condition(service, "Ready")["reason"] == "Stopped" and self.is_ready(service),
            within,
        )

    def report(self, everything: bool = False) -> str:
        happened = [e for e in self.events if everything or not e.service.endswith(BYSTANDER)][-60:]
        lines = [f"{e.at:.3f} {e.kind} {e.service} {e.rid} {e.text} ({e.seconds:.3f} s)" for e in happened]
        for made in self.running.agent.services():
            name, status = made["metadata"]["name"], made["status"]
            if everything or name != BYSTANDER:
                lines += [
                    f"{name}: {c['type']} {c['status']} {c['reason']}: {c['message']}"
                    for c in status["conditions"]
                ]
                for rid, seen in status["instances"]["n1"]["resources"].items():
                    notes = [note["text"] for note in seen["log"]]
                    lines.append(
                        f"  {rid} {seen['state']}, wanted {seen['goal']}: {seen['waiting']} {notes}"
                    )
        return "\n".join(lines)


_NOTHING: Mapping[str, Any] = {"status": {"instances": {}, "conditions": ()}, "metadata": {}}
_ALICE = Principal(0, "alice", Role.ADMIN)


class Bystander:
    """A service that the test does not touch: edited and damaged all the time, and timed."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._number = 0
        self.edits = True
        """False while the test has taken the directory away."""
        self.waits: list[tuple[str, float]] = []
        self._write()

    @property
    def flag(self) -> Path:
        return self._bed.root / "bystander" / str(self._number)

    @property
    def resource(self) -> dict[str, Any]:
        return {"type": "flag", "path": str(self.flag), "restart_delay": "100ms"}

    def _write(self) -> None:
        self._bed.write(BYSTANDER, {"fs#flag": self.resource})

    @contextlib.asynccontextmanager
    async def around(self, agent: Agent) -> AsyncIterator[None]:
        await agent.up(BYSTANDER)
        task = asyncio.create_task(self._live(agent))
        try:
            yield
            await self._change(agent)  # one more, in the state that the test leaves behind
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        slow = [(what, round(seconds, 2)) for what, seconds in self.waits if seconds > AT_ONCE]
        assert not slow, f"another service waited: {slow}\n{agent.report(everything=True)}"

    async def _live(self, agent: Agent) -> None:
        while True:
            await self._change(agent)
            # A flag that is lost again and again is put back ever more slowly.
            await asyncio.sleep(0.2 if self.edits else 0.8)

    async def _change(self, agent: Agent) -> None:
        """Edit its document, or take its flag away where that cannot be done, until it is put right."""
        began = time.monotonic()
        if self.edits:
            what, self._number = "edited", self._number + 1
            self._write()
        else:
            what = "flag removed"
            self.flag.unlink(missing_ok=True)
        while not self.flag.exists():
            if time.monotonic() - began > PATIENCE:
                break
            await agent.running.stirred()
        self.waits.append((what, time.monotonic() - began))


@contextlib.contextmanager
def bedding() -> Iterator[Bed]:
    """A bed within the block."""
    root = Path(tempfile.mkdtemp(prefix="sf-"))
    try:
        with kernel.namespaces(), kernel.neighbour("port0", "peer0") as peer:
            kernel.run(f"mount -t tmpfs -o mode=755,size=512m bed {root}")
            kernel.run(
                "ip link add br0 type bridge forward_delay 0 stp_state 0; ip link set port0 master br0;"
                "ip link set br0 up; ip addr add 10.83.0.1/24 dev br0"
            )
            peer.run("ip addr add 10.83.0.2/24 dev peer0")
            bed = Bed(root, peer)
            try:
                _until_carrier("br0")
                yield bed
            finally:
                bed.clear()
    finally:
        root.rmdir()


def _until_carrier(dev: str) -> None:
    for _ in range(500):
        if "state UP" in kernel.run(f"ip link show {dev}"):
            return
    raise AssertionError(kernel.run("ip link"))
