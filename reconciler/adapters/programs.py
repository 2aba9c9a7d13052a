"""Spawn and Terminate → programs that outlive the daemon, found again, and seen to end at once."""

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reconciler.adapters import cgroups, launcher, logs, proc, records
from reconciler.adapters.ending import Ending, KillAll, end, kill_group_of, open_pidfd
from reconciler.adapters.facts.source import Base, Desk, Subject
from reconciler.adapters.launcher import Command
from reconciler.adapters.proc import Process
from reconciler.adapters.processes import Runner, described, exit_code, heard_out
from reconciler.adapters.records import Found, Records
from reconciler.asks import Program, ProgramSeen
from reconciler.errors import MayHeal
from reconciler.model import Outcome, Owner
from reconciler.operations import Spawn, Terminate
from reconciler.settings import Settings

_AT_ONCE = 100  # programs looked at before the loop gets its turn


@dataclass
class _Known:
    """A program as we hold it. `pidfd` is open while it runs; only a child tells its exit code."""

    pid: int
    start_time: int
    group: Path | None
    child: bool
    pidfd: int = -1
    code: int | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def running(self) -> bool:
        return self.pidfd >= 0

    def is_leader(self, process: Process) -> bool:
        return (process.pid, process.start_time) == (self.pid, self.start_time)


