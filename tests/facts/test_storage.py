"""Loop devices, block devices and signatures against the kernel's own loop devices."""

import os
import threading

import pytest

from reconciler.adapters.facts import blkid
from reconciler.adapters.facts import loops as loops_module
from reconciler.adapters.facts import signatures as signatures_module
from reconciler.adapters.facts.block import BlockSource, block_path, encoded
from reconciler.adapters.facts.loops import LoopSource
from reconciler.adapters.facts.run import Prober
from reconciler.adapters.facts.signatures import SignatureSource
from reconciler.adapters.facts.uevents import Uevents, block_name
from reconciler.adapters.starter import Starter
from reconciler.asks import NOT_YET, Block, BlockDevice, Failed, Loop, Loops, Signature, Signatures
from tests.facts.conftest import A, B, root, sh

pytestmark = root


def sources(events=True, every=3600.0):
    uevents, prober = Uevents(events), Prober(Starter())
    return {
        "loops": LoopSource(every, uevents),
        "block": BlockSource(every, uevents, prober),
        "signatures": SignatureSource(every, uevents, prober),
    }


def attach(file, more=""):
    return sh(f"losetup -f --show {more} {file}").strip()


def of(file):
    return lambda loops: any(loop.file == str(file) for loop in loops)


# --- loops -----------------------------------------------------------------------------------


async def test_a_loop_device_and_what_is_behind_it(bench, loop_file):
    device = attach(loop_file, "-o 4096 --sizelimit 8192")
    async with bench(sources()) as b:
        assert Loop(device, str(loop_file), 4096, 8192) in await b.get(Loops())


async def test_attaching_and_detaching_behind_our_back_is_heard(bench, loop_file):
    async with bench(sources()) as b:
        await b.follow(Loops())
        device = attach(loop_file)
        await b.until(Loops(), of(loop_file), within=1)
        sh(f"losetup -d {device}")
        await b.until(Loops(), lambda loops: not of(loop_file)(loops), within=1)


async def test_detaching_one_in_use_shows_that_it_goes_at_its_last_close(bench, loop_file, tmp_path):
    sh(f"mkfs.ext4 -q {loop_file}")
    device = attach(loop_file)
    sh(f"mount {device} {tmp_path}")
    try:
        async with bench(sources()) as b:
            assert Loop(device, str(loop_file)) in await b.follow(Loops())
            sh(f"losetup -d {device}")
            b.hub.touched(A, ("loops",))
            assert Loop(device, str(loop_file), autoclear=True) in await b.get(Loops())
            sh(f"umount {tmp_path}")
            await b.until(Loops(), lambda loops: not of(loop_file)(loops), within=1)
    finally:
        sh(f"umount {tmp_path}", ok=(0, 32))


async def test_a_file_that_was_deleted_is_not_the_file_of_that_path(bench, loop_file):
    device = attach(loop_file)
    os.unlink(loop_file)
    try:
        async with bench(sources()) as b:
            assert Loop(device, f"{loop_file} (deleted)") in await b.get(Loops())
    finally:
        sh(f"losetup -d {device}")


async def test_loops_without_events_the_periodic_look_notices(bench, loop_file):
    async with bench(sources(events=False, every=0.3), look_every=0.3) as b:
        await b.follow(Loops())
        attach(loop_file)
        await b.told(within=1)
        assert of(loop_file)(b.hub.known(A, Loops()))


async def test_loops_touched_are_fresh(bench, loop_file):
    async with bench(sources(events=False)) as b:
        await b.follow(Loops())
        attach(loop_file)
        b.hub.touched(A, ("loops", "block"))
        assert of(loop_file)(await b.get(Loops()))


async def test_a_sysfs_that_cannot_be_read_is_failed_and_recovers(bench, monkeypatch):
    made = sources(events=False)
    made["loops"]._sysfs = "/nowhere"
    async with bench(made) as b:
        b.hub.follow(A, [Loops()])
        assert await b.get(Loops()) == Failed("/nowhere: No such file or directory")
        made["loops"]._sysfs = loops_module.SYSFS
        assert isinstance(await b.until(Loops(), lambda _: True), tuple)


# --- block devices ---------------------------------------------------------------------------


async def test_a_block_device_by_path_and_by_symlink(bench, loop_file, tmp_path):
    device = attach(loop_file)
    link = tmp_path / "link"
    link.symlink_to(device)
    number = f"7:{device.removeprefix('/dev/loop')}"
    async with bench(sources()) as b:
        assert await b.get(BlockDevice(device)) == Block(device, number, 16 << 20)
        assert await b.get(BlockDevice(str(link))) == Block(device, number, 16 << 20, names=(str(link),))


@pytest.mark.parametrize(
    "path", ["/dev/none", "/dev/null", "/etc/passwd", "/etc/passwd/x", "", "LABEL=nowhere"]
)
async def test_what_is_no_block_device_is_none(bench, path):
    async with bench(sources()) as b:
        assert await b.get(BlockDevice(path)) is None


