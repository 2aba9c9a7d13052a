"""Private namespaces of the real kernel for tests, entered by the test process itself.

    pytestmark = kernel.needs_root                # marks `root`, skips with a reason without it

    @pytest.fixture
    def world():
        with kernel.namespaces():                 # own network (lo is up) and own mount table
            yield

The calling thread enters; threads and processes started meanwhile are inside as well, so asyncio,
netlink, AF_PACKET and mounts all mean the private world, which the kernel clears away with its last
member. Nothing mounted inside is seen outside. /sys still shows the machine's own network devices.
"""

import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEWNS, _NEWNET, _FS = 0x00020000, 0x40000000, 0x00000200
_REC, _PRIVATE = 0x4000, 1 << 18
_SELF = "/proc/thread-self/ns/"


needs_root = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: namespaces, mounts, raw sockets"),
]


@contextlib.contextmanager
def namespaces(net: bool = True, mount: bool = True) -> Iterator[None]:
    """Be in new namespaces within the block, and in the old ones again after it."""
    with contextlib.ExitStack() as stack:
        here = Path.cwd()
        if net:
            stack.callback(_back, _open("net"), _NEWNET)
        if mount:
            stack.callback(os.chdir, here)
            stack.callback(_back, _open("mnt"), _NEWNS)
        _call(_LIBC.unshare((_NEWNET if net else 0) | (_NEWNS if mount else 0)))
        if mount:
            _call(_LIBC.mount(b"none", b"/", None, ctypes.c_ulong(_REC | _PRIVATE), None))
        if net:
            run("ip link set lo up")
        yield


@contextlib.contextmanager
def network(namespace: int) -> Iterator[None]:
    """The calling thread, and what it makes, is in this network namespace within the block."""
    back = _open("net")
    try:
        _call(_LIBC.setns(namespace, _NEWNET))
        yield
    finally:
        _back(back, _NEWNET)


class Neighbour:
    """Another host on the same wire: a network namespace joined by a veth pair."""

    def __init__(self, dev: str = "eth0", its_dev: str = "peer0") -> None:
        self.dev, self.its_dev = dev, its_dev
        self._holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 600"], stdout=-1)
        assert self._holder.stdout is not None
        self._holder.stdout.readline()  # now it is in its own namespace
        run(f"ip link add {dev} type veth peer name {its_dev} netns {self._holder.pid}")
        run(f"ip link set {dev} up")
        self.run(f"ip link set {its_dev} up; ip link set lo up")

    @property
    def mac(self) -> str:
        words = self.run(f"ip -o link show dev {self.its_dev}").split()
        return words[words.index("link/ether") + 1]

    def run(self, command: str) -> str:
        return run(f"nsenter --target {self._holder.pid} --net sh -ec {shlex.quote(command)}")

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets opened within the block belong to the neighbour, also after it."""
        back = _open("net")
        its = os.open(f"/proc/{self._holder.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _call(_LIBC.setns(its, _NEWNET))
            yield
        finally:
            os.close(its)
            _back(back, _NEWNET)

    def close(self) -> None:
        self._holder.send_signal(signal.SIGKILL)
        self._holder.wait()
        if self._holder.stdout:
            self._holder.stdout.close()
        subprocess.run(["ip", "link", "del", self.dev], capture_output=True, check=False)


@contextlib.contextmanager
def neighbour(dev: str = "eth0", its_dev: str = "peer0") -> Iterator[Neighbour]:
    """A neighbour within the block."""
    there = Neighbour(dev, its_dev)
    try:
        yield there
    finally:
        there.close()


@contextlib.contextmanager
def image(megabytes: int = 16, directory: Path | None = None) -> Iterator[Path]:
    """A sparse file for loop devices; every loop device that has it is detached at the end."""
    with tempfile.TemporaryDirectory(dir=directory, prefix="standfast-image-") as place:
        path = Path(place) / "image"
        with open(path, "wb") as file:
            file.truncate(megabytes * 1024 * 1024)
        try:
            yield path
        finally:
            for device in loops_of(path):
                subprocess.run(["losetup", "-d", device], capture_output=True, check=False)


def loops_of(path: Path) -> list[str]:
    """Loop devices that have this file."""
    return [line.partition(":")[0] for line in run(f"losetup -j {path}").splitlines()]


def run(command: str) -> str:
    """A shell command; what it printed, without the last newline. Raises with its errors."""
    done = subprocess.run(["sh", "-ec", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout.rstrip("\n")


def _open(kind: str) -> int:
    return os.open(_SELF + kind, os.O_RDONLY | os.O_CLOEXEC)


def _back(namespace: int, kind: int) -> None:
    if kind == _NEWNS:
        # Threads started inside share our root and directory; the kernel wants them to be ours alone.
        _call(_LIBC.unshare(_FS))
    _call(_LIBC.setns(namespace, kind))
    os.close(namespace)


def _call(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
