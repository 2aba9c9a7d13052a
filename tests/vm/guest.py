"""A small virtual machine with two disks, for want of device-mapper here: commands → what they said."""

import base64
import select
import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

DISKS = ("/dev/nvme0n1", "/dev/nvme1n1")
DISK_SIZE = 256 << 20
BOOT = 60.0


class Said(NamedTuple):
    code: int
    out: str
    err: str


class Guest:
    """One QEMU, a child of this process and gone with it. Its disks are sparse files in `folder`."""

    def __init__(self, bed: Path, folder: Path) -> None:
        self._console = folder / "console.log"
        drives: list[str] = []
        for number, _ in enumerate(DISKS):
            disk = folder / f"disk{number}.raw"
            with disk.open("wb") as file:
                file.truncate(DISK_SIZE)
            drives += ["-blockdev", f"driver=raw,node-name=d{number},file.driver=file,file.filename={disk}"]
            # NVMe, because the kernel brings that driver without a module.
            drives += ["-device", f"nvme,drive=d{number},serial=disk{number}"]
        words = "console=ttyS0 quiet mitigations=off panic=-1"
        machine = shlex.split("-M pc -accel tcg -cpu max -m 256 -nodefaults -display none -no-reboot")
        self.process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", *machine),
                *("-kernel", str(bed / "vmlinuz"), "-initrd", str(bed / "initrd"), "-append", words),
                *("-serial", f"file:{self._console}", "-serial", "stdio", *drives),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self._rest = b""
        try:
            if self._line(BOOT) != "ready":
                raise RuntimeError(f"the guest said something else than ready: see {self._console}")
        except BaseException:
            self.close()
            raise

    def run(self, *argv: str, timeout: float = 60.0) -> Said:
        """Run one command to its end; stdin is empty."""
        return self.script(shlex.join(argv), timeout)

    def script(self, text: str, timeout: float = 60.0) -> Said:
        assert self.process.stdin is not None
        self.process.stdin.write(base64.b64encode(text.encode()) + b"\n")
        code, out, err = self._line(timeout).split(" ")
        return Said(int(code), *(base64.b64decode(part[1:]).decode() for part in (out, err)))

    def must(self, *argv: str) -> str:
        """Run what a test prepares with: it has to work."""
        said = self.run(*argv)
        assert said.code == 0, f"{shlex.join(argv)}: {said.err}"
        return said.out

    def write(self, path: str, lines: Sequence[str]) -> None:
        self.script(f"printf '%s\\n' {shlex.join(lines)} > {shlex.quote(path)}")

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _line(self, timeout: float) -> str:
        """The next line it writes; raises TimeoutError with the end of its console."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + timeout
        while b"\n" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise TimeoutError(f"no answer within {timeout:g} s\n{self._console.read_text()[-2000:]}")
            more = self.process.stdout.read(65536)
            if not more:
                raise ConnectionError(f"the guest is gone\n{self._console.read_text()[-2000:]}")
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode().strip()
