"""Mounts, loop devices and files on the real kernel, in a mount namespace."""

import asyncio
import contextlib
import os
import subprocess
import threading

import pytest

from reconciler.adapters import loopdev, mounting, unmounting
from reconciler.operations import (
    AttachLoop,
    CreateImage,
    DetachLoop,
    Exec,
    MakeDirectory,
    Mount,
    RemoveDirectory,
    RemoveFile,
    Unmount,
    WriteFile,
)
from tests import kernel
from tests.kernel import run

pytestmark = kernel.needs_root


@pytest.fixture
def place(world, tmp_path):
    there = tmp_path / "mnt"
    there.mkdir()
    return there


@pytest.fixture
def image(world):
    with kernel.image(16) as path:
        yield path


@pytest.fixture
def ext4(image):
    run(f"mkfs.ext4 -q {image}")
    device = run(f"losetup -f --show {image}")
    yield device
    with contextlib.suppress(AssertionError):
        run(f"umount {device}")


def mounted(path) -> str:
    there = mounting.on_top(str(path))
    return f"{there.fstype} {','.join(sorted(there.options))}" if there else ""


@contextlib.contextmanager
def process(command, **more):
    """A process of a stranger, that has said that it is there."""
    started = subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, text=True, **more)
    try:
        assert started.stdout.readline() == "there\n"
        yield started
    finally:
        started.kill()
        started.wait()
        started.stdout.close()


# --- mounts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fstype", "options", "shown"),
    [
        pytest.param("tmpfs", "", "tmpfs relatime,rw", id="plain"),
        pytest.param("tmpfs", "size=1m,mode=700", "tmpfs relatime,rw", id="data for the filesystem"),
        pytest.param(
            "tmpfs", "ro,nosuid,nodev,noexec", "tmpfs nodev,noexec,nosuid,relatime,ro", id="flags"
        ),
        pytest.param(
            "tmpfs", "noatime,_netdev,nofail,x-systemd.device-timeout=3", "tmpfs noatime,rw", id="hints"
        ),
        pytest.param("tmpfs", "ro,rw", "tmpfs relatime,rw", id="the last word counts"),
        pytest.param("tmpfs", "x-mount.mkdir", "tmpfs relatime,rw", id="by mount(8)"),
        pytest.param("bind", "", "ext4 relatime,rw", id="bind"),
        pytest.param("bind", "ro,nodev", "ext4 nodev,relatime,ro", id="bind read-only"),
    ],
)
async def test_mount_comes_and_goes(world, place, tmp_path, fstype, options, shown):
    source = tmp_path / "source"
    source.mkdir()
    if fstype == "bind":
        shown = shown.replace("ext4", mounting.on_top(run(f"findmnt -no TARGET -T {source}")).fstype)
    operation = Mount(str(source) if fstype == "bind" else "none", str(place), fstype, options)
    for _ in range(2):
        await world.works(operation)
    assert mounted(place) == shown
    for _ in range(2):
        await world.works(Unmount(str(place)))
    assert mounted(place) == ""


async def test_mount_of_a_loop_device_twice(world, place, ext4):
    for _ in range(2):
        await world.works(Mount(ext4, str(place), "ext4", "noatime,errors=remount-ro"))
    assert len([m for m in mounting.table() if m.target == str(place)]) == 1


async def test_mount_by_uuid(world, place, ext4):
    uuid = run(f"blkid -p -s UUID -o value {ext4}")
    outcome = await world.do(Mount(f"UUID={uuid}", str(place), "ext4"))
    if not outcome.ok:
        pytest.skip(f"no udev, and blkid does not find it here: {outcome.error}")
    assert mounted(place).startswith("ext4")


