"""Disks that made-up hosts see → what they carry, who has it open; what must not be is noticed.

A filesystem knows who has it mounted for writing; when a second host does the same it is damaged, as a real
one would be. LVM's metadata is on the disks: tags and system ids outlive the host that set them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Noticed = Callable[[str, str, str], None]
"""Machine, rule ("shared": two write to one disk; "data": some was destroyed), and what it was."""


@dataclass(eq=False)
class Content:
    """Of a block device or an image. `kind` as blkid calls it, "" for nothing at all.

    writers  machines that have it mounted for writing. tree: of a filesystem, its files.
    """

    size: int
    kind: str = ""
    uuid: str = ""
    tree: Any = None
    writers: set[str] = field(default_factory=set)
    damaged: bool = False


@dataclass(eq=False)
class Disk:
    """`name` as the kernel has it, `sdb`; the same on all hosts."""

    name: str
    content: Content
    wwid: str = ""


@dataclass(eq=False)
class Volume:
    """`active`: on these machines."""

    name: str
    content: Content
    active: set[str] = field(default_factory=set)


@dataclass(eq=False)
class Group:
    """A volume group. Of system ids LVM takes care itself; a tag is a word to it."""

    name: str
    uuid: str
    disks: tuple[Disk, ...]
    tags: set[str] = field(default_factory=set)
    system_id: str = ""
    volumes: dict[str, Volume] = field(default_factory=dict)

    @property
    def free(self) -> int:
        whole = sum(disk.content.size for disk in self.disks)
        return whole - sum(volume.content.size for volume in self.volumes.values())


class San:
    """All that is shared. `asked`: whether somebody asked for data to be destroyed now."""

    def __init__(self, noticed: Noticed = lambda machine, rule, what: None) -> None:
        self.noticed = noticed
        self.asked: Callable[[str], bool] = lambda what: False
        self.disks: dict[str, Disk] = {}
        self.groups: dict[str, Group] = {}
        self._uuids = 0

    def disk(self, name: str, size: int = 1 << 30, wwid: str = "") -> Disk:
        """A new one, blank."""
        made = self.disks[name] = Disk(name, Content(size), wwid)
        return made

    def uuid(self) -> str:
        self._uuids += 1
        return f"00000000-0000-4000-8000-{self._uuids:012}"

    def carry(self, content: Content, kind: str, tree: Any, machine: str, what: str) -> None:
        """It carries another thing from now on, whatever was there."""
        self._written(content, machine, what)
        if content.kind and content.kind != kind and not self.asked(what):
            self.noticed(machine, "data", f"{what} destroys {content.kind}: nobody asked for it")
        content.kind, content.tree = kind, tree
        content.uuid = self.uuid() if kind else ""

    def opened(self, content: Content, machine: str, what: str) -> None:
        """Mounted there, for writing."""
        self._written(content, machine, what)
        content.writers.add(machine)

    def closed(self, content: Content, machine: str) -> None:
        content.writers.discard(machine)

    def _written(self, content: Content, machine: str, what: str) -> None:
        if others := sorted(content.writers - {machine}):
            content.damaged = True
            self.noticed(machine, "shared", f"{what}, which {', '.join(others)} has mounted for writing")

    def let_go(self, machine: str) -> None:
        """It is off: nothing of it writes any more."""
        for disk in self.disks.values():
            disk.content.writers.discard(machine)
        for group in self.groups.values():
            for volume in group.volumes.values():
                volume.active.discard(machine)
                volume.content.writers.discard(machine)
