"""Operations and asks → the small world of one made-up host: network, disks, mounts, files, programs.

    san, wire = San(), Wire()
    san.disk("sdb")
    kernel = SimKernel("n1", san, wire, disks=("sdb",))
    await kernel.perform(AddAddress("192.0.2.10/24", "br0"), owner)
    kernel.look(Addresses("br0"), owner)

It is as good as the real host by the tests that both pass (`tests/host/test_contract.py`). Everything can
be made slow, to fail or to hang while it runs.
"""

import asyncio
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from reconciler import asks as a
from reconciler import operations as op
from reconciler.adapters.processes import described
from reconciler.errors import MayHeal
from reconciler.guard import lines
from reconciler.model import Outcome, Owner
from reconciler.testing.commands import COMMANDS, Command, Said
from reconciler.testing.disks import Group, San
from reconciler.testing.network import SimNetwork, Wire
from reconciler.testing.programs import SimPrograms, names
from reconciler.testing.storage import Mounted, SimStorage

DONE = Outcome(True)
Operation = op.Operation


class SimKernel:
    """contracts.Host, and what a fact hub would answer.

    slow      seconds that each operation takes longer
    failing   why an operation fails without being done, "" for it does not
    hanging   whether an operation does not come back (it is done when this says no more)
    commands  by the first word; `system_id`: this host's own for LVM, "" when it has none
    """

    def __init__(
        self,
        machine: str,
        san: San | None = None,
        wire: Wire | None = None,
        disks: Collection[str] = (),
        number: int = 1,
    ) -> None:
        self.machine = self.node = machine
        self.boot_id = f"boot of {machine}"
        self.network = SimNetwork(wire or Wire(), number=number)
        self.storage = SimStorage(machine, san or San(), tuple(disks))
        self.programs = SimPrograms(self._run)
        self.storage.busy = lambda target: names(self.programs.standing(target))
        self.storage.evict = self._evict
        self.system_id = ""
        self.commands: dict[str, Command] = dict(COMMANDS)
        self.names: dict[str, tuple[str, ...]] = {}  # what the resolver says
        self.labels: Mapping[str, str] = {}
        self.memory: Callable[[Owner], Mapping[str, str]] = lambda owner: {}
        self.slow = 0.0
        self.failing: Callable[[Operation], str] = lambda operation: ""
        self.hanging: Callable[[Operation], bool] = lambda operation: False
        self._hung: set[str] = set()
        self._handlers = self._handled()

    def install(self, path: str, command: Command) -> None:
        """A program: its file, and what it does."""
        tree, inner = self.storage.place(path)
        tree.write(inner, b"#!")
        tree.nodes[inner].mode = 0o755
        self.commands[path] = command

    def off(self) -> None:
        """Nothing of it is up any more; disks keep what they carry."""
        self.programs.off()
        self.storage.off()
        self.network.on = False
        self.network.begin()

    def boot(self) -> None:
        self.network.on = True

    # --- operations ------------------------------------------------------------------------

    async def perform(self, operation: Operation, owner: Owner) -> Outcome:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        outcome = await self._performed(operation, owner)
        return replace(outcome, seconds=loop.time() - begin)

    async def _performed(self, operation: Operation, owner: Owner) -> Outcome:
        thing = str(operation)
        try:
            if thing in self._hung:
                await asyncio.sleep(operation.timeout)
                raise MayHeal(f"not tried: an earlier call about {thing} has not returned yet")
            if self.slow:
                await asyncio.sleep(self.slow)
            if self.hanging(operation):
                return await self._hangs(operation, owner)
            if why := self.failing(operation):
                raise MayHeal(why)
            handler = self._handlers.get(type(operation))
            if handler is None:
                raise MayHeal("not an operation on the host")
            outcome: Outcome = await handler(operation, owner)
            return outcome
        except MayHeal as error:
            return Outcome(False, error=f"{thing}: {error}")
        except OSError as error:
            text = error.strerror or str(error)
            shown = f"{text}: {error.filename}" if error.filename else text
            return Outcome(False, error=f"{thing}: {shown}")

    async def _hangs(self, operation: Operation, owner: Owner) -> Outcome:
        """Given up at its time limit; what it was to do is done when it hangs no more."""
        thing = str(operation)
        self._hung.add(thing)

        async def late() -> Outcome:
            try:
                while self.hanging(operation):  # noqa: ASYNC110  # whoever tests it says when
                    await asyncio.sleep(0.05)
                outcome: Outcome = await self._handlers[type(operation)](operation, owner)
                return outcome
            finally:
                self._hung.discard(thing)

        self._late = task = asyncio.ensure_future(late())
        done, _ = await asyncio.wait({task}, timeout=operation.timeout)
        if done:
            return task.result()
        raise MayHeal(f"no answer from the kernel about {thing} within {operation.timeout:g} s")

    def under_way(self, operation: Operation) -> bool:
        """It was given up, and may still be done."""
        return str(operation) in self._hung

    def _handled(self) -> Mapping[type[Operation], Any]:
        network, storage, programs = self.network, self.storage, self.programs
        return {
            op.Exec: self._exec,
            op.Spawn: programs.spawn,
            op.Terminate: programs.terminate,
            op.AddAddress: _calls(network.add),
            op.DeleteAddress: _calls(network.delete),
            op.SetLinkUp: _calls(lambda o: network.set_up(o.dev)),
            op.ProbeAddress: self._probe,
            op.Announce: _calls(lambda o: network.announce(o.address, o.dev)),
            op.AddRoute: _calls(network.put_route),
            op.DeleteRoute: _calls(network.delete_route),
            op.Mount: _calls(storage.mount),
            op.Unmount: self._unmount,
            op.AttachLoop: self._attach,
            op.DetachLoop: _calls(storage.detach),
            op.MakeDirectory: _calls(storage.make_directory),
            op.RemoveDirectory: _calls(storage.remove_directory),
            op.WriteFile: _calls(storage.write),
            op.RemoveFile: _calls(storage.remove_file),
            op.CreateImage: _calls(storage.create_image),
        }

    async def _exec(self, operation: op.Exec, owner: Owner) -> Outcome:
        if operation.blank:
            device = self.storage.must_be_free(operation.blank)
            if kind := device.content.kind:
                raise MayHeal(f"{operation.blank} is not empty: it carries TYPE={kind}")
        outcome = await self.programs.execute(operation.argv, operation.shell, operation.timeout)
        error, code = outcome.error, outcome.code
        ok = code is not None and code in operation.ok
        if not ok and code is not None:
            error = described(code, outcome.output)
        return Outcome(
            ok, error=f"{operation}: {error}" if error and not ok else "", output=outcome.output, code=code
        )

    async def _probe(self, operation: op.ProbeAddress, owner: Owner) -> Outcome:
        who, note = self.network.asks(operation.address, operation.dev)
        if who:
            ip = operation.address.partition("/")[0]
            return Outcome(False, conflict=True, error=f"{ip} is answered by {who}")
        if not note:
            await asyncio.sleep(operation.within)
        return Outcome(True, output=note)

    async def _unmount(self, operation: op.Unmount, owner: Owner) -> Outcome:
        return Outcome(True, output=self.storage.unmount(operation))

    async def _attach(self, operation: op.AttachLoop, owner: Owner) -> Outcome:
        return Outcome(True, values={"device": self.storage.attach(operation)})

    def _run(self, argv: Any) -> Said | None:
        command = self.commands.get(argv[0])
        if command is None or argv[1:] == ("--version",):
            return None if command is None else (0, "")
        return command(self, argv)

    def _evict(self, target: str) -> list[str]:
        held = self.programs.standing(target)
        for process in held:
            self.programs.kill(process)
        return names(held)

    # --- facts -----------------------------------------------------------------------------

    def look(self, ask: a.Ask[Any], owner: Owner) -> Any:
        """The answer as of now, as a fact source gives it; Failed where nobody can tell."""
        match ask:
            case a.Links():
                return dict(self.network.links)
            case a.Addresses(dev):
                return tuple(x for x in self.network.addresses if x.dev == dev)
            case a.AddressHeld(ip):
                return tuple(x for x in self.network.addresses if x.ip == ip)
            case a.Routes(table):
                return tuple(route for route in self.network.routes if route.table == table)
            case a.Name(name):
                return self.names.get(name, a.Failed(f"{name} is not known"))
            case a.Memory():
                return self.memory(owner)
            case a.Node():
                return a.NodeSeen(self.node, self.boot_id, self.labels)
            case a.Program():
                return self.programs.seen(owner)
        return self._look_at_disks(ask)

    def _look_at_disks(self, ask: a.Ask[Any]) -> Any:
        match ask:
            case a.Mounts():
                return tuple(mounted.shown for mounted in self.storage.mounts)
            case a.MountHealth(target):
                mounted = self.storage.on_top(target)
                return "Input/output error" if mounted and _damaged(mounted) else ""
            case a.Loops():
                return tuple(self.storage.loops.values())
            case a.BlockDevice(path):
                device = self.storage.device(path)
                return device.block if device else None
            case a.Signatures(path):
                return self.storage.signature(path)
            case a.File(path):
                return self.storage.seen(path)
            case a.Lvm():
                return self._lvm()
        return a.Failed(f"nobody here knows about {ask}")

    async def answer(self, ask: a.Ask[Any], owner: Owner) -> Any:
        """`look`, and checks, which have to be run."""
        if isinstance(ask, a.Check):
            ended = await self.programs.execute(ask.argv, ask.shell, ask.timeout)
            return a.CheckResult(ended.code, ended.output or ended.error)
        return self.look(ask, owner)

    def _lvm(self) -> a.LvmReport:
        san, mine = self.storage.san, set(self.storage.disks)
        seen = {g.name: g for g in san.groups.values() if mine >= {disk.name for disk in g.disks}}
        physical = {f"/dev/{d.name}": "" for d in san.disks.values() if d.content.kind == "LVM2_member"}
        physical |= {f"/dev/{disk.name}": g.name for g in seen.values() for disk in g.disks}
        return a.LvmReport(
            {name: _group(group) for name, group in seen.items()},
            {
                f"{group.name}/{volume.name}": a.LogicalVolume(
                    volume.name,
                    group.name,
                    self.machine in volume.active,
                    volume.content.size,
                    any(mounted.content is volume.content for mounted in self.storage.mounts),
                )
                for group in seen.values()
                for volume in group.volumes.values()
            },
            {path: group for path, group in physical.items() if path.rpartition("/")[2] in mine},
            self.system_id,
        )

    # --- what a guard does -----------------------------------------------------------------

    def undo(self, line: lines.Line) -> str:
        """By force, as the guard does it; "" when it is gone, else why not."""
        match line:
            case lines.Program(owner):
                service, _, rid = owner.partition(":")
                self.programs.end(Owner(service, rid))
            case lines.Address(_, address, dev):
                self.network.drop(address.partition("/")[0], dev)
            case lines.Mount():
                return self._unmounted(line)
            case lines.Loop(_, file):
                for loop in [loop for loop in self.storage.loops.values() if loop.file == file]:
                    self.storage.detach(op.DetachLoop(loop.device, loop.file))
            case lines.Volumes(_, name, volume):
                return self._deactivated(name, volume)
            case _:
                return f"{line}: not known here"
        return ""

    def bound(self, line: lines.Line) -> lines.Line:
        """With the number of its device, as the agent gives a line to the guard."""
        if isinstance(line, lines.Mount) and (device := self.storage.device(line.source)):
            return line._replace(device=device.block.number)
        return line

    def _unmounted(self, line: lines.Mount) -> str:
        mounts, target = self.storage.mounts, os.path.normpath(line.target)
        for mounted in [
            m
            for m in mounts
            if (m.shown.device == line.device if line.device else m.shown.target == target)
        ]:
            self._evict(mounted.shown.target)
            if any(m.shown.target.startswith(f"{mounted.shown.target}/") for m in mounts):
                return "busy: another mount is on it"
            self.storage.drop(mounted)
        return ""

    def _deactivated(self, name: str, volume: str) -> str:
        group = self.storage.san.groups.get(name)
        for each in group.volumes.values() if group else ():
            if volume not in ("", each.name) or self.machine not in each.active:
                continue
            if any(mounted.content is each.content for mounted in self.storage.mounts):
                return f"{each.name} is in use"
            each.active.discard(self.machine)
        return ""


def _group(group: Group) -> a.VolumeGroup:
    size = sum(disk.content.size for disk in group.disks)
    return a.VolumeGroup(
        group.name,
        group.uuid,
        frozenset(group.tags),
        group.system_id,
        size,
        group.free,
        volumes=tuple(sorted(group.volumes)),
        devices=tuple(f"/dev/{disk.name}" for disk in group.disks),
    )


def _damaged(mounted: Mounted) -> bool:
    return mounted.content is not None and mounted.content.damaged


def _calls(call: Callable[[Any], None]) -> Callable[[Operation, Owner], Any]:
    async def handler(call: Callable[[Any], None], operation: Operation, owner: Owner) -> Outcome:
        call(operation)
        return DONE

    return partial(handler, call)
