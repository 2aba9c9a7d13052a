"""Spawn, Terminate and command lines → processes of one made-up host: none of them takes any real time.

A program that stays is a process until somebody ends it, or until its command says that it has ended. The
shell knows `;`, `&&`, `exit`, `sleep`, `echo`, `exec`, `kill -9 $$` and the host's commands.
"""

import asyncio
import shlex
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from reconciler import operations as op
from reconciler.adapters.processes import described
from reconciler.asks import ProgramSeen
from reconciler.model import Outcome, Owner
from reconciler.testing.commands import Said

Run = Callable[[Sequence[str]], "Said | None"]
"""A command of the host; None when there is none of that name."""
KILLED = -9
FOR_EVER = 1e9


@dataclass(eq=False)
class SimProcess:
    """`stands`: a directory that it keeps busy. `deaf`: it does not end for SIGTERM. `lasts`: seconds."""

    pid: int
    name: str
    start_time: int
    owner: Owner | None = None
    stands: str = ""
    deaf: bool = False
    code: int | None = None
    children: int = 0

    def __str__(self) -> str:
        return f"{self.pid} ({self.name})"


@dataclass
class SimPrograms:
    """`ended` is told of each owner whose program ended."""

    run: Run
    ended: Callable[[Owner], None] = lambda owner: None
    processes: list[SimProcess] = field(default_factory=list)
    table: dict[Owner, SimProcess] = field(default_factory=dict)
    _pids: int = 100

    def off(self) -> None:
        self.processes.clear()
        self.table.clear()

    def begin(
        self, name: str, owner: Owner | None = None, stands: str = "", deaf: bool = False
    ) -> SimProcess:
        """Also a stranger's."""
        self._pids += 1
        process = SimProcess(self._pids, name, self._pids * 10, owner, stands, deaf)
        self.processes.append(process)
        return process

    def kill(self, process: SimProcess, code: int = KILLED) -> None:
        """It is gone, whoever did it."""
        if process not in self.processes:
            return
        self.processes.remove(process)
        process.code = code
        if process.owner and self.table.get(process.owner) is process:
            self.ended(process.owner)

    def standing(self, target: str) -> list[SimProcess]:
        inside = (target, f"{target}/")
        return [p for p in self.processes if p.stands == target or p.stands.startswith(inside[1])]

    def of(self, owner: Owner) -> list[SimProcess]:
        return [process for process in self.processes if process.owner == owner]

    def seen(self, owner: Owner) -> ProgramSeen | None:
        leader = self.table.get(owner)
        if leader is None:
            return None
        running = leader in self.processes
        others = len([p for p in self.of(owner) if p is not leader]) + leader.children * running
        code = None if running else leader.code
        return ProgramSeen(leader.pid, leader.start_time, running, code=code, leftovers=others)

    # --- operations ------------------------------------------------------------------------

    async def spawn(self, operation: op.Spawn, owner: Owner) -> Outcome:
        seen = self.seen(owner)
        if seen and seen.running:
            return Outcome(True, output=f"runs already as pid {seen.pid}")
        if seen and seen.leftovers:
            error = f"{operation}: {seen.leftovers} processes of an earlier start still run: end them"
            return Outcome(False, error=error)
        words = _words(operation.argv, operation.shell)
        if why := self._not_found(words[0], operation.shell):
            return Outcome(False, error=f"{operation}: {why}")
        process = self.begin(words[0][0].rpartition("/")[2], owner)
        self.table[owner] = process
        lasts, said = self._life(words)
        if operation.settle and lasts <= operation.settle:
            await asyncio.sleep(lasts)
            self.kill(process, said[0])
            text = f"ended within {operation.settle:g} s: {described(*said)}"
            return Outcome(False, error=f"{operation}: {text}", output=said[1], code=said[0])
        if operation.settle:
            await asyncio.sleep(operation.settle)
        if lasts < FOR_EVER:
            asyncio.get_running_loop().call_later(lasts - operation.settle, self.kill, process, said[0])
        return Outcome(True, values={"pid": str(process.pid)})

    async def terminate(self, operation: op.Terminate, owner: Owner) -> Outcome:
        leader = self.table.get(owner)
        if leader is None:
            return Outcome(True)
        if (leader.pid, leader.start_time) != (operation.pid, operation.start_time):
            text = f"pid {operation.pid} is gone; pid {leader.pid} was started later"
            return Outcome(True, output=text)
        mine = self.of(owner)
        by_force = any(process.deaf for process in mine)
        if by_force:
            await asyncio.sleep(operation.grace)
        names = ", ".join(map(str, mine))
        self.end(owner)
        return Outcome(True, output=f"ended {names}{' by SIGKILL' if by_force else ''}" if names else "")

    def end(self, owner: Owner) -> None:
        """All that is the owner's, and what is known of it."""
        for process in self.of(owner):
            self.kill(process)
        self.table.pop(owner, None)
        self.ended(owner)

    async def execute(self, argv: Sequence[str], shell: bool, limit: float) -> Outcome:
        """Code None: it did not run, or not to its end."""
        words = _words(argv, shell)
        if why := self._not_found(words[0], shell):
            return Outcome(False, error=why)
        lasts, (code, output) = self._life(words)
        if lasts >= limit:
            await asyncio.sleep(limit)
            return Outcome(False, error=f"did not end within {limit:g} s: ended by SIGTERM", output=output)
        await asyncio.sleep(lasts)
        return Outcome(code == 0, output=output, code=code)

    def _not_found(self, words: Sequence[str], shell: bool) -> str:
        if shell or words[0] in _OWN or self.run((words[0], "--version")) is not None:
            return ""
        return f"{words[0]}: not found"

    def _life(self, lines: Sequence[Sequence[str]]) -> tuple[float, Said]:
        """How long it lasts, and how it ends. What it does is done at once."""
        lasts, printed, code = 0.0, "", 0
        for words in lines:
            if words[0] == "&&":
                if code:
                    break
                continue
            words = words[1:] if words[0] == "exec" else words
            if words[0] == "sleep":
                lasts += float(words[1])
            elif words[0] == "exit":
                return lasts, (int(words[1]), printed)
            elif words[:2] == ("kill", "-9"):
                return lasts, (KILLED, printed)
            else:
                said = self.run(words)
                code, more = (127, f"sh: {words[0]}: not found\n") if said is None else said
                lasts = FOR_EVER if code is STAYS else lasts
                printed += more
        return lasts, (code, printed)


class _Stays(int):
    """The exit code of what does not exit."""


STAYS = _Stays(0)
"""What the command of a program that stays returns as its code: `lambda kernel, argv: (STAYS, "")`."""
_OWN = ("sleep", "exit", "exec", "kill")


def _words(argv: Sequence[str], shell: bool) -> list[tuple[str, ...]]:
    if not shell:
        return [tuple(argv)]
    parts = (tuple(shlex.split(part)) for part in argv[0].replace("&&", "; && ;").split(";"))
    return [words for words in parts if words] or [("true",)]


def names(processes: Collection[SimProcess]) -> list[str]:
    return list(map(str, processes))
