"""Drivers of LVM against a guest: what it reports → observed, operations → commands run in it.

Everything but running the command is the product's own: the report's columns and their decoding,
the drivers, the order of their operations.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from reconciler.adapters.facts.lvm import LvmSource
from reconciler.adapters.facts.run import Prober, Ran
from reconciler.adapters.facts.source import Subject
from reconciler.adapters.facts.uevents import Uevents
from reconciler.adapters.starter import Starter
from reconciler.asks import (
    Ask,
    Block,
    BlockDevice,
    Facts,
    Failed,
    Lvm,
    LvmReport,
    Memory,
    Node,
    NodeSeen,
    Signature,
    Signatures,
)
from reconciler.model import Goal, Observed, settled
from reconciler.operations import Exec, Operation, Remember
from tests.vm.guest import DISKS, Guest

PLAIN = "activation { udev_sync=0 udev_rules=0 } devices { obtain_device_list_from_udev=0 }"


class GuestProber(Prober):
    """Probes that run in the guest. Keeps the last full report as LVM wrote it."""

    def __init__(self, guest: Guest) -> None:
        super().__init__(Starter())
        self._guest, self.report = guest, ""

    async def run(self, argv: tuple[str, ...], timeout: float) -> Ran:
        said = self._guest.run(*argv, timeout=timeout)
        if argv[1] == "fullreport":
            self.report = said.out
        return Ran(*said)


class _Desk:
    """Takes what a source reports."""

    def __init__(self) -> None:
        self.answers: dict[Subject, Any] = {}

    def report(self, answers: Mapping[Subject, Any]) -> None:
        self.answers.update(answers)

    def changed(self, subjects: object = None) -> None:
        return

    def wanted(self, subject: Subject) -> bool:
        return True


class Bench:
    """One host in the guest. `kept`: where reports are written for tests without a guest, if anywhere."""

    def __init__(self, guest: Guest, kept: Path | None = None) -> None:
        self.guest, self._kept = guest, kept
        self._prober = GuestProber(guest)
        self.memory: dict[str, str] = {}
        self.clear()

    def clear(self) -> None:
        """Blank disks, no system id, the first host's name."""
        self.memory.clear()
        self.configure()
        self.be("demo1")
        self.guest.script("umount /mnt; vgchange -a n")
        for disk in DISKS:
            self.guest.must("dd", "if=/dev/zero", f"of={disk}", "bs=1M", "count=4")

    def configure(self, more: str = "") -> None:
        self.guest.write("/etc/lvm/lvm.conf", [PLAIN, more])

    def reboot(self) -> None:
        """All that a boot leaves is what is on disk."""
        self.guest.script("vgchange -a n")
        self.memory.clear()

    def be(self, host: str) -> None:
        """From now on the guest is this host: LVM takes its name for its system id, where it has one."""
        self._node = host
        self.guest.must("hostname", host)

    def report(self, name: str = "") -> LvmReport:
        """What LVM says now, through the product's own source; kept under that name."""
        source, desk = LvmSource(30.0, Uevents(events=False), self._prober), _Desk()
        source.desk = desk
        subject = Subject(Lvm())
        asyncio.run(source.look([subject]))
        answer = desk.answers[subject]
        assert isinstance(answer, LvmReport), answer
        if name and self._kept:
            self._kept.mkdir(exist_ok=True)
            (self._kept / f"{name}.json").write_text(self._prober.report)
        return answer

    def look(self, driver: ModuleType, spec: Mapping[str, Any], name: str = "") -> Observed:
        report = self.report(name)

        def answer(ask: Ask[Any]) -> Any:
            match ask:
                case Lvm():
                    return report
                case Node():
                    return NodeSeen(self._node, "boot", {})
                case Memory():
                    return dict(self.memory)
                case BlockDevice(path):
                    return self._block(path)
                case Signatures(path):
                    return self.signature(path)
            return Failed(f"the guest cannot answer {ask}")

        observed: Observed = driver.observe(spec, Facts(answer))
        return observed

    def signature(self, path: str) -> Signature | None:
        if not self._block(path):
            return None
        said = self.guest.run("blkid", "-p", "-o", "export", path)
        return Signature() if said.code == 2 else _decoded(said.out)

    def drive(self, driver: ModuleType, spec: Mapping[str, Any], goal: Goal) -> list[str]:
        """Do what it says until it is settled; the commands that took. One round has to suffice."""
        todo = driver.operations(spec, self.look(driver, spec), goal)
        done = self.perform(todo)
        seen = self.look(driver, spec)
        assert settled(goal, seen), f"{seen} after {done}"
        assert driver.operations(spec, seen, goal) == ()
        return done

    def perform(self, operations: Sequence[Operation]) -> list[str]:
        for operation in operations:
            said = self.attempt(operation)
            assert not said, f"{operation}: {said}"
        return [str(operation) for operation in operations]

    def attempt(self, operation: Operation) -> str:
        """Why it failed, "" when it did not."""
        if isinstance(operation, Remember):
            self.memory = {**self.memory, operation.key: operation.value} if operation.value else {}
            return ""
        assert isinstance(operation, Exec)
        if operation.blank and (found := self.signature(operation.blank)) != Signature():
            return f"{operation.blank} is not blank: {found}"
        said = self.guest.run(*operation.argv, timeout=operation.timeout)
        return "" if said.code in operation.ok else f"exit code {said.code}: {said.err or said.out}"

    def _block(self, path: str) -> Block | None:
        there = self.guest.run("test", "-b", path).code == 0
        return Block(path, "0:0", 1) if there else None


def _decoded(text: str) -> Signature:
    """blkid's export format: KEY=value, the value escaped for a shell."""
    fields: Mapping[str, str] = {
        key: re.sub(r"\\(.)", r"\1", value)
        for key, equals, value in (line.partition("=") for line in text.splitlines())
        if equals
    }
    kind = fields.get("TYPE") or fields.get("PTTYPE", "")
    usage = fields.get("USAGE") or ("partitions" if "PTTYPE" in fields else "")
    return Signature(kind, usage, fields.get("LABEL", ""), fields.get("UUID") or fields.get("PTUUID", ""))
