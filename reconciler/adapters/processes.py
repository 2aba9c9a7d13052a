"""A command → its exit code and output; at its time limit or when cancelled, all it started is ended."""

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from reconciler.adapters import cgroups, launcher, proc
from reconciler.adapters.capture import Capture
from reconciler.adapters.cgroups import Groups
from reconciler.adapters.ending import Ending, KillAll, end, finish, kill_group_of, open_pidfd, readable
from reconciler.adapters.launcher import Account, Command
from reconciler.adapters.logs import Logs
from reconciler.adapters.orphans import Orphans, remaining
from reconciler.adapters.outside import Outside
from reconciler.adapters.proc import Process
from reconciler.adapters.starter import Child, Starter
from reconciler.adapters.starter_main import ASIDE
from reconciler.model import Owner
from reconciler.settings import Settings

GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL when a command is ended."""
TRIM_EVERY = 0.1
"""Seconds. A command that prints without end fills memory or disk for that long only."""


class Ended(NamedTuple):
    """code  exit status, negative: signal; None when it did not run, or not to its end: see `error`."""

    code: int | None
    output: str
    error: str = ""


class Runner:
    """Runs commands for all who need one. The one place where processes are started."""

    def __init__(self, settings: Settings) -> None:
        self.groups = Groups.find(settings)
        self.logs = Logs(settings)
        self.outside = Outside()
        self.starter = Starter()
        self.orphans = Orphans(settings.run / "operations")
        self.logs.make_directory()
        _close_on_exec()
        _many_descriptors()

    async def run(self, command: Command, owner: Owner, limit: float, lasting: bool = True) -> Ended:
        """Run it to its end, `limit` seconds at most. Raises MayHeal when it cannot be started.

        `lasting`: it may leave something running on purpose (a start script): that keeps its output
        as the owner's log, and the next daemon waits for the command if this one dies meanwhile.
        """
        who = await self.account(command)
        group = None if command.simple else self.groups.operation()
        try:
            keeps = lasting and not command.simple
            with contextlib.closing(Capture(self.logs.directory if keeps else None)) as capture:
                child = await self.starter.start(launcher.request(command, who, group), capture.fd)
                capture.handed_over()
                note = self.orphans.note(owner, child.pid, limit, group) if lasting else None
                try:
                    return await self._see_through(child, capture, group, limit)
                finally:
                    if note:
                        note.unlink(missing_ok=True)
                    if keeps and capture.still_open():
                        self.logs.adopt(owner, capture.keep_as)
        finally:
            self._leave(group, owner)

    def close(self) -> None:
        """Nothing is kept open; groups that nobody is in are not left lying about."""
        self.starter.close()
        cgroups.remove(self.groups.root)

    async def see_orphans_out(self) -> None:
        """All that an earlier daemon left: until each has ended, by itself or at its limit."""
        ends = (self.wait_for_orphans(owner) for owner in self.orphans.owners())
        await asyncio.gather(*ends, return_exceptions=True)  # who still lives is under way

    async def wait_for_orphans(self, owner: Owner) -> None:
        """Until what an earlier daemon started for the owner has ended, by itself or at its limit."""
        for orphan in self.orphans.of(owner):
            pidfd = open_pidfd(orphan.pid, orphan.start_time)
            if pidfd is not None:
                try:
                    if not await readable(pidfd, remaining(orphan)):
                        await self.stop(Child(orphan.pid, pidfd, -1), orphan.group)
                finally:
                    os.close(pidfd)
            self._leave(orphan.group, owner)
            self.orphans.settled(owner, orphan)

    def _leave(self, group: Path | None, owner: Owner) -> None:
        """What a command left running on purpose is no operation in flight any more."""
        left = self.groups.left(owner)
        if group and left:
            if cgroups.members(group):
                cgroups.move(group, left)
            else:
                cgroups.remove(left)  # this may have been the command that stopped it
            cgroups.remove(group)

    async def account(self, command: Command) -> Account | None:
        """Ids to run it under; None for our own. A name service that hangs costs 10 s, no more."""
        if not command.user and not command.group:
            return None
        names = f"user {command.user} {command.group}"
        return await self.outside.run(names, lambda: launcher.account(command.user, command.group), 10.0)

    async def _see_through(self, child: Child, capture: Capture, group: Path | None, limit: float) -> Ended:
        ending: list[Ending] = []

        async def stop() -> None:
            ending.append(await self.stop(child, group))

        try:
            if not await _until_gone(child.pidfd, capture, limit):
                await finish(stop())
        except asyncio.CancelledError:
            await finish(stop())
            raise
        finally:
            failed = hear(child).failed
            code = reap(child)
        output = capture.text()
        if ending:
            return Ended(None, output, f"did not end within {limit:g} s: {_how(ending[0])}")
        if failed:
            return Ended(None, output, failed)
        return Ended(code, output)

    async def stop(self, child: Child, group: Path | None) -> Ending:
        """End it and all it started: its control group, or its session and its descendants."""

        async def find() -> Sequence[Process]:
            if group:
                leader = proc.read(child.pid)
                own = [leader] if leader and leader.alive else []
                return list({p.pid: p for p in (*cgroups.members(group), *own)}.values())
            return await self.outside.run(f"processes of {child.pid}", lambda: _family(child.pid), 10.0)

        kill_all: KillAll = (lambda _: cgroups.kill(group)) if group else kill_group_of(child.pid)
        return await end(find, grace=GRACE, kill_all=kill_all)


class Heard(NamedTuple):
    """What a child said: why it is not its program; how long its log was before, why that is lost."""

    failed: str = ""
    length: int = 0
    lost: str = ""


def hear(child: Child) -> Heard:
    """What it has said so far. Closes the ear."""
    if child.hears < 0:
        return Heard()
    try:
        return _understood(os.read(child.hears, 1 << 16))
    except BlockingIOError:
        return Heard()
    finally:
        os.close(child.hears)


async def heard_out(child: Child, limit: float) -> Heard | None:
    """All that it says until it becomes its program; None when it does not within `limit` seconds."""
    loop, said = asyncio.get_running_loop(), b""
    until = loop.time() + limit
    try:
        while await readable(child.hears, until - loop.time()):
            piece = os.read(child.hears, 1 << 16)
            if not piece:
                return _understood(said)
            said += piece
        return None
    finally:
        os.close(child.hears)


def _understood(said: bytes) -> Heard:
    length, lost = 0, ""
    if said.startswith(ASIDE):
        aside, _, said = said[len(ASIDE) :].partition(b"\n")
        number, _, lost = aside.decode(errors="replace").partition(" ")
        length = int(number)
    return Heard(said.decode(errors="replace").strip(), length, lost)


def reap(child: Child) -> int | None:
    """Its exit code, negative for a signal, and nothing of it is left; None while it still runs."""
    code = exit_code(child.pidfd)
    if code is None:
        # Not even SIGKILL ends it now: it is reaped when the kernel lets it go.
        loop = asyncio.get_running_loop()
        loop.add_reader(child.pidfd, _reap_late, loop, child.pidfd)
    else:
        os.close(child.pidfd)
    return code


def exit_code(pidfd: int) -> int | None:
    """Reap a child that has ended; None when it has not."""
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    if result is None:
        return None
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status


def described(code: int, output: str = "") -> str:
    """An exit code in words, with the last line that was printed (indented ones only continue one)."""
    if code < 0:
        text = f"ended by {signal.Signals(-code).name}"
    else:
        meaning = {126: " (a command could not be executed)", 127: " (a command was not found)"}
        text = f"exit code {code}{meaning.get(code, '')}"
    lines = [line for line in output.splitlines() if line.strip()]
    last = next((line for line in reversed(lines) if not line[0].isspace()), lines[-1] if lines else "")
    return f"{text}: {last.strip()}" if last else text


async def _until_gone(pidfd: int, capture: Capture, limit: float) -> bool:
    loop = asyncio.get_running_loop()
    until = loop.time() + limit
    while (left := until - loop.time()) > 0:
        if await readable(pidfd, min(left, TRIM_EVERY)):
            return True
        capture.trim()
    return False


def _family(pid: int) -> list[Process]:
    """The session of that leader, and all descendants that are still linked to it."""
    everyone = {process.pid: process for process in proc.processes()}
    found = {p.pid for p in everyone.values() if p.session == pid or p.pid == pid}
    while more := {p.pid for p in everyone.values() if p.parent in found or p.parent == pid} - found:
        found |= more
    return [everyone[number] for number in sorted(found)]


def _how(ending: Ending) -> str:
    if ending.survivors:
        names = ", ".join(f"{process} in state {process.state}" for process in ending.survivors)
        return f"and not even SIGKILL ends {names}"
    return "ended by SIGKILL" if ending.killed else "ended by SIGTERM"


def _reap_late(loop: asyncio.AbstractEventLoop, pidfd: int) -> None:
    loop.remove_reader(pidfd)
    with contextlib.suppress(ChildProcessError):
        exit_code(pidfd)
    os.close(pidfd)


def _close_on_exec() -> None:
    """What we inherited ourselves (a starter's pipe) must not live on in our programs."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):
                os.set_inheritable(int(name), False)


def _many_descriptors() -> None:
    """Each program that we watch takes one. Programs themselves start with the limit as we found it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
