"""A file → a disk that several hosts have at once, each by a loop device of its own.

Each device has its own cache of the disk, as with real shared storage: one device in two hosts would be one
superblock in the kernel, and hide that two of them mount it. For the same reason a service names the disk
by its device (`fs#data: {type: ext4, dev: …}`): `disk.loop` would find the device of another host.
"""

import contextlib
import errno
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests import kernel
from tests.cluster.machine import Machine

_CONFIGURE, _GET_FREE, _CLEAR = 0x4C0A, 0x4C82, 0x4C01
_LOOP = 7
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2


class Disk:
    """An image with an ext4 on it. `name` is the file's name in each host's directory of devices."""

    def __init__(self, directory: Path, name: str = "shared", megabytes: int = 64) -> None:
        self.name = name
        self.image = directory / f"{name}.img"
        with open(self.image, "wb") as file:
            file.truncate(megabytes << 20)
        kernel.run(f"mke2fs -q -t ext4 {self.image}")

    def device(self) -> "Device":
        """Another loop device of it."""
        return Device(self.image)


class Ground:
    """A filesystem of its own for images of disks, mounted in that machine at `directory`.

    While it is frozen, who writes to such a disk waits in the kernel, and no signal ends that: reads go on.
    """

    def __init__(self, machine: Machine, directory: str, megabytes: int = 100) -> None:
        self.directory = machine.path(directory)
        self.directory.mkdir()
        under = Disk(self.directory.parent, f"{self.directory.name}-ground", megabytes).device()
        machine.run(f"mount -t ext4 {under.path} {directory}")
        under.detach()  # with the mount, when the machine ends

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Within the block; thawed also when this process is killed, by one that waits for its end."""
        words = 'cd "$0"; fsfreeze -f .; echo; read -r _ || :; exec fsfreeze -u .'
        thaws = subprocess.Popen(
            ["sh", "-ec", words, self.directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert thaws.stdin
        assert thaws.stdout
        try:
            assert thaws.stdout.readline(), f"{self.directory} cannot be frozen"
            yield
        finally:
            thaws.stdin.close()
            assert thaws.wait() == 0
            thaws.stdout.close()


class Device:
    """A loop device. Nobody here has it open: with the last of its users on a host that one's cache goes.

    `detach` where they left it; the end of the wire sees to the rest, see machine_main.py.
    """

    def __init__(self, image: Path) -> None:
        info = bytearray(232)  # struct loop_info64: all zero but for its name
        info[56:120] = os.fsencode(image.name)[:63].ljust(64, b"\0")
        with open(image, "r+b") as backing, open("/dev/loop-control", "rb") as control:
            config = struct.pack("=II", backing.fileno(), 0) + bytes(info) + bytes(64)
            while True:
                self.number = fcntl.ioctl(control, _GET_FREE)
                try:
                    with open(self.path, "r+b", buffering=0) as loop:
                        fcntl.ioctl(loop, _CONFIGURE, config)
                        return
                except OSError as fault:
                    if fault.errno != errno.EBUSY:  # somebody was faster
                        raise

    @property
    def path(self) -> str:
        return f"/dev/loop{self.number}"

    @property
    def rdev(self) -> int:
        return os.makedev(_LOOP, self.number)

    @property
    def label(self) -> str:
        """As mount tables have it."""
        return f"{_LOOP}:{self.number}"

    def detach(self) -> None:
        """At once, or when its last user closes it."""
        with open(self.path, "rb", buffering=0) as loop:
            fcntl.ioctl(loop, _CLEAR)


def cut_power(pid: int, devices: set[str]) -> None:
    """Filesystems on these devices in the machine of that process take no write any more, and flush none.

    For the end of a machine unmounts them, which no power cut does.
    """
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        words = line.split()
        if words[2] in devices:
            target = words[4].encode().decode("unicode_escape")
            fd = os.open(f"/proc/{pid}/root{target}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.ioctl(fd, _SHUTDOWN, struct.pack("=I", _NO_LOG_FLUSH))
            finally:
                os.close(fd)
