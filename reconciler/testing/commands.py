"""Command lines → what they do on a made-up host: mkfs, LVM's, and a shell of a few words.

A command is a function of the host and its words; it returns an exit code and what it printed. Who tests a
driver adds those that it runs: `kernel.commands["/usr/bin/web"] = lambda kernel, argv: (0, "")`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from reconciler.testing.disks import Content, Group, Volume
from reconciler.testing.trees import Tree

if TYPE_CHECKING:
    from reconciler.testing.kernel import SimKernel

Said = tuple[int, str]
Command = Callable[["SimKernel", Sequence[str]], Said]
OK: Said = (0, "")
REFUSED = 5
"""What LVM's commands exit with."""


def mkfs(kernel: "SimKernel", argv: Sequence[str]) -> Said:
    device = kernel.storage.device(argv[-1])
    if device is None:
        return 1, f"{argv[0]}: cannot open {argv[-1]}: No such file or directory"
    if users := kernel.storage.users(device.block):
        return 1, f"{argv[-1]} is mounted on {users[0]}; will not make a filesystem here!"
    kind = argv[0].rpartition(".")[2]
    kernel.storage.san.carry(device.content, kind, Tree(device.block.size), kernel.machine, " ".join(argv))
    return OK


def fsck(kernel: "SimKernel", argv: Sequence[str]) -> Said:
    device = kernel.storage.device(argv[-1])
    if device is None:
        return 8, f"{argv[0]}: No such file or directory while trying to open {argv[-1]}"
    if kernel.storage.users(device.block):
        return 8, f"{argv[-1]} is mounted."
    damaged, device.content.damaged = device.content.damaged, False
    return (1, "errors corrected") if damaged else OK


def wipefs(kernel: "SimKernel", argv: Sequence[str]) -> Said:
    device = kernel.storage.device(argv[-1])
    if device is None:
        return 1, f"wipefs: error: {argv[-1]}: probing initialization failed: No such file or directory"
    if kernel.storage.users(device.block):
        return 1, f"wipefs: error: {argv[-1]}: probing initialization failed: Device or resource busy"
    kernel.storage.san.carry(device.content, "", None, kernel.machine, " ".join(argv))
    return OK


# --- LVM -----------------------------------------------------------------------------------


def pvcreate(kernel: "SimKernel", argv: Sequence[str]) -> Said:
    device = kernel.storage.device(argv[-1])
    if device is None:
        return REFUSED, f"  No device found for {argv[-1]}."
    kernel.storage.san.carry(device.content, "LVM2_member", None, kernel.machine, " ".join(argv))
    return OK


def vgcreate(kernel: "SimKernel", argv: Sequence[str]) -> Said:
    san, words = kernel.storage.san, _plain(argv, "--setautoactivation", "--systemid")
    name, *paths = words
    if name in san.groups:
        return REFUSED, f"  A volume group called {name} already exists."
    disks = [disk for disk in san.disks.values() if f"/dev/{disk.name}" in paths]
    if len(disks) < len(paths):
        return REFUSED, f"  No device found for {' '.join(paths)}."
    san.groups[name] = Group(name, san.uuid(), tuple(disks))
    return OK


def vgremove(kernel: "SimKernel", argv: Sequence[str]) -> Said:
    san, group = kernel.storage.san, _group(kernel, argv[-1])
    if isinstance(group, str):
        return REFUSED, group
    if group.volumes:
        return REFUSED, f"  Volume group {group.name} contains {len(group.volumes)} logical volumes"
    _destroyed(kernel, argv)
    del san.groups[group.name]
    return OK


def vgchange(kernel: "SimKernel", argv: Sequence[str]) -> Said:
    options, name = list(argv[1:-1]), argv[-1]
    allowed = next((options[n + 1] for n, word in enumerate(options) if word == "--config"), "")
    group = _group(kernel, name, allowed)
    if isinstance(group, str):
        return REFUSED, group
    pairs = list(zip(options, [*options[1:], ""], strict=True))
    for word, value in pairs:
        match word:
            case "--addtag":
                group.tags.add(value.removeprefix("@"))
            case "--deltag":
                group.tags.discard(value.removeprefix("@"))
            case "--systemid":
                group.system_id = value
    if ("-a", "y") in pairs:
        for volume in group.volumes.values():
            volume.active.add(kernel.machine)
    if ("-a", "n") in pairs:
        return _deactivated(kernel, group, group.volumes.values())
    return OK


