"""fs.xfs: an XFS filesystem on a block device → mounted, made when the device is blank.

No check before a mount: the kernel replays the log, and xfs_repair is for a person to run.
"""

from resources.device_filesystem import DeviceFilesystem, DeviceSpec

KIND = "fs.xfs"
Spec = DeviceSpec

_DRIVER = DeviceFilesystem(fstype="xfs", signatures=frozenset({"xfs"}), make=("mkfs.xfs", "-q"))

asks, observe, operations = _DRIVER.asks, _DRIVER.observe, _DRIVER.operations
create, destroy, exclusive = _DRIVER.create, _DRIVER.destroy, _DRIVER.exclusive