@pytest.mark.parametrize("name", ["LABEL", "UUID"])
async def test_a_block_device_by_what_it_carries(bench, loop_file, name):
    uuid = "11111111-2222-4333-8444-555555555555"
    sh(f"mkfs.ext4 -q -L 'sf odd' -U {uuid} {loop_file}")
    device = attach(loop_file)
    async with bench(sources()) as b:
        found = await b.get(BlockDevice({"LABEL": "LABEL=sf odd", "UUID": f'UUID="{uuid}"'}[name]))
        assert found is not None
        assert found.path == device


async def test_a_device_that_shrinks_behind_our_back_wakes_who_follows_it(bench, loop_file):
    device = attach(loop_file)
    async with bench(sources()) as b:
        await b.follow(BlockDevice(device))
        sh(f"losetup -d {device}")
        await b.until(BlockDevice(device), lambda block: block is None or block.size == 0, within=1)


async def test_block_without_events_the_periodic_look_notices(bench, loop_file):
    device = attach(loop_file)
    async with bench(sources(events=False, every=0.3), look_every=0.3) as b:
        await b.follow(BlockDevice(device))
        sh(f"truncate -s 32M {loop_file}; losetup -c {device}")
        await b.told(within=1)
        assert b.hub.known(A, BlockDevice(device)).size == 32 << 20


def test_a_label_is_encoded_as_udev_does():
    assert encoded("a b/c#d-e:f@g") == r"a\x20b\x2fc#d-e:f@g"
    assert block_path("LABEL=a b") == r"/dev/disk/by-label/a\x20b"
    assert block_path("/dev/a=b") is None


@pytest.mark.parametrize(
    ("data", "name"),
    [
        pytest.param(
            b"change@/devices/virtual/block/loop0\0ACTION=change\0DEVPATH=/devices/virtual/block/loop0\0"
            b"SUBSYSTEM=block\0MAJOR=7\0MINOR=0\0DEVNAME=loop0\0SEQNUM=823\0",
            "loop0",
            id="the kernel about a block device",
        ),
        pytest.param(
            b"libudev\0\xfe\xed\xca\xfe\x28\0\0\0\x28\0\0\0\x10\0\0\0" + bytes(16) + b"ACTION=add\0"
            b"DEVPATH=/devices/pci0/block/sda/sda1\0SUBSYSTEM=block\0DEVLINKS=/dev/disk/by-label/x\0",
            "sda1",
            id="udev about a partition",
        ),
        pytest.param(b"add@/devices/x\0DEVPATH=/devices/x\0SUBSYSTEM=net\0", "", id="a network card"),
        pytest.param(b"\0\0=\0", "", id="rubbish"),
    ],
)
def test_broadcasts(data, name):
    assert block_name(data) == name


# --- signatures ------------------------------------------------------------------------------


async def test_a_signature_and_that_it_was_wiped(bench, loop_file):
    sh(f"mkfs.ext4 -q -L 'my lab' {loop_file}")
    device = attach(loop_file)
    async with bench(sources()) as b:
        found = await b.get(Signatures(device))
        assert (found.kind, found.usage, found.label, len(found.uuid)) == (
            "ext4",
            "filesystem",
            "my lab",
            36,
        )
        sh(f"wipefs -qa {device}")
        b.hub.touched(A, ("signatures",))
        assert b.hub.known(A, Signatures(device)) is NOT_YET
        assert await b.get(Signatures(device)) == Signature()


async def test_what_was_written_past_our_cache_is_seen(bench, loop_file):
    """Another host writes to a shared disk: here, to the file below the loop device."""
    device = attach(loop_file, "--direct-io=on")
    with open(device, "rb") as held_open:
        held_open.read(1 << 20)
        async with bench(sources()) as b:
            assert await b.get(Signatures(device)) == Signature()
            sh(f"mkswap -q {loop_file}; sync")
            b.hub.touched(A, ("signatures",))
            assert (await b.get(Signatures(device))).kind == "swap"


async def test_a_signature_that_is_written_wakes_who_reads_it(bench, loop_file):
    device = attach(loop_file)
    async with bench(sources()) as b:
        await b.follow(Signatures(device))
        sh(f"mkswap -q {loop_file}; losetup -d {device}")
        again = sh(f"losetup {device} {loop_file} && echo {device}").strip()
        assert (await b.until(Signatures(again), lambda found: found and found.kind == "swap")).uuid


