"""Seconds → a watchdog that resets the machine unless it is petted; or one that only notes what it is told.

The guard opens the device when it is armed and closes it when it is disarmed: opening starts it, and
closing without the magic letter leaves it running.
"""

import contextlib
import fcntl
import os
import struct
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

# linux/watchdog.h
_GETSUPPORT, _KEEPALIVE, _SETTIMEOUT, _GETTIMEOUT = 0x80285700, 0x80045705, 0xC0045706, 0x80045707
_CAN_SET_TIMEOUT, _MAGIC_CLOSE = 0x0080, 0x0100
_INFO = struct.Struct("=II32s")
SOFTDOG = "Software Watchdog"


class Granted(NamedTuple):
    """real    it resets the machine. closes  it can be disarmed again."""

    seconds: float
    real: bool
    closes: bool


class Watchdog(Protocol):
    """`arm` raises OSError with words; an armed one may be armed again, with another time."""

    identity: str

    def arm(self, seconds: float) -> Granted: ...

    def pet(self) -> None: ...

    def disarm(self) -> None: ...


class Nothing:
    """No watchdog: the same seconds bound the guard's own stop, and nobody resets the machine."""

    identity = ""

    def arm(self, seconds: float) -> Granted:
        return Granted(seconds, real=False, closes=True)

    def pet(self) -> None:
        return

    def disarm(self) -> None:
        return


class Recorder:
    """Writes down, with the time, what a device would have been told: for those who have none."""

    identity = "recorder"

    def __init__(self, path: str) -> None:
        self._path = path

    def arm(self, seconds: float) -> Granted:
        self._note(f"arm {seconds:g}")
        return Granted(seconds, real=True, closes=True)

    def pet(self) -> None:
        self._note("pet")

    def disarm(self) -> None:
        self._note("disarm")

    def _note(self, text: str) -> None:
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, f"{time.clock_gettime(time.CLOCK_BOOTTIME):.6f} {text}\n".encode())
        finally:
            os.close(fd)


class Device:
    """/dev/watchdog and its like. `softdog`: also one that is only a timer of this kernel."""

    def __init__(self, path: str, softdog: bool) -> None:
        self._path, self._softdog = path, softdog
        self._fd = -1
        self.identity = self._says("identity")

    def arm(self, seconds: float) -> Granted:
        self._must_be_trusted()
        fresh = self._fd < 0
        if fresh:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            return self._granted(seconds)
        except OSError:
            if fresh:
                self.disarm()
            raise

    def pet(self) -> None:
        fcntl.ioctl(self._fd, _KEEPALIVE, bytes(4))

    def disarm(self) -> None:
        """The magic letter, without which closing leaves it running."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.write(self._fd, b"V")
            os.close(self._fd)
            self._fd = -1

    def _granted(self, seconds: float) -> Granted:
        options, _, name = _INFO.unpack(fcntl.ioctl(self._fd, _GETSUPPORT, bytes(_INFO.size)))
        self.identity = name.rstrip(b"\0").decode(errors="replace")
        self._must_be_trusted()
        nowayout = self._says("nowayout") == "1"
        if not options & _MAGIC_CLOSE and not nowayout:
            # A guard that is killed would disarm it.
            raise OSError(0, f"{self._path} ({self.identity}) stops when whoever has it open dies")
        if options & _CAN_SET_TIMEOUT:
            fcntl.ioctl(self._fd, _SETTIMEOUT, struct.pack("=i", round(seconds)))
        granted = struct.unpack("=i", fcntl.ioctl(self._fd, _GETTIMEOUT, bytes(4)))[0]
        self.pet()
        return Granted(float(granted), real=True, closes=not nowayout)

    def _must_be_trusted(self) -> None:
        if self.identity == SOFTDOG and not self._softdog:
            raise OSError(0, f"{self._path} is softdog, which a hung kernel stops, too: name it to use it")

    def _says(self, what: str) -> str:
        """Of sysfs; "" where that is not told. /dev/watchdog is watchdog0."""
        name = os.path.basename(os.path.realpath(self._path))
        name = f"{name}0" if name == "watchdog" else name
        with (
            contextlib.suppress(OSError),
            open(f"/sys/class/watchdog/{name}/{what}", encoding="ascii") as file,
        ):
            return file.read().strip()
        return ""


def named(name: str, softdog: bool = False) -> Watchdog:
    """ "" is none; `record:PATH` writes down; anything else is a device."""
    kind, _, path = name.partition(":")
    makers: dict[str, Callable[[], Watchdog]] = {"": Nothing, "record": lambda: Recorder(path)}
    return makers[kind]() if kind in makers else Device(name, softdog)
