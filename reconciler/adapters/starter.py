"""Requests → children of ours, born in their control groups by a small process beside us."""

import array
import asyncio
import contextlib
import marshal
import os
import signal
import socket
import sys
from collections import deque
from pathlib import Path
from typing import NamedTuple

from reconciler.adapters.starter_main import Request
from reconciler.errors import MayHeal

_MAIN = Path(__file__).with_name("starter_main.py")
_DEFAULT_SIGNALS = tuple(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
PATIENCE = 5.0
"""Seconds for an answer, which takes less than a thousandth: a starter that gives none is replaced."""
_HEAD = 12  # bytes before the words of an answer


class Child(NamedTuple):
    """`hears`: where it says why it did not become its program; -1 for one whom nobody listens to."""

    pid: int
    pidfd: int
    hears: int


class Starter:
    """Begun with the first request, and anew when it is gone. It ends when we do, however that is.

    Used from one event loop. A child is known, or was not made: who is cancelled while one is being
    made has it killed first.
    """

    def __init__(self) -> None:
        self._wire: socket.socket | None = None
        self._pid = 0
        self._asked: deque[asyncio.Future[int]] = deque()
        self._heard = b""
        self._overdue: asyncio.TimerHandle | None = None

    async def start(self, request: Request, output: int = -1, errors: int = -1) -> Child:
        """Its outputs go to these descriptors, both to the first where there is one, if not to a log.

        Raises MayHeal.
        """
        name = request.argv[0]
        hears, says = os.pipe()
        try:
            os.set_blocking(hears, False)
            output = says if output < 0 else output  # one that is not used
            answer = self._ask(request, (output, says, output if errors < 0 else errors))
            pid, cancelled = await _whatever_comes(answer)
        except (OSError, EOFError) as fault:
            os.close(hears)
            self._lost()
            raise MayHeal(f"{name} cannot be started: {str(fault) or 'the starter is gone'}") from None
        except MayHeal:
            os.close(hears)
            raise
        finally:
            os.close(says)
        if cancelled:
            _unmake(pid, hears)
            raise cancelled
        try:
            return Child(pid, os.pidfd_open(pid), hears)
        except OSError as error:  # no descriptor left: better not run than run unseen
            _unmake(pid, hears)
            raise MayHeal(f"{name} cannot be watched: {error.strerror}") from None

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
                    setsigdef=_DEFAULT_SIGNALS,
                )
            except OSError:
                ours.close()
                raise
        ours.setblocking(False)
        self._wire, self._heard = ours, b""
        asyncio.get_running_loop().add_reader(ours, self._hear)

    def close(self) -> None:
        """End it. What it started goes on."""
        self._lost()

    # --- inside ----------------------------------------------------------------------------

    def _ask(self, request: Request, descriptors: tuple[int, int, int]) -> "asyncio.Future[int]":
        """Pid of the child, in time. Raises OSError when the starter is gone."""
        self.begin()
        assert self._wire is not None
        data = marshal.dumps(tuple(request))
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        loop = asyncio.get_running_loop()
        self._wire.settimeout(
            PATIENCE
        )  # a request is cut in two only where it is larger than the socket takes
        try:
            self._wire.sendmsg([len(data).to_bytes(4, "little")], passed)
            self._wire.sendall(data)
        finally:
            self._wire.setblocking(False)
        answer: asyncio.Future[int] = loop.create_future()
        self._asked.append(answer)
        if self._overdue is None:
            self._overdue = loop.call_later(PATIENCE, self._lost, "timed out")
        return answer

    def _hear(self) -> None:
        """Answers come in the order of the requests."""
        assert self._wire is not None
        try:
            data = self._wire.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as fault:
            self._lost(str(fault))
            return
        if not data:
            self._lost()
            return
        self._heard += data
        while len(self._heard) >= _HEAD:
            pid, length = (
                int.from_bytes(self._heard[:8], "little"),
                int.from_bytes(self._heard[8:12], "little"),
            )
            if len(self._heard) < _HEAD + length:
                return
            why = self._heard[_HEAD : _HEAD + length].decode(errors="replace")
            self._heard = self._heard[_HEAD + length :]
            self._answered(pid, why)

    def _answered(self, pid: int, why: str) -> None:
        answer = self._asked.popleft()
        if pid:
            answer.set_result(pid)
        else:
            answer.set_exception(MayHeal(why))
        if self._overdue is not None:
            self._overdue.cancel()
        left = bool(self._asked)
        self._overdue = (
            asyncio.get_running_loop().call_later(PATIENCE, self._lost, "timed out") if left else None
        )

    def _lost(self, why: str = "") -> None:
        """It is gone, or is to be."""
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
        if self._wire is not None:
            with contextlib.suppress(RuntimeError):  # there is no loop any more
                asyncio.get_running_loop().remove_reader(self._wire)
            self._wire.close()
            self._wire = None
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
        asked, self._asked = self._asked, deque()
        for answer in asked:
            answer.set_exception(EOFError(why))


def _unmake(pid: int, hears: int) -> None:
    """It did hardly anything yet, and ends at once."""
    os.close(hears)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


async def _whatever_comes(answer: "asyncio.Future[int]") -> tuple[int, asyncio.CancelledError | None]:
    """The answer, also to who is cancelled meanwhile. Raises what it raises, or that."""
    cancelled: asyncio.CancelledError | None = None
    while not answer.done():
        try:
            await asyncio.wait({answer})
        except asyncio.CancelledError as error:
            cancelled = error
    try:
        return answer.result(), cancelled
    except Exception:
        if cancelled:
            raise cancelled from None
        raise