@pytest.mark.parametrize(
    ("source", "fstype", "options", "part"),
    [
        pytest.param("/dev/nosuch", "ext4", "", "/dev/nosuch does not exist", id="no such device"),
        pytest.param("none", "nosuchfs", "", "no filesystem nosuchfs", id="no such filesystem"),
        pytest.param("none", "tmpfs", "size=lots", "bad option", id="bad option"),
        pytest.param("/etc/passwd", "ext4", "", "not a block device", id="not a device"),
    ],
)
async def test_mount_error_says_what_is_wrong(world, place, source, fstype, options, part):
    operation = Mount(source, str(place), fstype, options)
    outcome = await world.do(operation)
    assert not outcome.ok
    assert outcome.error.startswith(f"{operation}: ")
    assert part in outcome.error


async def test_mount_of_an_empty_device(world, place, image):
    device = run(f"losetup -f --show {image}")
    outcome = await world.do(Mount(device, str(place), "ext4"))
    assert f"damaged superblock on {device}" in outcome.error


async def test_mount_on_a_missing_mount_point(world, tmp_path):
    outcome = await world.do(Mount("none", str(tmp_path / "nosuch"), "tmpfs"))
    assert "does not exist" in outcome.error


async def test_foreign_mount_in_the_way_is_left_alone(world, place, ext4):
    run(f"mount -t tmpfs somebody {place}")
    outcome = await world.do(Mount(ext4, str(place), "ext4"))
    assert "somebody (tmpfs) is mounted on" in outcome.error
    assert mounted(place).startswith("tmpfs")


async def test_mount_that_hangs_costs_its_own_time_limit_only(world, place, monkeypatch):
    let_go = threading.Event()
    monkeypatch.setattr(mounting, "mount", lambda operation: let_go.wait(20))
    try:
        first = asyncio.create_task(world.do(Mount("none", str(place), "tmpfs", timeout=0.3)))
        await asyncio.sleep(0.05)
        other = await world.works(WriteFile(str(place / "flag")))
        assert other.seconds < 0.2
        outcome = await first
        assert "no answer from the kernel" in outcome.error
        assert 0.25 < outcome.seconds < 1
        again = await world.do(Mount("none", str(place), "tmpfs", timeout=0.1))
        assert "an earlier call" in again.error
    finally:
        let_go.set()
    await world.works(Mount("none", str(place), "tmpfs", timeout=5))


async def test_hung_mounts_do_not_use_up_all_threads_of_others(world, place, monkeypatch):
    let_go = threading.Event()
    monkeypatch.setattr(mounting, "already", lambda operation: let_go.wait(20))
    try:
        hung = [
            asyncio.create_task(world.do(Mount("none", f"/nosuch/{n}", "tmpfs", timeout=0.5)))
            for n in range(40)
        ]
        await asyncio.sleep(0)
        await world.works(WriteFile(str(place / "flag")))
        for outcome in await asyncio.gather(*hung):
            assert "no answer from the kernel" in outcome.error
    finally:
        let_go.set()


# --- unmounting ----------------------------------------------------------------------------

MAPPER = """
import ctypes, sys, time
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
with open(sys.argv[1], "w+b") as file:
    file.truncate(4096)
    at = libc.mmap(None, ctypes.c_size_t(4096), 3, 1, file.fileno(), ctypes.c_long(0))
    assert at not in (None, 2**64 - 1)
print("there", flush=True)
time.sleep(60)
"""
HOLDERS = [
    pytest.param("cd {mnt} && echo there && exec sleep 60", id="a shell stands in it"),
    pytest.param("exec 5>{mnt}/open; echo there; exec sleep 60", id="a file is open"),
    pytest.param("trap '' TERM; cd {mnt} && echo there; while :; do sleep 60; done", id="ignores SIGTERM"),
    pytest.param("cp /bin/sh {mnt}/; exec {mnt}/sh -c 'echo there; sleep 60; :'", id="its program runs"),
    pytest.param("exec python3 {mapper} {mnt}/mapped", id="a file is mapped, and not open"),
]


@pytest.mark.parametrize("holder", HOLDERS)
async def test_busy_mount_is_freed_of_its_holder(world, place, tmp_path, holder, monkeypatch):
    if "trap" in holder:
        monkeypatch.setattr(unmounting, "GRACE", 0.2)
    mapper = tmp_path / "mapper.py"
    mapper.write_text(MAPPER)
    run(f"mount -t tmpfs none {place}")
    with process(holder.format(mnt=place, mapper=mapper)) as started:
        outcome = await world.works(Unmount(str(place)))
        assert "who held" in outcome.output
        assert mounted(place) == ""
        assert str(started.pid) in outcome.output
        assert started.wait(5) != 0


