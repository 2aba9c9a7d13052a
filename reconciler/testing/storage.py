"""Mounts, loop devices and files → what one made-up host has of them.

Paths are as they are written: there are no symbolic links but the names of devices. `busy` names who holds
a mount, `evict` ends them.
"""

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from reconciler import operations as op
from reconciler.adapters.mounting import parse
from reconciler.asks import Block, FileSeen, Loop, Mount, Signature
from reconciler.errors import MayHeal
from reconciler.testing.disks import Content, San
from reconciler.testing.trees import Node, Tree

ON_DEVICES = frozenset(("ext2", "ext3", "ext4", "xfs", "btrfs"))
_PLAIN = ("bin", "boot", "dev", "etc", "home", "lib", "lib64", "media", "mnt", "opt", "proc", "root", "run")
_DEEP = ("usr/bin", "usr/lib", "var", "var/lib", "var/log")
TOP = (*_PLAIN, "sbin", "srv", "sys", "tmp", "usr", *_DEEP)
_WORDS = ("nosuid", "nodev", "noexec", "noatime", "nodiratime", "sync")


@dataclass(frozen=True)
class Device:
    block: Block
    content: Content


@dataclass(eq=False)
class Mounted:
    """`tree` from `root` on."""

    shown: Mount
    tree: Tree
    content: Content | None = None


