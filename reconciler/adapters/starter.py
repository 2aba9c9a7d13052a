"""Requests → children of ours, born in their control groups by a small process beside us."""

import array
import contextlib
import marshal
import os
import signal
import socket
import sys
from pathlib import Path
from typing import NamedTuple

from reconciler.adapters.starter_main import Request
from reconciler.errors import MayHeal

_MAIN = Path(__file__).with_name("starter_main.py")
PATIENCE = 5.0
"""Seconds for an answer, which takes half a thousandth: a starter that gives none is replaced."""


class Child(NamedTuple):
    """`hears`: where we hear why it did not become its program; -1 for one started without the starter."""

    pid: int
    pidfd: int
    hears: int


class Starter:
    """Begun with the first request, and anew when it is gone. It ends when we do, however that is.

    An answer is waited for without giving way to the loop: a child is either known or was not made,
    whatever is cancelled meanwhile.
    """

    def __init__(self) -> None:
        self._wire: socket.socket | None = None
        self._pid = 0

    def start(self, request: Request, output: int) -> Child:
        """Both outputs go to the descriptor `output`. Raises MayHeal."""
        hears, says = os.pipe()
        try:
            os.set_blocking(hears, False)
            pid = self._ask(request, output, says)
        except (OSError, EOFError) as fault:
            os.close(hears)
            self.close()
            raise MayHeal(
                f"{request.argv[0]} cannot be started: {fault or 'the starter is gone'}"
            ) from None
        except MayHeal:
            os.close(hears)
            raise
        finally:
            os.close(says)
        return watched(request.argv[0], pid, hears)

    def begin(self) -> None:
        """Have it at hand: the first request then need not wait for an interpreter. Raises OSError."""
        if self._wire is not None:
            return
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.set_inheritable(True)
            words = ("-I", "-S", "-B", str(_MAIN), str(theirs.fileno()), str(os.getpid()))
            try:
                self._pid = os.posix_spawn(
                    sys.executable,
                    [sys.executable, *words],
                    {"LANG": "C.UTF-8"},
                    setsid=True,
                    setsigmask=(),
                    setsigdef=DEFAULT_SIGNALS,
                )
            except OSError:
                ours.close()
                raise
        ours.settimeout(PATIENCE)
        self._wire = ours

    def close(self) -> None:
        """End it. What it started goes on."""
        if self._wire is None:
            return
        self._wire.close()
        self._wire = None
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    def _ask(self, request: Request, output: int, says: int) -> int:
        """Pid of the child. Raises OSError or EOFError when the starter is gone, MayHeal with its no."""
        self.begin()
        assert self._wire is not None
        data = marshal.dumps(tuple(request))
        head = len(data).to_bytes(4, "little")
        descriptors = array.array("i", (output, says))
        self._wire.sendmsg([head], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
        self._wire.sendall(data)
        answer = self._read(12)
        pid, length = int.from_bytes(answer[:8], "little"), int.from_bytes(answer[8:], "little")
        why = self._read(length).decode(errors="replace")
        if not pid:
            raise MayHeal(why)
        return pid

    def _read(self, length: int) -> bytes:
        assert self._wire is not None
        data = b""
        while len(data) < length:
            piece = self._wire.recv(length - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data


def watched(name: str, pid: int, hears: int = -1) -> Child:
    """A child of ours, with a pidfd; raises MayHeal."""
    try:
        return Child(pid, os.pidfd_open(pid), hears)
    except OSError as error:  # no descriptor left: better not run than run unseen
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        if hears >= 0:
            os.close(hears)
        raise MayHeal(f"{name} cannot be watched: {error.strerror}") from None


DEFAULT_SIGNALS = tuple(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