async def test_busy_mount_is_not_freed_unless_asked(world, place):
    run(f"mount -t tmpfs none {place}")
    with process(f"cd {place} && echo there && exec sleep 60") as started:
        outcome = await world.do(Unmount(str(place), evict=False))
        assert f"busy: held by {started.pid} (sleep)" in outcome.error
        assert started.poll() is None
        assert mounted(place)


async def test_users_of_the_same_filesystem_elsewhere_are_left_alone(world, place, tmp_path):
    """A bind mount has the device of what it shows a part of."""
    source = tmp_path / "source"
    source.mkdir()
    run(f"mount --bind {source} {place}")
    with (
        process(f"cd {source} && echo there && exec sleep 60") as stranger,
        process(f"cd {place} && echo there && exec sleep 60") as holder,
    ):
        outcome = await world.works(Unmount(str(place)))
        assert str(holder.pid) in outcome.output
        assert str(stranger.pid) not in outcome.output
        assert stranger.poll() is None


async def test_ourselves_are_never_ended(world, place):
    run(f"mount -t tmpfs none {place}")
    with open(place / "mine", "w"):
        outcome = await world.do(Unmount(str(place)))
    assert "which started us or is us" in outcome.error
    assert str(os.getpid()) in outcome.error


async def test_mount_with_another_on_it_says_which(world, place):
    run(f"mount -t tmpfs none {place} && mkdir {place}/sub && mount -t tmpfs none {place}/sub")
    outcome = await world.do(Unmount(str(place)))
    assert f"{place}/sub is mounted on it" in outcome.error


async def test_mount_that_holds_the_file_of_a_loop_device_says_which(world, place):
    run(f"mount -t tmpfs none {place}")
    with kernel.image(4, directory=place) as path:
        device = run(f"losetup -f --show {path}")
        outcome = await world.do(Unmount(str(place)))
        assert f"the file of {device} is on it" in outcome.error


