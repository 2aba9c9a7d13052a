"""Operations → effects on this machine: the one door to the host."""

import asyncio
import os
import stat
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from reconciler import operations as op
from reconciler.adapters import arp, files, loopdev, mounting, netlink, records
from reconciler.adapters.launcher import Command
from reconciler.adapters.processes import described
from reconciler.adapters.programs import Programs
from reconciler.adapters.unmounting import unmount
from reconciler.asks import Check, CheckResult
from reconciler.errors import MayHeal, NeedsPerson
from reconciler.model import Outcome, Owner
from reconciler.settings import Settings

T = TypeVar("T")
Handler = Callable[[Any, Owner], Awaitable[Outcome]]
DONE = Outcome(True)

FREE_WITHIN = 5.0  # seconds
NETWORK_AT_ONCE = 2
"""The kernel makes changes of the network one after another: more threads would only spin for its lock."""


class LinuxHost:
    """Implements contracts.Host.

    environment  what a service's commands find in their environment, beside PATH, LANG and
                 STANDFAST_SERVICE, STANDFAST_RID, STANDFAST_NODE, STANDFAST_RUN.
    """

    def __init__(
        self, settings: Settings, programs: Programs, environment: Callable[[Owner], Mapping[str, str]]
    ) -> None:
        self._programs, self._environment = programs, environment
        self._runner = programs.runner
        self._announcer, self._network = arp.Announcer(), asyncio.Semaphore(NETWORK_AT_ONCE)
        self._node = records.node(settings)
        self._late: dict[str, dict[str, str]] = {}  # by service and rid: what hung when it was given up
        self._handlers: dict[type[op.Operation], Handler] = {
            op.Exec: self._exec,
            op.Spawn: self._spawn,
            op.Terminate: programs.terminate,
            op.AddAddress: self._changes(lambda o: netlink.add_address(o.address, o.dev, o.label)),
            op.DeleteAddress: self._changes(lambda o: netlink.delete_address(o.address, o.dev)),
            op.SetLinkUp: self._changes(lambda o: netlink.set_link_up(o.dev)),
            op.ProbeAddress: self._probe,
            op.Announce: self._announce,
            op.AddRoute: self._changes(partial(_route, netlink.replace_route)),
            op.DeleteRoute: self._changes(partial(_route, netlink.delete_route)),
            op.Mount: self._mount,
            op.Unmount: self._unmount,
            op.AttachLoop: self._attach,
            op.DetachLoop: self._calls(lambda o: loopdev.detach(o.device, o.file)),
            op.MakeDirectory: self._calls(files.make_directory),
            op.RemoveDirectory: self._calls(files.remove_directory),
            op.WriteFile: self._calls(files.write),
            op.RemoveFile: self._calls(lambda o: files.remove(o.path)),
            op.CreateImage: self._calls(files.create_image),
        }

    def close(self) -> None:
        """Nothing is said or done any more. Programs go on."""
        self._announcer.close()

    async def perform(self, operation: op.Operation, owner: Owner) -> Outcome:
        """Do it. Raises nothing but CancelledError; an error names the command and what was wrong.

        Waits first until what a daemon before us had started for the owner has ended.
        """
        loop = asyncio.get_running_loop()
        begin = loop.time()
        try:
            await self._runner.wait_for_orphans(owner)
            handler = self._handlers.get(type(operation))
            if handler is None:
                raise NeedsPerson("not an operation on the host")
            outcome = await handler(operation, owner)
        except (MayHeal, NeedsPerson) as error:
            outcome = Outcome(False, error=f"{operation}: {error}")
        except OSError as error:
            outcome = Outcome(False, error=f"{operation}: {_told(error)}")
        except Exception as error:  # a bug costs this operation only, and is shown
            outcome = Outcome(False, error=f"{operation}: {error!r}", output=traceback.format_exc())
        finally:
            if self._runner.outside.hangs(str(operation)):
                self._late.setdefault(owner.service, {})[owner.rid] = str(operation)
        return replace(outcome, seconds=loop.time() - begin)

    def under_way(self, service: str) -> frozenset[str]:
        """Resources of which a call that was given up has not come back: a mount may still come about."""
        late = self._late.get(service)
        if not late:
            return frozenset()
        for rid in [rid for rid, thing in late.items() if not self._runner.outside.hangs(thing)]:
            del late[rid]
        return frozenset(late)

    async def run_check(self, owner: Owner, check: Check) -> CheckResult:
        """A user's check. Code None: it could not be run, or not to its end; `output` says why."""
        try:
            ended = await self._runner.run(
                self._command(check, owner, "check"), owner, check.timeout, lasting=False
            )
        except (MayHeal, OSError) as error:
            return CheckResult(None, str(error))
        return CheckResult(ended.code, f"{ended.output}{ended.error}")

    # --- commands and programs -------------------------------------------------------------

    async def _exec(self, operation: op.Exec, owner: Owner) -> Outcome:
        if operation.blank:
            await self._must_be_blank(operation.blank, owner)
        if operation.alone.startswith("/"):
            await self._until_free(operation.alone)
        ended = await self._runner.run(
            self._command(operation, owner, "operation"), owner, operation.timeout
        )
        ok = ended.code is not None and ended.code in operation.ok
        error = ended.error
        if not ok and ended.code is not None:
            error = described(ended.code, ended.output)
        text = f"{operation}: {error}" if error else ""
        return Outcome(ok, error=text, output=ended.output, code=ended.code)

    async def _spawn(self, operation: op.Spawn, owner: Owner) -> Outcome:
        env = {**self._node, **self._environment(owner), **dict(operation.env)}
        outcome = await self._programs.spawn(operation, owner, env)
        return outcome if outcome.ok else replace(outcome, error=f"{operation}: {outcome.error}")

    def _command(self, what: op.Exec | Check, owner: Owner, role: str) -> Command:
        ours = {**self._node, **records.owned(owner), "STANDFAST_ROLE": role}
        return Command(
            argv=what.argv,
            env={**self._environment(owner), **dict(what.env), **ours},
            user=what.user,
            group=what.group,
            cwd=what.cwd,
            umask=what.umask,
            limits=what.limits,
            shell=what.shell,
        )

    async def _until_free(self, device: str) -> None:
        """The mount table forgets a filesystem before its device is closed: wait for that a while.

        Who still has it open then is for the command itself to tell.
        """
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + FREE_WITHIN, 0.001
        while loop.time() < end:
            try:
                await self._runner.outside.run(device, partial(_must_be_free, device), FREE_WITHIN)
            except (OSError, MayHeal):
                await asyncio.sleep(pause)
                pause = min(pause * 2, 0.1)
            else:
                return

    async def _must_be_blank(self, device: str, owner: Owner) -> None:
        """Raises MayHeal when the device carries anything at all, or is in use."""
        await self._runner.outside.run(device, partial(_must_be_free, device), 30.0)
        probe = Command(("blkid", "-p", "-o", "export", device))
        ended = await self._runner.run(probe, owner, 30.0, lasting=False)
        if ended.code == 2 and not ended.output.strip():
            return
        if ended.code != 0:
            why = ended.error or described(ended.code or 0, ended.output)
            raise MayHeal(f"{device} could not be probed for content: {why}")
        found = [line for line in ended.output.splitlines() if not line.startswith("DEVNAME=")]
        raise MayHeal(f"{device} is not empty: it carries {' '.join(found)}")

    # --- network ---------------------------------------------------------------------------

    async def _probe(self, operation: op.ProbeAddress, owner: Owner) -> Outcome:
        found = await arp.probe(operation.address, operation.dev, operation.probes, operation.within)
        if found.holder:
            ip = operation.address.partition("/")[0]
            return Outcome(False, conflict=True, error=f"{ip} is answered by {found.holder}")
        return Outcome(True, output=found.note)

    async def _announce(self, operation: op.Announce, owner: Owner) -> Outcome:
        self._announcer.announce(operation.address, operation.dev)
        return DONE

    # --- storage ---------------------------------------------------------------------------

    async def _mount(self, operation: op.Mount, owner: Owner) -> Outcome:
        outside, limit = self._runner.outside, operation.timeout
        if await outside.run(operation.target, partial(mounting.mounted, operation), limit):
            return DONE
        kind = ("--bind",) if operation.fstype == "bind" else ("-t", operation.fstype or "auto")
        options = ("-o", operation.options) if operation.options else ()
        argv = ("mount", *kind, *options, operation.source, operation.target)
        return replace(await self._exec(op.Exec(argv, timeout=limit), owner), code=None)

    async def _unmount(self, operation: op.Unmount, owner: Owner) -> Outcome:
        return await unmount(self._runner.outside, operation)

    async def _attach(self, operation: op.AttachLoop, owner: Owner) -> Outcome:
        device = await self._outside(
            operation, lambda o: loopdev.attach(o.file, o.offset, o.sizelimit), operation.timeout
        )
        return Outcome(True, values={"device": device})

    # --- what blocks -----------------------------------------------------------------------

    def _calls(self, call: Callable[[Any], None]) -> Handler:
        """A handler out of a plain function that may block."""

        async def handler(operation: op.Operation, owner: Owner) -> Outcome:
            await self._outside(operation, call, operation.timeout)
            return DONE

        return handler

    def _changes(self, call: Callable[[Any], None]) -> Handler:
        """The same for a change of addresses, links or routes."""
        perform = self._calls(call)

        async def handler(operation: op.Operation, owner: Owner) -> Outcome:
            async with self._network:
                return await perform(operation, owner)

        return handler

    async def _outside(self, operation: op.Operation, call: Callable[[Any], T], limit: float) -> T:
        return await self._runner.outside.run(str(operation), lambda: call(operation), limit)


def _route(change: Callable[[str, str, str, int, int, str], None], o: op.AddRoute) -> None:
    change(o.to, o.via, o.dev, o.table, o.metric, o.src)


def _told(error: OSError) -> str:
    text = error.strerror or str(error)
    return f"{text}: {error.filename}" if error.filename else text


def _must_be_free(device: str) -> None:
    """Raises OSError when it is mounted, part of something, or not there."""
    if stat.S_ISBLK(os.stat(device).st_mode):
        mounting.read_anew(device)
