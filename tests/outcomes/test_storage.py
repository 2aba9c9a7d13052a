"""What happens to disks and filesystems: taken away, busy, broken, full, not ours, not answering."""

import subprocess
from hashlib import sha256

from reconciler.engine import attempts
from tests import kernel
from tests.outcomes.frozen import frozen

pytestmark = kernel.needs_root


def stack(bed, **more):
    """A filesystem on a loop device, made where missing."""
    return {
        "disk#0": {"type": "loop", "file": f"{bed.root}/disk.img", "size": "16MiB"},
        "fs#data": {"type": "ext4", "dev": "{disk#0.exposed_devs[0]}", "mnt": f"{bed.root}/data", **more},
    }


async def test_device_missing(bed):
    image = bed.image()
    bed.run(f"mkfs.ext4 -q {image}; ln -s /dev/loop-of-nobody {bed.root}/device")
    disk = {"type": "raw", "devs": [f"{bed.root}/device"]}
    data = {"type": "ext4", "dev": "{disk#0.devs[0]}", "mnt": f"{bed.root}/data"}
    bed.write("db", {"disk#0": disk, "fs#data": data})
    address = {"type": "host", "name": "10.84.0.10/24", "dev": "br1", "check_carrier": False}
    bed.write("web", {"ip#0": address})
    async with bed.agent(look_every=1) as agent:
        await agent.until(lambda: agent.stalled("db") == agent.stalled("web") == "Blocked")
        assert f"device {bed.root}/device does not exist" in agent.condition("db", "Stalled")["message"]
        assert "device br1 does not exist" in agent.condition("web", "Stalled")["message"]
        assert agent.operations("db", ok=None) + agent.operations("web", ok=None) == []
        device = bed.run(f"losetup -f --show {image}")
        bed.run(f"ln -sfn {device} {bed.root}/device; ip link add br1 type bridge; ip link set br1 up")
        await agent.up("db")
        await agent.up("web")
        bed.run("ip link del br1")  # and its address with it
        await agent.until(lambda: agent.stalled("web") == "Blocked")
        bed.run("ip link add br1 type bridge; ip link set br1 up")
        await agent.up("web")
        await agent.stopped("db")


async def test_filesystem_unmounted(bed):
    app = {"type": "simple", "start": "sleep 1000", "environment": {"WHERE": "{fs#data.mnt}"}}
    bed.write("db", {**stack(bed), "app#0": app})
    async with bed.agent() as agent:
        await agent.up("db")
        (bed.root / "data/file").write_text("precious")
        done, (program,) = len(agent.operations("db")), bed.programs("db", "app#0")
        bed.run(f"umount {bed.root}/data")
        await agent.until(lambda: bed.mounts() == [f"{bed.root}/data"], within=1)
        # What was started on the earlier mount is started anew on this one.
        await agent.until(lambda: bed.programs("db", "app#0") not in ([], [program]))
        await agent.up("db")
        assert (bed.root / "data/file").read_text() == "precious"
        assert [line.split()[0] for line in agent.operations("db")[done:]] == [
            "e2fsck",
            "mount",
            "kill",
            "sleep",
        ]


async def test_unmounted_and_loop_detached(bed):
    bed.write("db", stack(bed))
    async with bed.agent() as agent:
        await agent.up("db")
        (bed.root / "data/file").write_text("precious")
        bed.run(f"umount {bed.root}/data; losetup -d {bed.loops()[0]}")
        await agent.until(lambda: bed.mounts() and bed.loops(), within=2)
        await agent.up("db")
        assert (bed.root / "data/file").read_text() == "precious"
        assert not any("mkfs" in line for line in agent.operations("db")[5:])


async def test_loop_detached_while_mounted(bed):
    bed.write("db", stack(bed))
    async with bed.agent(look_every=1) as agent:
        await agent.up("db")
        done = len(agent.operations("db"))
        bed.run(f"losetup -d {bed.loops()[0]}")  # the kernel defers it to the last close
        await agent.until(lambda: "somebody detached" in agent.notes("db", "disk#0"))
        assert agent.is_ready("db")
        assert agent.operations("db", ok=None)[done:] == []
        await agent.stopped("db")
        assert (bed.mounts(), bed.loops()) == ([], [])
        assert agent.operations("db", ok=False) == []


async def test_busy_umount(bed):
    bed.write("db", {"fs#a": {"type": "tmpfs", "mnt": f"{bed.root}/a"}})
    bed.write("other", {"fs#b": {"type": "tmpfs", "mnt": f"{bed.root}/b"}})
    async with bed.agent() as agent:
        await agent.up("db")
        await agent.up("other")
        # Somebody's shell stands in it: that is ended.
        with subprocess.Popen(["sleep", "1000"], cwd=bed.root / "a") as holder:
            await agent.stopped("db")
            assert holder.wait() < 0
        assert f"{bed.root}/a" not in bed.mounts()
        # Somebody mounted something on it: that is not ours to take away.
        bed.run(f"mkdir {bed.root}/b/inner; mount -t tmpfs theirs {bed.root}/b/inner")
        await agent.ask("other", "stop")
        await agent.until(lambda: agent.stalled("other") == "StopStuck")
        message = agent.condition("other", "Stalled")["message"]
        assert f"{bed.root}/b/inner is mounted on it" in message
        assert "standfast stop --force" in message
        bed.run(f"umount {bed.root}/b/inner")
        await agent.until(lambda: agent.is_ready("other"))
        assert bed.mounts() == []


