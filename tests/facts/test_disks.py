"""What is behind a device, by sysfs as it is on hosts with all kinds of disks."""

import pytest

from reconciler.adapters import disks
from reconciler.adapters.facts.block import device
from reconciler.asks import Block
from tests import kernel


@pytest.mark.parametrize(
    ("files", "asked", "found"),
    [
        pytest.param({"dm/uuid": "LVM-abc"}, "dm-0", "disk LVM-abc", id="a logical volume"),
        pytest.param({"dm/uuid": "mpath-3600"}, "dm-0", "disk mpath-3600", id="several ways to one disk"),
        pytest.param({"device/wwid": "naa.5000c5"}, "sdb", "disk naa.5000c5", id="SCSI"),
        pytest.param({"wwid": "eui.0025"}, "nvme0n1", "disk eui.0025", id="NVMe"),
        pytest.param(
            {"device/wwid": "t10.ATA QEMU HARDDISK QM00002"},
            "sdb",
            "kernel device sdb",
            id="a name that many have",
        ),
        pytest.param({}, "vdb", "kernel device vdb", id="no name"),
    ],
)
def test_a_disk_is_called_what_it_carries(tmp_path, files, asked, found):
    place = tmp_path / "devices" / asked
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(f"{text}\n")
    part = place / f"{asked}p1"
    part.mkdir(parents=True)
    (part / "partition").write_text("1\n")
    for number, there in (("8:16", place), ("8:17", part)):
        (tmp_path / number).symlink_to(there)
    assert disks.names(Block(f"/dev/{asked}", "8:16", 1), tmp_path) == (found,)
    of_part = f"kernel device {asked}p1" if found.startswith("kernel") else f"{found} partition 1"
    assert disks.names(Block(f"/dev/{asked}p1", "8:17", 1), tmp_path) == (of_part,)
    assert disks.names(Block("/dev/gone", "9:9", 1), tmp_path) == ()


@pytest.mark.root
@pytest.mark.skipif(kernel.os.geteuid() != 0, reason="needs root: a loop device")
def test_two_paths_of_a_real_device_have_one_name(tmp_path):
    with kernel.namespaces(), kernel.image() as image:
        path = kernel.run(f"losetup --show -f {image}")
        link = tmp_path / "by-id"
        link.symlink_to(path)
        one, other = device(path), device(str(link))
        assert one is not None
        assert other is not None
        assert disks.names(one) == disks.names(other) == (f"kernel device {path.removeprefix('/dev/')}",)
