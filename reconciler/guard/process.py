"""The guard as a process: its doors, and the loop that takes events to the core and carries out actions."""

import contextlib
import fcntl
import gc
import math
import os
import selectors
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from reconciler.guard import kernel, watchdog
from reconciler.guard.core import Core
from reconciler.guard.door import Door
from reconciler.guard.hands import Hands
from reconciler.guard.kernel import boottime
from reconciler.guard.ledger import Ledger
from reconciler.guard.words import (
    Action,
    Arm,
    Armed,
    Disarm,
    End,
    Event,
    Keep,
    Kill,
    Pet,
    Reply,
    Say,
    Stop,
    Sysrq,
    Terminate,
    Tick,
    Unwritten,
    Write,
)

LONGEST_SLEEP = 1.0
"""Seconds. Timers stand still while the machine is suspended, deadlines do not."""
LOG_MOST = 256 << 10


class Wanted(NamedTuple):
    """What a guard is started with.

    directory  of its own, on a filesystem that cannot hang (/run).
    watchdog   a device, `record:PATH`, or "" for none. softdog: it may be the kernel's own timer.
    sysrq      where "b" is written to reset at once; "" : never.
    group      control group to live in; "" where it was started.
    """

    directory: str
    watchdog: str = ""
    softdog: bool = False
    sysrq: str = ""
    group: str = ""


class Taken(Exception):
    """There is a guard for this directory."""


class Guard:
    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        os.makedirs(wanted.directory, mode=0o700, exist_ok=True)
        self._lock = _locked(os.path.join(wanted.directory, "lock"))
        self._log = os.open(
            os.path.join(wanted.directory, "log"),
            os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC,
            0o600,
        )
        _enter(wanted.group)
        self._watchdog = watchdog.named(wanted.watchdog, wanted.softdog)
        self._ledger = Ledger(wanted.directory, kernel.boot_id())
        kernel.spare_me()
        locked, real_time = kernel.lock_memory(), kernel.real_time()
        self._facts: Mapping[str, Any] = {
            "pid": os.getpid(),
            "locked": locked,
            "real_time": real_time,
            "kappa": 1 if locked and real_time else 2,
            "device": self._watchdog.identity,
            "sysrq": bool(wanted.sysrq),
        }
        self._selector = selectors.DefaultSelector()
        self._hands = Hands()
        self._selector.register(self._hands.wake, selectors.EVENT_READ, self._hands.results)
        self._selector.register(_signals(), selectors.EVENT_READ, self._signalled)
        self._core = Core(self._ledger.load(), boottime(), bool(wanted.sysrq))
        self._door = Door(os.path.join(wanted.directory, "socket"), self._selector)
        self._ended = False

    def run(self) -> None:
        """Until it is allowed to end."""
        gc.freeze()
        self._say(f"guard {os.getpid()} begins, kappa {self._facts['kappa']}", False)
        while not self._ended:
            left = self._core.wake(boottime()) - boottime()
            ready = self._selector.select(None if math.isinf(left) else max(0.0, min(left, LONGEST_SLEEP)))
            for key, _ in ready:
                heard: Callable[[], list[Event]] = key.data
                for event in heard():
                    self._take(event)
            self._take(Tick())

    def _take(self, event: Event) -> None:
        actions = self._core.handle(event, boottime())
        for at, action in enumerate(actions):
            failed = self._do(action)
            if failed is not None:  # what was to follow it does not, but for what is of another matter
                self._take(failed)
                rest = actions[at + 1 :]
                for other in rest:
                    if not isinstance(other, Reply | Keep):
                        self._do(other)
                return

    def _do(self, action: Action) -> Event | None:
        """Carry it out. An event when it could not be, and somebody must be told."""
        match action:
            case Pet():
                try:
                    self._watchdog.pet()
                except OSError as error:  # it will reset the machine, and what is up is to be stopped first
                    self._say(f"the watchdog cannot be petted: {error.strerror}", False)
            case Arm():
                self._take(self._armed(action))
            case Disarm():
                self._watchdog.disarm()
            case Write(record, request):
                try:
                    self._ledger.write(record)
                except OSError as error:
                    self._say(f"the ledger cannot be written: {error.strerror}", False)
                    return Unwritten(request, record, error.strerror or "") if request else None
            case Keep(deadline):
                self._ledger.keep(deadline)
            case Reply():
                for event in self._door.answer(action._replace(words={**self._facts, **action.words})):
                    self._take(event)
            case Kill() | Stop():
                self._hands.do(action)
            case Sysrq():
                with contextlib.suppress(OSError), open(self._wanted.sysrq, "w", encoding="ascii") as file:
                    file.write("b")
            case Say(text, loud):
                self._say(text, loud)
            case End():
                self._ended = True
        return None

    def _armed(self, action: Arm) -> Armed:
        try:
            granted = self._watchdog.arm(action.seconds)
        except OSError as error:
            return Armed(action.request, why=error.strerror or str(error))
        return Armed(action.request, *granted)

    def _signalled(self) -> list[Event]:
        return [Terminate() for number in os.read(_SIGNALS[0], 64) if number == signal.SIGTERM]

    def _say(self, text: str, loud: bool) -> None:
        """Into a file that cannot hang; the last words into the kernel's log as well."""
        line = f"{time.strftime('%FT%TZ', time.gmtime())} {text}\n".encode()
        with contextlib.suppress(OSError):
            if os.fstat(self._log).st_size > LOG_MOST:
                os.ftruncate(self._log, 0)
            os.write(self._log, line)
        if loud and self._wanted.watchdog.startswith("/"):
            with contextlib.suppress(OSError), open("/dev/kmsg", "wb", buffering=0) as file:
                file.write(f"<2>standfast guard: {text}".encode()[:900])


_SIGNALS: list[int] = []


def _signals() -> int:
    """A descriptor that tells of SIGTERM; what a terminal or a starter sends is of no concern."""
    _SIGNALS[:] = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(_SIGNALS[1])
    return _SIGNALS[0]


def _locked(path: str) -> int:
    """One guard for each directory; the kernel lets go of the lock however we end."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise Taken(f"another guard runs in {os.path.dirname(path)}") from None
    return fd


def _enter(group: str) -> None:
    """Out of the control group of whoever started us, where that can be."""
    if group:
        with contextlib.suppress(OSError):
            os.makedirs(group, exist_ok=True)
            with open(f"{group}/cgroup.procs", "w", encoding="ascii") as file:
                file.write("0")
