"""fs.ext2: an ext2 filesystem on a block device → checked, mounted, made when the device is blank."""

from resources.device_filesystem import DeviceFilesystem, DeviceSpec

KIND = "fs.ext2"
Spec = DeviceSpec

_DRIVER = DeviceFilesystem(
    fstype="ext2",
    signatures=frozenset({"ext2"}),
    make=("mkfs.ext2", "-q"),
    check=("e2fsck", "-p"),
    check_ok=(0, 1, 32, 33),  # clean, errors corrected, cancelled by the user
)

asks, observe, operations = _DRIVER.asks, _DRIVER.observe, _DRIVER.operations
create, destroy, exclusive = _DRIVER.create, _DRIVER.destroy, _DRIVER.exclusive