def lvchange(kernel: "SimKernel", argv: Sequence[str]) -> Said:
    group, volume = _volume(kernel, argv[-1])
    if isinstance(group, str) or volume is None:
        return REFUSED, f"  Failed to find logical volume {argv[-1]}"
    if "n" in argv:
        return _deactivated(kernel, group, (volume,))
    volume.active.add(kernel.machine)
    return OK


def lvcreate(kernel: "SimKernel", argv: Sequence[str]) -> Said:
    """Active afterwards, as LVM leaves it; a size is in bytes, or the half of what is free."""
    group = _group(kernel, argv[-1])
    if isinstance(group, str):
        return REFUSED, group
    name = argv[argv.index("-n") + 1]
    if name in group.volumes:
        return REFUSED, f"  Logical Volume {name} already exists in volume group {group.name}"
    size = group.free // 2
    if size < 1 << 20:
        return REFUSED, f"  Volume group {group.name} has insufficient free space"
    group.volumes[name] = Volume(name, Content(size), {kernel.machine})
    return OK


def lvremove(kernel: "SimKernel", argv: Sequence[str]) -> Said:
    group, volume = _volume(kernel, argv[-1])
    if isinstance(group, str) or volume is None:
        return REFUSED, f"  Failed to find logical volume {argv[-1]}"
    if (said := _deactivated(kernel, group, (volume,))) != OK:
        return said
    _destroyed(kernel, argv)
    del group.volumes[volume.name]
    return OK


def _destroyed(kernel: "SimKernel", argv: Sequence[str]) -> None:
    san, what = kernel.storage.san, " ".join(argv)
    if not san.asked(what):
        san.noticed(kernel.machine, "data", f"{what}: nobody asked for it")


def _group(kernel: "SimKernel", name: str, allowed: str = "") -> "Group | str":
    storage = kernel.storage
    group = storage.san.groups.get(name)
    if group is None or not all(disk.name in storage.disks for disk in group.disks):
        return f"  Volume group {name!r} not found"
    if group.system_id not in ("", kernel.system_id) and group.system_id not in allowed:
        return (
            f"  Cannot access VG {name} with system ID {group.system_id} with local system ID "
            f"{kernel.system_id or 'unknown'}."
        )
    return group


def _volume(kernel: "SimKernel", path: str) -> "tuple[Group | str, Volume | None]":
    name, _, volume = path.partition("/")
    group = _group(kernel, name)
    return group, None if isinstance(group, str) else group.volumes.get(volume)


def _deactivated(kernel: "SimKernel", group: Group, volumes: Iterable[Volume]) -> Said:
    chosen = list(volumes)
    for volume in chosen:
        if any(mounted.content is volume.content for mounted in kernel.storage.mounts):
            return REFUSED, f"  Logical volume {group.name}/{volume.name} contains a filesystem in use."
    for volume in chosen:
        volume.active.discard(kernel.machine)
    return OK


def _plain(argv: Sequence[str], *with_value: str) -> list[str]:
    words, skip = [], False
    for word in argv[1:]:
        if not skip and not word.startswith("-"):
            words.append(word)
        skip = not skip and word in with_value
    return words


COMMANDS: Mapping[str, Command] = {
    "true": lambda kernel, argv: OK,
    "false": lambda kernel, argv: (1, ""),
    "echo": lambda kernel, argv: (0, " ".join(argv[1:]) + "\n"),
    **{f"mkfs.{kind}": mkfs for kind in ("ext2", "ext3", "ext4", "xfs", "btrfs")},
    "e2fsck": fsck,
    "wipefs": wipefs,
    "pvcreate": pvcreate,
    "vgcreate": vgcreate,
    "vgremove": vgremove,
    "vgchange": vgchange,
    "lvchange": lvchange,
    "lvcreate": lvcreate,
    "lvremove": lvremove,
}