async def test_fsck_failure(bed):
    image = bed.image()
    bed.run(f"mkfs.ext4 -q {image}; debugfs -w -R 'clri <2>' {image} 2>&1")
    bed.write("db", stack(bed, restart=1, restart_delay="100ms"))
    async with bed.agent() as agent:
        await agent.until(lambda: agent.stalled("db") == "StartFailed")
        await agent.until(lambda: bed.loops() == [])  # what the start had activated is rolled back
        await agent.until(lambda: agent.condition("db", "Ready")["reason"] == "Down")
        assert "e2fsck -p" in agent.condition("db", "Stalled")["message"]
        assert "RUN fsck MANUALLY" in agent.condition("db", "Stalled")["message"]
        assert len(agent.operations("db", "fs#data", ok=False)) == 2  # once, and its one restart
        assert bed.mounts() == []
        subprocess.run(["e2fsck", "-y", str(image)], capture_output=True, check=False)
        await agent.ask("db", "clear")
        await agent.up("db")


async def test_device_with_a_foreign_signature(bed):
    image = bed.image()
    bed.run(f"mkswap {image}")
    before = sha256(image.read_bytes()).digest()
    bed.write("db", stack(bed))
    async with bed.agent(look_every=1) as agent:
        await agent.until(lambda: agent.stalled("db") == "Blocked")
        message = agent.condition("db", "Stalled")["message"]
        assert "carries swap, not ext4" in message
        assert "wipefs -a" in message
        assert await agent.idle("db", 1.5) == []
        assert sha256(image.read_bytes()).digest() == before
        bed.run(f"wipefs -a {bed.loops()[0]}")
        await agent.up("db")
        assert bed.mounts() == [f"{bed.root}/data"]


async def test_disk_full(bed, monkeypatch):
    monkeypatch.setattr(attempts, "START_FAILED_FIRST", 1.5)
    full = bed.root / "full"
    bed.run(
        f"mkdir {full}; mount -t tmpfs -o size=64k,nr_inodes=4 small {full}; touch {full}/1 {full}/3"
        f"; truncate -s 16M {full}/2"
    )
    flag = {"type": "flag", "path": f"{full}/flag", "restart": 1, "restart_delay": "100ms"}
    bed.write("web", {"fs#a": {"type": "tmpfs", "mnt": f"{bed.root}/a"}, "fs#flag": flag})
    # And a disk on it, which can be promised but not written.
    disk = {"type": "loop", "file": f"{full}/2", "size": "16MiB"}
    data = {"type": "ext4", "dev": "{disk#0.exposed_devs[0]}", "mnt": f"{bed.root}/data", "restart": 0}
    bed.write("db", {"disk#0": disk, "fs#data": data})
    async with bed.agent() as agent:
        await agent.until(lambda: agent.stalled("web") == agent.stalled("db") == "StartFailed")
        assert "No space left on device" in agent.condition("web", "Stalled")["message"]
        assert "mkfs.ext4" in agent.condition("db", "Stalled")["message"]
        await agent.until(lambda: bed.mounts() == [str(full)] and bed.loops() == [])  # rolled back
        bed.run(f"rm {full}/1; mount -o remount,size=64m {full}")
        for name in ("web", "db"):  # by itself: a new start follows
            await agent.up(name)


async def test_hung_mount(bed):
    with frozen(bed.root / "server") as server:
        bind = {
            "type": "bind",
            "dev": str(server.target),
            "mnt": f"{bed.root}/data",
            "stat_timeout": "500ms",
        }
        bed.write("db", {"fs#data": bind, "app#0": {"type": "simple", "start": "sleep 1000"}})
        async with bed.agent(look_every=1) as agent:
            await agent.up("db")
            server.freeze()
            await agent.until(lambda: agent.state("db", "fs#data") == "unknown")
            assert "did not answer within 0.5 s" in agent.notes("db", "fs#data")
            assert agent.stalled("db") == "CannotLook"
            assert agent.condition("db", "Ready")["status"] == "Unknown"
            (program,) = bed.programs("db")
            assert await agent.idle("db", 1) == []  # nothing is done on a guess
            server.thaw()
            await agent.up("db")
            assert bed.programs("db") == [program]
            server.freeze()
            await agent.until(lambda: agent.state("db", "fs#data") == "unknown")
            await agent.ask("db", "stop")
            await agent.until(lambda: agent.stalled("db") == "StopStuck")  # not silently left behind
            assert "it does not answer" in agent.condition("db", "Stalled")["message"]
            assert len(bed.mounts()) == 2
            server.thaw()
            await agent.ask("db", "stop", force=True)  # not to wait for the next try
            await agent.until(lambda: agent.is_ready("db"))
            assert bed.mounts() == [str(server.target)]