async def test_mount_point_reached_by_a_symlink(world, place, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    await world.works(Mount("none", f"{tmp_path}/link/mnt", "tmpfs"))
    assert mounted(place)
    await world.works(Unmount(f"{tmp_path}/link/mnt"))
    assert mounted(place) == ""


async def test_what_is_not_there_is_unmounted(world, tmp_path):
    await world.works(Unmount(str(tmp_path / "nosuch")))


# --- loop devices --------------------------------------------------------------------------


async def test_loop_device_comes_and_goes(world, image):
    first = await world.works(AttachLoop(str(image)))
    again = await world.works(AttachLoop(str(image)))
    device = first.values["device"]
    assert again.values["device"] == device
    assert kernel.loops_of(image) == [device]
    for _ in range(2):
        await world.works(DetachLoop(device, str(image)))
    assert kernel.loops_of(image) == []


async def test_loop_devices_of_two_parts_of_one_file(world, image):
    half = 8 * 1024 * 1024
    a = await world.works(AttachLoop(str(image), sizelimit=half))
    b = await world.works(AttachLoop(str(image), offset=half))
    assert a.values["device"] != b.values["device"]
    for outcome in (a, b):
        assert run(f"blockdev --getsize64 {outcome.values['device']}") == str(half)


async def test_loop_devices_asked_for_all_at_once(world):
    with contextlib.ExitStack() as stack:
        images = [stack.enter_context(kernel.image(1)) for _ in range(6)]
        found = await asyncio.gather(*(world.works(AttachLoop(str(image))) for image in images))
        assert len({outcome.values["device"] for outcome in found}) == 6


async def test_loop_device_in_use_is_busy_and_attached_again(world, place, ext4, image, monkeypatch):
    monkeypatch.setattr(loopdev, "RELEASE_WITHIN", 0.1)
    run(f"mount {ext4} {place}")
    outcome = await world.do(DetachLoop(ext4, str(image)))
    assert f"busy: mounted on {place}" in outcome.error
    assert (await world.works(AttachLoop(str(image)))).values["device"] == ext4
    run(f"umount {place}")
    assert kernel.loops_of(image) == [ext4]
    await world.works(DetachLoop(ext4, str(image)))
    assert kernel.loops_of(image) == []


async def test_loop_device_open_in_a_process_names_it(world, image, monkeypatch):
    monkeypatch.setattr(loopdev, "RELEASE_WITHIN", 0.1)
    device = (await world.works(AttachLoop(str(image)))).values["device"]
    with process(f"exec 5<{device}; echo there; exec sleep 60") as holder:
        outcome = await world.do(DetachLoop(device, str(image)))
        assert f"open in {holder.pid} (sleep)" in outcome.error
    await world.works(DetachLoop(device, str(image)))
    assert kernel.loops_of(image) == []


async def test_loop_device_is_detached_only_from_the_file_named(world, image):
    device = (await world.works(AttachLoop(str(image)))).values["device"]
    with kernel.image(1) as other:
        await world.works(DetachLoop(device, str(other)))
    assert kernel.loops_of(image) == [device]


async def test_loop_device_whose_file_was_deleted(world, image):
    device = (await world.works(AttachLoop(str(image)))).values["device"]
    image.unlink()
    await world.works(DetachLoop(device, str(image)))
    assert not os.path.exists(f"/sys/class/block/{os.path.basename(device)}/loop/backing_file")


async def test_loop_device_whose_file_was_replaced_by_another(world, image, tmp_path):
    device = (await world.works(AttachLoop(str(image)))).values["device"]
    restored = tmp_path / "restored"
    restored.write_bytes(bytes(1 << 20))
    restored.rename(image)
    await world.works(DetachLoop(device, str(image)))
    assert not os.path.exists(f"/sys/class/block/{os.path.basename(device)}/loop/backing_file")


async def test_loop_device_of_a_missing_file(world, tmp_path):
    outcome = await world.do(AttachLoop(str(tmp_path / "nosuch")))
    assert "No such file" in outcome.error


async def test_mkfs_only_on_a_blank_device(world, image):
    device = (await world.works(AttachLoop(str(image)))).values["device"]
    mkfs = Exec(("mkfs.ext4", "-q", device), blank=device)
    await world.works(mkfs)
    before = run(f"blkid -p -s UUID -o value {device}")
    outcome = await world.do(mkfs)
    assert "is not empty" in outcome.error
    assert "TYPE=ext4" in outcome.error
    assert run(f"blkid -p -s UUID -o value {device}") == before


@pytest.mark.parametrize(
    ("device", "part"),
    [
        pytest.param("/dev/nosuch", "No such file", id="missing"),
        pytest.param("/etc/hostname/x", "Not a directory", id="no device at all"),
    ],
)
async def test_blank_means_looked_at(world, device, part, tmp_path):
    outcome = await world.do(Exec(("touch", str(tmp_path / "ran")), blank=device))
    assert part in outcome.error
    assert not (tmp_path / "ran").exists()


async def test_device_in_use_is_not_blank(world, place, ext4, tmp_path):
    run(f"mount {ext4} {place}")
    outcome = await world.do(Exec(("touch", str(tmp_path / "ran")), blank=ext4))
    assert "busy" in outcome.error
    assert not (tmp_path / "ran").exists()


# --- files ---------------------------------------------------------------------------------


async def test_file_is_written_by_rename_and_removed(world, tmp_path):
    path = tmp_path / "a" / "b" / "file"
    for content in ("one", "two", "two", ""):
        await world.works(WriteFile(str(path), content))
        assert path.read_text() == (content or "two"), "an empty content only makes the file"
    assert os.listdir(path.parent) == ["file"]
    for _ in range(2):
        await world.works(RemoveFile(str(path)))
    assert not path.exists()


async def test_full_disk_leaves_the_old_content_and_no_litter(world, place):
    run(f"mount -t tmpfs -o size=8k none {place}")
    await world.works(WriteFile(str(place / "file"), "old"))
    run(f"dd if=/dev/zero of={place}/filler bs=1k count=8 2>/dev/null || true")
    outcome = await world.do(WriteFile(str(place / "file"), "new" * 2000))
    assert "No space left" in outcome.error
    assert (place / "file").read_text() == "old"
    assert sorted(os.listdir(place)) == ["file", "filler"]


async def test_file_where_a_directory_is(world, tmp_path):
    outcome = await world.do(WriteFile(str(tmp_path)))
    assert "directory" in outcome.error
    assert not (await world.do(RemoveFile(str(tmp_path)))).ok


async def test_directory_with_owner_and_mode(world, tmp_path):
    path = tmp_path / "a" / "b"
    await world.works(MakeDirectory(str(path)))
    for _ in range(2):
        await world.works(MakeDirectory(str(path), mode="2770", user="nobody", group="daemon"))
    assert run(f"stat -c '%a %U %G' {path}") == "2770 nobody daemon"


@pytest.mark.parametrize(
    ("operation", "part"),
    [
        pytest.param(MakeDirectory("/etc/passwd"), "File exists", id="a file is there"),
        pytest.param(MakeDirectory("/tmp", user="nosuchuser"), "no user 'nosuchuser'", id="unknown user"),
        pytest.param(RemoveDirectory("/", contents=True), "belongs to the system", id="root"),
        pytest.param(RemoveDirectory("/usr/../etc/", True), "belongs to the system", id="a detour"),
        pytest.param(RemoveDirectory("/etc"), "belongs to the system", id="not even when empty"),
    ],
)
async def test_directory_refused(world, operation, part):
    outcome = await world.do(operation)
    assert part in outcome.error


async def test_directory_removed_only_empty_unless_asked(world, tmp_path):
    top = tmp_path / "top"
    (top / "sub").mkdir(parents=True)
    (top / "sub" / "file").write_text("x")
    (top / "link").symlink_to("/etc")
    assert "not empty" in (await world.do(RemoveDirectory(str(top)))).error
    for _ in range(2):
        await world.works(RemoveDirectory(str(top), contents=True))
    assert not top.exists()
    assert os.path.exists("/etc/passwd")


@pytest.mark.parametrize("bind", [True, False], ids=["bind of the same filesystem", "another filesystem"])
async def test_directory_with_a_mount_in_it_loses_nothing(world, tmp_path, bind):
    top, precious = tmp_path / "top", tmp_path / "precious"
    (top / "sub").mkdir(parents=True)
    (top / "file").write_text("x")
    precious.mkdir()
    if not bind:
        run(f"mount -t tmpfs none {precious}")
    (precious / "data").write_text("x")
    run(f"mount --bind {precious} {top / 'sub'}")
    outcome = await world.do(RemoveDirectory(str(top), contents=True))
    assert "is mounted there" in outcome.error
    assert (precious / "data").exists()
    assert (top / "file").exists()


async def test_symlink_to_a_directory_is_not_removed_through(world, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "data").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert not (await world.do(RemoveDirectory(str(tmp_path / "link"), contents=True))).ok
    assert (tmp_path / "real" / "data").exists()


async def test_image_is_sparse_and_never_overwritten(world, tmp_path):
    path = tmp_path / "image"
    operation = CreateImage(str(path), 64 * 1024 * 1024)
    for _ in range(2):
        await world.works(operation)
    assert path.stat().st_size == 64 * 1024 * 1024
    assert path.stat().st_blocks == 0
    run(f"mkfs.ext4 -q {path}")
    outcome = await world.do(operation)
    assert "has content" in outcome.error
    assert run(f"blkid -p -s TYPE -o value {path}") == "ext4"


async def test_image_half_made_is_finished(world, tmp_path):
    (tmp_path / "image").touch()
    await world.works(CreateImage(str(tmp_path / "image"), 4096))
    assert (tmp_path / "image").stat().st_size == 4096
