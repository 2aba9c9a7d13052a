"""fs.btrfs: a btrfs filesystem, or one subvolume of it → mounted, made when the device is blank.

Btrfs shows a number of its own in the mount table, so a mount is told by the device's names and,
where `mnt_opt` has `subvol=` or `subvolid=`, by that. No check before a mount: `btrfs check
--repair` is for a person to run.
"""

from resources.device_filesystem import DeviceFilesystem, DeviceSpec

KIND = "fs.btrfs"
Spec = DeviceSpec

_DRIVER = DeviceFilesystem(
    fstype="btrfs", signatures=frozenset({"btrfs"}), make=("mkfs.btrfs", "-q"), numbered=False
)

asks, observe, operations = _DRIVER.asks, _DRIVER.observe, _DRIVER.operations
create, destroy, exclusive = _DRIVER.create, _DRIVER.destroy, _DRIVER.exclusive