@dataclass
class SimStorage:
    """Of one machine."""

    machine: str
    san: San
    disks: Sequence[str] = ()  # of the San, that it sees
    root: Tree = field(default_factory=Tree)
    mounts: list[Mounted] = field(default_factory=list)
    loops: dict[str, Loop] = field(default_factory=dict)
    busy: Callable[[str], Sequence[str]] = lambda target: ()
    evict: Callable[[str], Sequence[str]] = lambda target: ()
    _ids: int = 20

    def __post_init__(self) -> None:
        for path in TOP:
            self.root.make_directory(path)
        self.root.nodes["etc/passwd"] = Node("file", 0o644, data=b"root:x:0:0::/root:/bin/sh\n")

    def off(self) -> None:
        """Power is lost, or it is reset: what is on disks stays."""
        self.mounts.clear()
        self.loops.clear()
        self.san.let_go(self.machine)

    # --- devices ---------------------------------------------------------------------------

    def device(self, name: str) -> Device | None:
        """By path, UUID= or LABEL= of what it carries."""
        key, equals, value = name.partition("=")
        for device in self.devices():
            block = device.block
            if name in (block.path, *block.names):
                others = tuple(n for n in (name, *block.names) if n != block.path)
                return replace(device, block=replace(block, names=tuple(dict.fromkeys(others))))
            if equals and key == "UUID" and device.content.uuid == value:
                return device
        return None

    def devices(self) -> list[Device]:
        found = []
        for at, name in enumerate(sorted(self.san.disks)):
            disk = self.san.disks[name]
            links = (f"/dev/disk/by-id/wwn-{disk.wwid}",) if disk.wwid else ()
            if name in self.disks:
                block = Block(f"/dev/{name}", f"8:{16 * at}", disk.content.size, names=links)
                found.append(Device(block, disk.content))
        number = 0
        for group in self.san.groups.values():
            for volume in group.volumes.values():
                if self.machine in volume.active:
                    mapped = f"/dev/mapper/{_doubled(group.name)}-{_doubled(volume.name)}"
                    names = (mapped, f"/dev/{group.name}/{volume.name}")
                    block = Block(f"/dev/dm-{number}", f"252:{number}", volume.content.size, names=names)
                    found.append(Device(block, volume.content))
                number += 1
        for loop in self.loops.values():
            content = self._image(loop.file)
            number = int(loop.device.removeprefix("/dev/loop"))
            size = loop.sizelimit or content.size - loop.offset
            found.append(Device(Block(loop.device, f"7:{number}", size), content))
        return found

    def users(self, block: Block) -> list[str]:
        """Where a device is mounted."""
        return [m.shown.target for m in self.mounts if m.shown.device == block.number]

    def signature(self, name: str) -> Signature | None:
        device = self.device(name)
        if device is None:
            return None
        kind = device.content.kind
        usage = "raid" if kind == "LVM2_member" else "filesystem" if kind else ""
        return Signature(kind, usage, "", device.content.uuid)

    def must_be_free(self, path: str) -> Device:
        """Raises OSError when it is mounted or not there."""
        device = self.device(path)
        if device is None:
            raise _error(errno.ENOTDIR if self._beneath_a_file(path) else errno.ENOENT, path)
        if self.users(device.block):
            raise _error(errno.EBUSY, path)
        return device

    def _image(self, path: str) -> Content:
        node = self._node(path)
        if node is None or node.kind != "file":
            raise _error(errno.ENOENT, path)
        if node.content is None:
            node.content = Content(len(node.data))
        return node.content

    # --- mounts ----------------------------------------------------------------------------

    def on_top(self, target: str) -> Mounted | None:
        path = os.path.normpath(target)
        return next((m for m in reversed(self.mounts) if m.shown.target == path), None)

    def mount(self, operation: op.Mount) -> None:
        target = os.path.normpath(operation.target)
        options = operation.options.split(",")
        if "remount" in options:
            self._remount(operation, target)
            return
        if self._node(target) is None:
            raise MayHeal(f"mount point {operation.target} does not exist")
        if there := self.on_top(target):
            if self._same(operation, there):
                return
            shown = there.shown
            raise MayHeal(f"{shown.source} ({shown.fstype}) is mounted on {operation.target} already")
        made = self._made(operation, target)
        if made.content and "rw" in made.shown.options:
            self.san.opened(made.content, self.machine, f"{operation} on {self.machine}")
        self.mounts.append(made)

    def _made(self, operation: op.Mount, target: str) -> Mounted:
        source, fstype = operation.source, operation.fstype
        flags, supers = _options(operation.options)
        number, root, content = f"0:{self._ids + 1}", "/", None
        if fstype == "tmpfs":
            tree = Tree(_limit(operation))
        elif fstype == "bind":
            tree, inner = self.place(source)
            if tree.find(inner) is None:
                raise _error(errno.ENOENT, "", f"{source} does not exist")
            root, fstype, source = f"/{inner}", "ext4", source
        elif fstype in ON_DEVICES:
            device = self._mountable(operation)
            number, content, tree = device.block.number, device.content, device.content.tree
        else:
            raise _error(errno.ENODEV, "", f"the kernel has no filesystem {fstype}")
        self._ids += 1
        shown = Mount(self._ids, 1, number, root, target, fstype, source, flags, supers)
        return Mounted(shown, tree, content)

    def _mountable(self, operation: op.Mount) -> Device:
        source, fstype = operation.source, operation.fstype
        device = self.device(source)
        if device is None:
            if self._node(source):
                raise _error(errno.ENOTBLK, "", f"{source} is not a block device")
            raise _error(errno.ENOENT, "", f"{source} does not exist")
        if device.content.kind != fstype:
            what = f"wrong filesystem type, bad option or damaged superblock on {source}"
            raise _error(errno.EINVAL, "", what)
        if device.content.damaged:
            raise _error(errno.EUCLEAN, "", f"{source} needs a filesystem check")
        return device

    def _same(self, operation: op.Mount, there: Mounted) -> bool:
        if operation.fstype == "bind":
            tree, inner = self.place(operation.source)
            return tree is there.tree and f"/{inner}" == there.shown.root
        if operation.fstype != there.shown.fstype:
            return False
        device = self.device(operation.source)
        return operation.source == there.shown.source or (
            device is not None and device.block.number == there.shown.device
        )

    def _remount(self, operation: op.Mount, target: str) -> None:
        there = self.on_top(target)
        if there is None:
            raise MayHeal(f"{target} is not mounted")
        flags, _ = _options(operation.options)
        if there.content and "rw" in flags:
            self.san.opened(there.content, self.machine, f"{operation} on {self.machine}")
        there.shown = replace(there.shown, options=flags)

    def unmount(self, operation: op.Unmount) -> str:
        """Who was ended for it."""
        there = self.on_top(operation.target)
        if there is None:
            return ""
        target = there.shown.target
        if above := [m.shown.target for m in self.mounts if m.shown.target.startswith(f"{target}/")]:
            raise MayHeal(f"busy: {', '.join(above)} is mounted on it: unmount that first")
        if loops := [loop.device for loop in self.loops.values() if loop.file.startswith(f"{target}/")]:
            raise MayHeal(f"busy: the file of {', '.join(loops)} is on it: detach that first")
        ended: Sequence[str] = ()
        if holders := self.busy(target):
            if not operation.evict:
                raise MayHeal(f"busy: held by {', '.join(holders)}")
            ended = self.evict(target)
        self.drop(there)
        return f"ended {', '.join(ended)}, who held {operation.target}" if ended else ""

    def drop(self, mounted: Mounted) -> None:
        """It is mounted there no more."""
        self.mounts.remove(mounted)
        for device in self.devices():
            loop = self.loops.get(device.block.path)
            if loop and loop.autoclear and not self.users(device.block):
                del self.loops[loop.device]
        content = mounted.content
        if content and not any(m.content is content and "rw" in m.shown.options for m in self.mounts):
            self.san.closed(content, self.machine)

    # --- loop devices ----------------------------------------------------------------------

    def attach(self, operation: op.AttachLoop) -> str:
        node = self._node(operation.file)
        if node is None:
            raise _error(errno.ENOENT, operation.file)
        wanted = (operation.file, operation.offset, operation.sizelimit)
        for loop in self.loops.values():
            if (loop.file, loop.offset, loop.sizelimit) == wanted:
                self.loops[loop.device] = replace(loop, autoclear=False)
                return loop.device
        taken = {int(name.removeprefix("/dev/loop")) for name in self.loops}
        number = next(n for n in range(len(taken) + 1) if n not in taken)
        device = f"/dev/loop{number}"
        self.loops[device] = Loop(device, *wanted)
        return device

    def detach(self, operation: op.DetachLoop) -> None:
        loop = self.loops.get(operation.device)
        if loop is None or loop.file != operation.file:
            return
        device = self.device(operation.device)
        if device and (targets := self.users(device.block)):
            self.loops[loop.device] = replace(loop, autoclear=True)  # gone with the last who uses it
            raise MayHeal(f"busy: mounted on {', '.join(targets)}")
        del self.loops[operation.device]

    # --- files -----------------------------------------------------------------------------

    def place(self, path: str) -> tuple[Tree, str]:
        """The filesystem that a path is on, and the path in it."""
        path = os.path.normpath(path)
        for mounted in reversed(self.mounts):
            shown = mounted.shown
            if path == shown.target or path.startswith(f"{shown.target}/"):
                inner = path[len(shown.target) :].strip("/")
                return mounted.tree, "/".join(p for p in (shown.root.strip("/"), inner) if p)
        return self.root, path.strip("/")

    def seen(self, path: str) -> FileSeen | None:
        if device := self.device(path):
            return FileSeen("block", 0o660, "root", "disk", device.block.size, 0, 6, device.block.path)
        node = self._node(path)
        if node is None:
            return None
        real = os.path.normpath(path)
        return FileSeen(node.kind, node.mode, node.user, node.group, node.size, 0, 0, real)

    def make_directory(self, operation: op.MakeDirectory) -> None:
        tree, inner = self.place(operation.path)
        node = tree.make_directory(inner)
        for name, kind in ((operation.user, "user"), (operation.group, "group")):
            if name.startswith("nosuch"):
                raise MayHeal(f"no {kind} {name!r} on this host")
        node.user, node.group = operation.user or node.user, operation.group or node.group
        node.mode = int(operation.mode, 8) if operation.mode else node.mode

    def remove_directory(self, operation: op.RemoveDirectory) -> None:
        path = os.path.abspath(operation.path)
        if path.strip("/") in ("", *TOP):
            raise MayHeal(f"{path} belongs to the system and is not removed")
        if inside := [m.shown.target for m in self.mounts if f"{m.shown.target}/".startswith(f"{path}/")]:
            raise MayHeal(f"{', '.join(inside)} is mounted there: unmount it first")
        tree, inner = self.place(path)
        tree.remove_directory(inner, operation.contents)

    def write(self, operation: op.WriteFile) -> None:
        tree, inner = self.place(operation.path)
        tree.write(inner, operation.content.encode())

    def remove_file(self, operation: op.RemoveFile) -> None:
        tree, inner = self.place(operation.path)
        tree.remove_file(inner)

    def create_image(self, operation: op.CreateImage) -> None:
        tree, inner = self.place(operation.path)
        node = tree.nodes.setdefault(inner, Node("file", 0o600))
        if node.kind != "file":
            raise MayHeal(f"{operation.path} is not a regular file")
        written = bool(node.data) or bool(node.content and node.content.kind)
        if written or node.size not in (0, operation.size):
            raise MayHeal(f"{operation.path} exists and has content: it is not overwritten")
        node.content = node.content or Content(operation.size)

    def _node(self, path: str) -> Node | None:
        tree, inner = self.place(path)
        return tree.find(inner)

    def _beneath_a_file(self, path: str) -> bool:
        above = self._node(os.path.dirname(path))
        return above is not None and above.kind == "file"


def _options(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """As the mount table shows them: of the mount, of the filesystem."""
    words = {"rw", "relatime"}
    for word in text.split(","):
        if word in ("ro", "rw"):
            words = {word, *(words - {"ro", "rw"})}
        elif word in _WORDS:
            words = {word, *(words - ({"relatime"} if word == "noatime" else set()))}
    return frozenset(words), frozenset({"rw", *(w for w in text.split(",") if w.startswith("size="))})


def _limit(operation: op.Mount) -> int | None:
    for word in parse(operation.options).data.split(","):
        if word.startswith("size="):
            number, unit = word[5:].rstrip("kmg"), word[-1:]
            if not number.isdigit():
                what = f"wrong filesystem type, bad option or damaged superblock on {operation.source}"
                raise _error(errno.EINVAL, "", what)
            return int(number) << {"k": 10, "m": 20, "g": 30}.get(unit, 0)
    return None


def _doubled(name: str) -> str:
    return name.replace("-", "--")


def _error(number: int, path: str, meaning: str = "") -> OSError:
    text = os.strerror(number)
    made = OSError(number, f"{text}: {meaning}" if meaning else text)
    if path:
        made.filename = path
    return made