class Programs(Base):
    """All programs of this node's services, by owner; the fact source of `Program()`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.look_every)
        self.runner = Runner(settings)
        self._records = Records(settings)
        self._marks = records.marks(settings)
        self._table: dict[Owner, _Known] = {}
        self._finding = asyncio.Lock()
        self._found = False

    @property
    def has_cgroups(self) -> bool:
        """False: sessions and environments have to tell what belongs to a program; some may escape."""
        return self.runner.groups.root is not None

    # --- as a fact source ------------------------------------------------------------------

    async def start(self, desk: Desk) -> None:
        await super().start(desk)
        with contextlib.suppress(OSError):  # the first start tries again, and tells
            self.runner.starter.begin()
        with contextlib.suppress(MayHeal):  # the first look tries again, and tells
            await self.find()

    async def look(self, subjects: Sequence[Subject]) -> None:
        await self.find()
        owners = [subject.owner for subject in subjects if subject.owner]
        everyone: Sequence[Process] = ()
        if any(self._needs_scan(owner) for owner in owners):
            everyone = await self._everyone()
        for at in range(0, len(subjects), _AT_ONCE):
            portion = subjects[at : at + _AT_ONCE]
            self.desk.report({s: self.seen(s.owner, everyone) for s in portion if s.owner})
            await asyncio.sleep(0)

    def same(self, old: Any, new: Any) -> bool:
        """The number of a running program's children is nobody's concern."""
        if isinstance(old, ProgramSeen) and isinstance(new, ProgramSeen) and old.running and new.running:
            return (old.pid, old.start_time) == (new.pid, new.start_time)
        return super().same(old, new)

    async def close(self) -> None:
        """Look away. The programs go on."""
        for known in self._table.values():
            self._let_go(known)
        self._table.clear()
        self.runner.close()

    def seen(self, owner: Owner, everyone: Sequence[Process] = ()) -> ProgramSeen | None:
        """As of now. `everyone`: all processes, needed where control groups cannot tell leftovers."""
        known = self._table.get(owner)
        if known is None:
            return None
        if known.running and _has_ended(known.pidfd):
            self._ended(owner, known)
        if known.group:
            others = len(cgroups.pids(known.group)) - known.running
        else:
            others = sum(not known.is_leader(p) for p in self._members(owner, known, everyone))
        return ProgramSeen(
            pid=known.pid,
            start_time=known.start_time,
            running=known.running,
            adopted=not known.child,
            code=known.code,
            leftovers=max(0, others),
        )

    async def find(self) -> None:
        """Once: the programs that an earlier daemon started. May raise MayHeal."""
        async with self._finding:
            if self._found:
                return
            for found in await self.runner.outside.run("programs", self._records.find, 60.0):
                if found.owner not in self._table:
                    self._adopt(found)
            self._found = True

    # --- operations ------------------------------------------------------------------------

    async def spawn(self, operation: Spawn, owner: Owner, env: Mapping[str, str]) -> Outcome:
        """Start it, unless it runs. Returns when the program itself has taken over."""
        await self.find()
        seen = self.seen(owner, await self._everyone() if self._needs_scan(owner) else ())
        if seen and seen.running:
            return Outcome(True, output=f"runs already as pid {seen.pid}")
        if seen and seen.leftovers:
            return Outcome(
                False, error=f"{seen.leftovers} processes of an earlier start still run: end them"
            )
        command = Command(
            argv=operation.argv,
            env={**env, **self._marks, **records.owned(owner)},
            user=operation.user,
            group=operation.group,
            cwd=operation.cwd,
            umask=operation.umask,
            limits=operation.limits,
            shell=operation.shell,
        )
        who = await self.runner.account(command)
        output = Path(operation.output) if operation.output else self.runner.logs.of(owner)
        try:
            group = self.runner.groups.of(owner)
            group = group if group and cgroups.make(group) else None
            self._let_go(self._table.pop(owner, None))
            record = self._records.make_room(owner)
            asked = launcher.request(command, who, group, record, output, must=bool(operation.output))
            child = await self.runner.starter.start(asked)
        except MayHeal:
            self._found = False  # whether the starter made it before it went, its record tells
            raise
        process = proc.read(child.pid)  # there, even if it has ended: only we reap it
        start_time = process.start_time if process else 0
        known = self._watch(owner, _Known(child.pid, start_time, group, child=True), child.pidfd)
        heard = await heard_out(child, operation.timeout)
        if heard is None or heard.failed:
            why = (
                heard.failed
                if heard
                else f"did not start within {operation.timeout:g} s: its directory or file does not answer"
            )
            await self._end(owner, known, signal.SIGKILL, 0.0)
            return Outcome(False, error=why)
        if operation.settle and await self._ends_within(known, operation.settle):
            printed = logs.tail(output, heard.length)
            code = "" if known.code is None else f": {described(known.code, printed)}"
            why = f"ended within {operation.settle:g} s{code}"
            return Outcome(False, error=why, output=printed, code=known.code)
        return Outcome(True, output=heard.lost, values={"pid": str(child.pid)})

    async def terminate(self, operation: Terminate, owner: Owner) -> Outcome:
        """End exactly that program and all that belongs to it, verified; an error names who stays."""
        await self.find()
        known = self._table.get(owner)
        if known is None:
            known = _Known(operation.pid, operation.start_time, self._group(owner), child=False)
        elif (known.pid, known.start_time) != (operation.pid, operation.start_time):
            return Outcome(True, output=f"pid {operation.pid} is gone; pid {known.pid} was started later")
        number = signal.Signals[f"SIG{operation.signal.upper().removeprefix('SIG')}"]
        grace = min(operation.grace, max(0.0, operation.timeout - 10.0))
        ending = await self._end(owner, known, number, grace)
        if ending.survivors:
            names = ", ".join(f"{p} in state {p.state}" for p in ending.survivors)
            return Outcome(False, error=f"not even SIGKILL ends {names}")
        names = ", ".join(map(str, ending.found))
        return Outcome(
            True, output=f"ended {names}{' by SIGKILL' if ending.killed else ''}" if names else ""
        )

    async def rotate_logs(self) -> int:
        """Call it every minute or so; how many logs had grown too big."""
        return await self.runner.outside.run("logs", self.runner.logs.rotate, 60.0)

    # --- one program -----------------------------------------------------------------------

    def _adopt(self, found: Found) -> None:
        known = _Known(found.pid, found.start_time, found.group or self._group(found.owner), child=False)
        pidfd = open_pidfd(found.pid, found.start_time)
        if pidfd is None:
            self._table[found.owner] = known
        else:
            self._watch(found.owner, known, pidfd)
            if not found.recorded:
                self._records.write(found._replace(group=known.group))

    def _group(self, owner: Owner) -> Path | None:
        group = self.runner.groups.of(owner)
        return group if group and group.is_dir() else None

    def _watch(self, owner: Owner, known: _Known, pidfd: int) -> _Known:
        known.pidfd = pidfd
        self._table[owner] = known
        asyncio.get_running_loop().add_reader(pidfd, self._ended, owner, known)
        return known

    def _ended(self, owner: Owner, known: _Known) -> None:
        if known.child:
            with contextlib.suppress(ChildProcessError):  # somebody else reaped it: no exit code
                known.code = exit_code(known.pidfd)
        self._let_go(known)
        known.ended.set()
        self.desk.changed([Subject(Program(), owner)])

    def _let_go(self, known: _Known | None) -> None:
        if known and known.running:
            asyncio.get_running_loop().remove_reader(known.pidfd)
            os.close(known.pidfd)
            known.pidfd = -1

    async def _ends_within(self, known: _Known, limit: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await known.ended.wait()
        return known.ended.is_set()

    async def _end(self, owner: Owner, known: _Known, number: int, grace: float) -> Ending:
        """Its record goes last: until then, a crash of ours leaves something to find it by."""

        async def find() -> Sequence[Process]:
            if known.group:
                return self._members(owner, known, ())
            found = self._members(owner, known, await self._everyone())
            # One that forks and ends while we look may have been missed.
            return found or self._members(owner, known, await self._everyone())

        group = known.group
        kill_all: KillAll = (lambda _: cgroups.kill(group)) if group else kill_group_of(known.pid)
        ending = await end(find, number, grace, kill_all)
        if not ending.survivors and self._table.get(owner, known) is known:
            if known.running and _has_ended(known.pidfd):
                self._ended(owner, known)
            self._let_go(known)
            self._table.pop(owner, None)
            self._records.remove(owner)
            cgroups.remove(known.group)
            self.desk.changed([Subject(Program(), owner)])
        return ending

    # --- who belongs to it -----------------------------------------------------------------

    def _needs_scan(self, owner: Owner) -> bool:
        known = self._table.get(owner)
        return bool(known and not known.group and not known.running)

    async def _everyone(self) -> Sequence[Process]:
        return await self.runner.outside.run("/proc", lambda: list(proc.processes()), 10.0)

    def _members(self, owner: Owner, known: _Known, everyone: Iterable[Process]) -> list[Process]:
        """Live processes of the program, its leader included."""
        leader = proc.read(known.pid)
        found = [leader] if leader and leader.alive and known.is_leader(leader) else []
        if known.group:
            found += [p for p in cgroups.members(known.group) if not known.is_leader(p)]
            return found
        # A pid used again may lead another session of the same number.
        foreign = leader is not None and not known.is_leader(leader)
        wanted = {**self._marks, **records.owned(owner)}
        for process in everyone:
            ours = process.session == known.pid and not foreign and process.start_time >= known.start_time
            if not known.is_leader(process) and (ours or records.carries(process.pid, wanted)):
                found.append(process)
        return found


def _has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
