"""A name → a machine made of namespaces: own network, mounts, processes, host name, control group, clock.

It ends with the process that made it, however that ends: see machine_main.py.

Not to be had: a wall clock of its own. Namespaces shift the monotonic and the boot-time clock alone, and
all machines here share the kernel's one CLOCK_REALTIME; a stepped clock takes a virtual machine.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests import kernel

_MAIN = Path(__file__).with_name("machine_main.py")
_BARE = (sys.executable, "-I", "-S")
_KINDS = ("--mount", "--net", "--uts", "--ipc", "--pid", "--time")
_JOIN = """
echo 0 >/sys/fs/cgroup/cgroup.procs
exec nsenter --cgroup=/proc/1/ns/cgroup -- "$@"
"""
_BEGINS = 10.0
ROOT = Path(__file__).parents[2]


class Machine:
    """One that runs. `pid` is its first process, in our numbers.

    steps   what is mounted in it, see machine_main.py. within: a machine whose mounts it starts from.
    group   its control group, made here; "" for none. clock: seconds its boot-time clock is ahead.
    sweep   when it has ended, a control group to be removed, and a directory on a filesystem of its own:
            loop devices of files there are detached.
    """

    def __init__(
        self,
        name: str,
        steps: Sequence[Mapping[str, Any]] = (),
        within: "Machine | None" = None,
        group: str = "",
        clock: int = 0,
        sweep: tuple[str, str] = ("", ""),
    ) -> None:
        self.name, self.group = name, group
        if group:
            os.makedirs(group, exist_ok=True)
        words = {"name": name, "steps": list(steps), "within": within.pid if within else 0}
        words |= {"group": group, "clock": clock, "sweep": sweep}
        self._launcher = subprocess.Popen(
            [*_BARE, str(_MAIN), json.dumps(words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._launcher.stdout
        ready, _, _ = select.select([self._launcher.stdout], [], [], _BEGINS)
        said = self._launcher.stdout.readline() if ready else b""
        if not said:
            self._launcher.kill()
            raise RuntimeError(f"{name} does not begin: {self._launcher.communicate()[1].decode()}")
        self.pid = int(said)
        self._pidfd = os.pidfd_open(self.pid)

    @property
    def alive(self) -> bool:
        return not select.select([self._pidfd], [], [], 0)[0]

    def path(self, path: str) -> Path:
        """A path within it, as seen from here."""
        return Path(f"/proc/{self.pid}/root{path}")

    # --- what runs in it -------------------------------------------------------------------

    def run(self, command: str, within: float = 20.0) -> str:
        """A shell command in it; what it printed. Raises with its errors."""
        argv = self.entering(("sh", "-ec", command))
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=within)
        assert done.returncode == 0, f"{self.name}: {command}: {done.stderr}"
        return done.stdout.rstrip("\n")

    def start(self, argv: Sequence[str], log: Path, **environment: str) -> int:
        """A process in it that goes on; its pid, in our numbers. Its words go to the log.

        A child of the machine's first process: one of ours could not be reaped where that stands still.
        """
        with open(log, "ab") as file:
            done = subprocess.run(
                self.entering(("sh", "-c", 'setsid "$@" >&2 </dev/null & echo $!', "sh", *argv)),
                stdout=subprocess.PIPE,
                stderr=file,
                env=os.environ | environment,
                check=True,
            )
        its = done.stdout.decode().strip()
        found = [pid for pid in self._pids() if _numbers(pid)[-1:] == [its]]
        assert found, f"{self.name}: {argv} has ended: {log.read_text()[-2000:]}"
        return found[0]

    def network(self, commands: str) -> None:
        """Lines of `ip -batch` in its network."""
        words = ["nsenter", f"--net=/proc/{self.pid}/ns/net", "ip", "-batch", "-"]
        done = subprocess.run(words, input=commands, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{self.name}: {commands}: {done.stderr}"

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that this thread makes within the block are the machine's."""
        with open(f"/proc/{self.pid}/ns/net", "rb") as its, kernel.network(its.fileno()):
            yield

    def processes(self) -> dict[int, str]:
        """Command lines of all that runs in it, by pid in our numbers."""
        found = {}
        for pid in self._pids():
            with contextlib.suppress(OSError):
                found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        return {pid: words for pid, words in found.items() if words}

    def _pids(self) -> list[int]:
        """In our numbers; zombies are among them."""
        own, found = os.readlink(f"/proc/{self.pid}/ns/pid"), []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and os.readlink(entry / "ns" / "pid") == own:
                    found.append(int(entry.name))
        return found

    # --- its end ---------------------------------------------------------------------------

    def freeze(self, frozen: bool = True) -> None:
        """All that runs in it stands still, or goes on; returns when that is so."""
        assert self.group, "needs a control group of version 2"
        Path(self.group, "cgroup.freeze").write_text(str(int(frozen)))
        while f"frozen {int(frozen)}" not in Path(self.group, "cgroup.events").read_text():
            pass

    def kill(self) -> None:
        """Everything in it at once; returns when nothing of it runs."""
        assert self._launcher.stdin
        self._launcher.stdin.close()
        self._launcher.wait()
        for stream in (self._launcher.stdout, self._launcher.stderr):
            if stream:
                stream.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def entering(self, argv: Sequence[str]) -> list[str]:
        """The same words run in it, in its control group.

        The `nsenter` that waits for them stays outside of that: it must outlive what it waits for, or the
        machine's end would wait for whoever reaps it then.
        """
        enter = ["nsenter", f"--target={self.pid}", *_KINDS, f"--wdns={ROOT}", "--"]
        return [*enter, *(["sh", "-c", _JOIN, "sh"] if self.group else []), *argv]


def _numbers(pid: int) -> list[str]:
    """Of a process, from our pid namespace down to its own."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(line.split()[1:] for line in lines if line.startswith("NSpid:"))
    return []