async def test_news_of_another_device_costs_no_look(bench, loop_file, tmp_path):
    """A hundred devices that come one after another must not be probed a hundred times each."""
    device, other = attach(loop_file), tmp_path / "other.img"
    write_new(other, 1 << 20)
    async with bench(sources()) as b:
        for ask in (Signatures(device), BlockDevice(device)):
            await b.get(ask)
        b.hub.follow(A, (Signatures(device), BlockDevice(device)))
        b.hub.follow(B, (Loops(),))
        await b.get(Loops(), B)
        before = {name: seen.looks for name, seen in b.hub.statistics().items()}
        second = attach(other)
        try:
            await b.until(Loops(), of(other), B, within=1)
            after = {name: seen.looks for name, seen in b.hub.statistics().items()}
            assert after["loops"] > before["loops"]
            assert (after["signatures"], after["block"]) == (before["signatures"], before["block"])
        finally:
            sh(f"losetup -d {second}")


async def test_a_device_asked_for_by_a_link_is_looked_at_whatever_is_told(bench, loop_file, tmp_path):
    """The link may lead elsewhere by now."""
    other, link = tmp_path / "other.img", tmp_path / "link"
    write_new(other, 1 << 20)
    link.symlink_to(attach(loop_file))
    async with bench(sources()) as b:
        first = await b.follow(BlockDevice(str(link)))
        (tmp_path / "new").symlink_to(second := attach(other))
        try:
            os.replace(tmp_path / "new", link)
            sh(f"losetup -c {second}; truncate -s 2M {other}; losetup -c {second}")
            found = await b.until(BlockDevice(str(link)), lambda block: block != first, within=1)
            assert found.path == second
        finally:
            sh(f"losetup -d {second}")


def write_new(path, size):
    with open(path, "wb") as file:
        file.truncate(size)


async def test_a_device_with_two_signatures_carries_several(bench, loop_file):
    sh(f"mkfs.ext4 -q {loop_file}")
    write_at(loop_file, 4086, b"SWAPSPACE2")
    write_at(loop_file, 1024, b"\1\0\0\0\0\x10\0\0")
    device = attach(loop_file)
    async with bench(sources()) as b:
        assert await b.get(Signatures(device)) == Signature("several")


async def test_a_partition_table_is_a_signature(bench, loop_file):
    one_of_linux = bytes((0, 0, 1, 0, 0x83, 0, 2, 0)) + (2048).to_bytes(4, "little") * 2
    write_at(loop_file, 440, b"abcd\0\0" + one_of_linux + bytes(48) + b"\x55\xaa")
    async with bench(sources()) as b:
        assert await b.get(Signatures(attach(loop_file))) == Signature("dos", "partitions", uuid="64636261")


def write_at(path, place, data):
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(data)


async def test_a_device_that_is_not_there_is_none_and_one_without_size_is_not_blank(bench, loop_file):
    device = attach(loop_file)
    sh(f"losetup -d {device}")
    async with bench(sources()) as b:
        assert await b.get(Signatures("/dev/none")) is None
        assert await b.get(Signatures("/dev/null")) is None
        answer = await b.get(Signatures(device))
        assert answer == Failed(f"{device} has no size: nothing is attached to it")


@pytest.mark.parametrize(
    "make",
    [
        pytest.param("mkfs.ext4 -q -L 'a b' {}", id="ext4, a blank in its label"),
        pytest.param("mkfs.ext2 -q {}", id="ext2"),
        pytest.param("mkfs.xfs -q -L data {}", id="xfs"),
        pytest.param("mkfs.btrfs -q {}", id="btrfs"),
        pytest.param("mkswap -q {}", id="swap"),
        pytest.param("pvcreate -q --config 'devices{{filter=[\"a|.*|\"]}}' {}", id="a physical volume"),
        pytest.param("true", id="nothing"),
    ],
)
async def test_a_signature_is_what_blkid_says_it_is(bench, tmp_path, make):
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(320 << 20)  # the least that xfs takes
    device = attach(image)
    try:
        sh(make.format(device))
        said = sh(
            f"blkid -p -o value -s TYPE -s PTTYPE -s USAGE -s LABEL -s UUID -s PTUUID {device} || true"
        )
        async with bench(sources()) as b:
            found = await b.get(Signatures(device))
        seen = {found.kind, found.label, found.uuid, found.usage} - {"", "partitions"}
        assert seen == set(said.splitlines())
    finally:
        sh(f"losetup -d {device}")


async def test_the_library_missing_says_what_to_install(bench, loop_file, monkeypatch):
    device = attach(loop_file)
    blkid._library.cache_clear()
    async with bench(sources()) as b:
        with monkeypatch.context() as patched:
            patched.setattr(blkid, "LIBRARY", "libnone.so.1")
            answer = await b.get(Signatures(device))
        assert answer == Failed("libnone.so.1 is not installed: apt install libblkid1")
    async with bench(sources()) as b:
        assert await b.get(Signatures(device)) == Signature()


async def test_a_disk_that_hangs_is_failed_not_blank(bench, loop_file, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(signatures_module, "_LIMIT", 0.3)
    monkeypatch.setattr(signatures_module, "read", lambda path: release.wait(10))
    try:
        async with bench(sources()) as b:
            assert await b.get(Signatures("/dev/x")) == Failed("/dev/x did not answer within 0.3 s")
    finally:
        release.set()
