"""Kill and Stop → done in threads that were there before they were needed: what hangs holds up no other."""

import os
import threading
from queue import SimpleQueue

from reconciler.guard import addresses, commands, kernel, mappings, mounts, programs
from reconciler.guard.lines import Address, Command, Damaged, Line, Loop, Mount, Program, Volumes
from reconciler.guard.words import Kill, Killed, Stop, Stopped

HANDS = 8
STACK = 256 << 10
"""Bytes of memory locked for each."""


class Hands:
    """`wake` becomes readable when there are results."""

    def __init__(self) -> None:
        self.wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._work: SimpleQueue[Kill | Stop] = SimpleQueue()
        self._results: SimpleQueue[Killed | Stopped] = SimpleQueue()
        threading.stack_size(STACK)
        for number in range(HANDS):
            threading.Thread(target=self._live, name=f"hand{number}", daemon=True).start()

    def do(self, work: Kill | Stop) -> None:
        self._work.put(work)

    def results(self) -> list[Killed | Stopped]:
        """Since the last call."""
        try:
            os.read(self.wake, 4096)
        except BlockingIOError:
            return []
        return [self._results.get() for _ in range(self._results.qsize())]

    def _live(self) -> None:
        kernel.real_time()
        while True:
            work = self._work.get()
            try:
                result = perform(work)
            except Exception as fault:  # it is tried again; the others must go on
                said = f"{type(fault).__name__}: {fault}"
                result = Stopped(work.number, said) if isinstance(work, Stop) else Killed(said)
            self._results.put(result)
            os.write(self._waker, b".")


def perform(work: Kill | Stop) -> Killed | Stopped:
    if isinstance(work, Kill):
        return Killed(programs.end_agent(work.session, work.by))
    return Stopped(work.number, undo(work.line, work.by, work.late))


def undo(line: Line, by: float, late: bool) -> str:
    """ "" when it is seen gone; else why it is not."""
    match line:
        case Program():
            return programs.stop(line, by)
        case Address():
            return addresses.stop(line, by)
        case Mount():
            return mounts.stop(line, by, late)
        case Loop():
            return mappings.stop_loop(line, by)
        case Volumes():
            return mappings.stop_volumes(line, by)
        case Command():
            return commands.stop(line, by)
        case Damaged():
            return "nobody can tell what it was"
