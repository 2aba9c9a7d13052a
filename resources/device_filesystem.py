"""A filesystem on a block device, mounted: what ext2, ext3, ext4, xfs and btrfs have in common.

Our mount is told by the device's number in the mount table, whatever name was mounted (a symlink,
/dev/mapper, LABEL=, UUID=). Nothing is written on a device that carries any signature. While the
device is mounted anywhere on this host the resource is not down: on another host it could not be
mounted safely.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from reconciler.asks import Ask, Block, BlockDevice, Facts, Mount, Signature, Signatures, Unanswered
from reconciler.model import Goal, Observed, State, info, warning
from reconciler.operations import Exec, Operation
from reconciler.operations import Mount as DoMount
from resources import mounting
from resources.mount_options import options, read_only
from resources.mount_table import Table, indexed, tidy
from resources.mounting import MountSpec, Place, unresolved

HOUR = 3600.0


class DeviceSpec(MountSpec):
    """The keywords of fs.ext2, ext3, ext4, xfs and btrfs."""

    dev: str
    mkfs_opt: str


@dataclass(frozen=True)
class DeviceFilesystem:
    """A driver, but for its name.

    signatures  kinds a probe may find on the device and this type can mount.
    check       command before a mount, the device is appended; () when there is none to run blindly.
    make        command that creates it, options and device are appended.
    numbered    the mount table shows the block device's number (btrfs shows one of its own).
    """

    fstype: str
    signatures: frozenset[str]
    make: tuple[str, ...]
    check: tuple[str, ...] = ()
    check_ok: tuple[int, ...] = (0,)
    numbered: bool = True

    def asks(self, spec: DeviceSpec) -> tuple[Ask[Any], ...]:
        return (*mounting.asks(spec, spec["dev"]), BlockDevice(spec["dev"]), Signatures(spec["dev"]))

    def observe(self, spec: DeviceSpec, facts: Facts) -> Observed:
        """Up when the device is mounted on mnt as wanted, answers, and can be written if it should."""
        mounts = facts.of(mounting.MOUNTS)
        table = indexed(mounts)
        where = mounting.place(spec, table, facts)
        device = facts.of(BlockDevice(spec["dev"]))
        shell = Observed(State.DOWN, label=f"{self.fstype} {spec['dev']}@{tidy(spec['mnt'])}")
        if device is not None:
            shell = replace(shell, exposes={"sub_devs": (device.path,)})
        if ours := [mount for mount in where.stack if self._is_ours(spec, mount, device)]:
            return self._mounted(spec, shell, where, ours, table, device, facts)
        if device is None:
            return mounting.vacant(shell, where, f"device {spec['dev']} does not exist")
        if elsewhere := self._elsewhere(spec, table, device, ours):
            places = ", ".join(mount.target for mount in elsewhere)
            note = warning(f"{spec['dev']} is mounted on {places} instead")
            # Directories of it shown elsewhere (bind mounts) may well be ours, and are no obstacle.
            whole = self._subvolume(spec) or "/"
            binds = all(mount.root != whole for mount in elsewhere)
            blocked = "" if binds else f"{spec['dev']} is mounted on {places}: umount it there"
            seen = mounting.vacant(shell, where, blocked)
            data = {**seen.data, "in_use": True}
            return replace(seen, state=State.WARN, notes=(note,), provisioned=True, data=data)
        return self._unmounted(spec, mounting.vacant(shell, where), device, facts)

    def operations(self, spec: DeviceSpec, seen: Observed, goal: Goal) -> tuple[Operation, ...]:
        """Check, mount, give the owner; or unmount, ending what still uses it."""
        check: tuple[Operation, ...] = ()
        if self.check and not seen.data.get("readonly") and not seen.data.get("in_use"):
            check = (Exec((*self.check, spec["dev"]), ok=self.check_ok, timeout=HOUR, alone=spec["dev"]),)
        mount = DoMount(spec["dev"], tidy(spec["mnt"]), self.fstype, spec["mnt_opt"])
        return mounting.operations(spec, seen, goal, mounting.Recipe(mount, before=check))

    def create(self, spec: DeviceSpec, seen: Observed) -> tuple[Operation, ...]:
        """Only on a device that was seen to carry nothing, which is looked at again right before."""
        if seen.provisioned or seen.data.get("foreign") or seen.state is not State.DOWN:
            return ()
        device = seen.data.get("path") or spec["dev"]
        argv = (*self.make, *shlex.split(spec["mkfs_opt"]), device)
        return (Exec(argv, timeout=HOUR, blank=device, touching=("signatures", "block")),)

    def destroy(self, spec: DeviceSpec, seen: Observed) -> tuple[Operation, ...]:
        """Take the signature off an unmounted device; one that carries something else is left alone."""
        if seen.state is not State.DOWN or seen.data.get("foreign") or "path" not in seen.data:
            return ()
        return (Exec(("wipefs", "-a", seen.data["path"]), touching=("signatures", "block")),)

    def exclusive(self, spec: DeviceSpec) -> tuple[str, ...]:
        part = self._subvolume(spec)
        named = f"device {spec['dev']}" + (f" subvolume {part}" if part else "")
        return (*mounting.exclusive(spec), *(() if unresolved(spec["dev"]) else (named,)))

    def _mounted(
        self,
        spec: DeviceSpec,
        shell: Observed,
        where: Place,
        ours: Sequence[Mount],
        table: Table,
        device: Block | None,
        facts: Facts,
    ) -> Observed:
        """Ours is on the mount point. Its device may be gone, or be another one by now."""
        shell = replace(shell, provisioned=True)
        if device is None:
            gone = f"device {spec['dev']} does not exist"
            stale = f"{gone}, but {ours[-1].source} is still mounted"
            seen = mounting.judged(spec, shell, where, ours, table, facts, stale=stale)
            return replace(seen, blocked=seen.blocked or gone)
        if self.numbered and ours[-1].device != device.number:
            stale = f"mounted from an earlier {spec['dev']} ({ours[-1].device}, now {device.number})"
            return mounting.judged(spec, shell, where, ours, table, facts, stale=stale)
        if ours[-1].fstype != self.fstype:
            shell = replace(shell, notes=(warning(f"mounted as {ours[-1].fstype}, not {self.fstype}"),))
        if elsewhere := self._elsewhere(spec, table, device, ours):
            places = ", ".join(mount.target for mount in elsewhere)
            shell = replace(shell, notes=(*shell.notes, info(f"also mounted on {places}")))
        seen = mounting.judged(spec, shell, where, ours, table, facts)
        if device.readonly and seen.state is State.WARN and not seen.blocked:
            return replace(seen, blocked=_write_protected(spec), data={**seen.data, "readonly": True})
        return seen

    def _unmounted(self, spec: DeviceSpec, seen: Observed, device: Block, facts: Facts) -> Observed:
        """Nothing of ours is mounted: look at what the device carries."""
        data = {**seen.data, "readonly": device.readonly}
        if not unresolved(device.path):
            data["path"] = spec["dev"] if spec["dev"].startswith("/") else device.path
        try:
            found: Signature | None = facts.of(Signatures(spec["dev"]))
        except Unanswered as missing:
            if missing.pending:
                raise
            # It is known to be down all the same: a dead disk must not hold up a stop.
            blocked = seen.blocked or f"cannot read {spec['dev']}: {missing.why}"
            return replace(seen, blocked=blocked, data=data)
        if found is None:
            return replace(seen, blocked=seen.blocked or f"device {spec['dev']} does not exist")
        if found.kind and found.kind not in self.signatures:
            blocked = (
                f"{spec['dev']} carries {found.kind}, not {self.fstype}: nothing is written on a device "
                f"that carries a signature; `wipefs -a {data['path']}` if it may go"
            )
            return replace(seen, blocked=seen.blocked or blocked, data={**data, "foreign": True})
        seen = replace(seen, provisioned=bool(found.kind), data=data)
        if device.readonly and not read_only(spec["mnt_opt"]):
            return replace(seen, blocked=seen.blocked or _write_protected(spec))
        return seen

    def _is_ours(self, spec: DeviceSpec, mount: Mount, device: Block | None) -> bool:
        if not self.numbered:
            known = {spec["dev"], *((device.path, *device.names) if device else ())}
            if mount.fstype != self.fstype or not (mount.source in known or self._nobodys(spec, device)):
                return False
            part = self._subvolume(spec)
            return not part or part == mount.root or part in mount.super_options
        if mount.root != "/":
            return False
        if device is None:
            return mount.fstype == self.fstype and self._nobodys(spec, device)
        if mount.device == device.number:
            return True
        return mount.fstype == self.fstype and mount.source in (spec["dev"], device.path, *device.names)

    def _nobodys(self, spec: DeviceSpec, device: Block | None) -> bool:
        """The device is gone, so its name proves nothing: our type on our mount point is held for ours."""
        return device is None and not unresolved(spec["dev"])

    def _elsewhere(
        self, spec: DeviceSpec, table: Table, device: Block, ours: Sequence[Mount]
    ) -> tuple[Mount, ...]:
        if self.numbered:
            return tuple(mount for mount in table.of_device(device.number) if mount not in ours)
        root = self._subvolume(spec) or "/"
        names = {spec["dev"], device.path, *device.names}
        return tuple(
            mount
            for mount in table.mounts
            if mount.fstype == self.fstype and mount.source in names and mount.root == root
            if mount not in ours
        )

    def _subvolume(self, spec: DeviceSpec) -> str:
        """As the mount table shows it: "/path", or "subvolid=n"; "" when none is named."""
        part = ""
        for word in () if self.numbered else options(spec["mnt_opt"]):
            if word.startswith("subvol="):
                part = tidy(word.removeprefix("subvol="))
            elif word.startswith("subvolid="):
                part = word
        return part


def _write_protected(spec: DeviceSpec) -> str:
    return f"{spec['dev']} is write-protected: `blockdev --setrw {spec['dev']}`, or mnt_opt: ro"
