"""What every host does with an operation, and what is seen after it: the real one, and the simulated one.

A simulated host is worth what it has in common with a real one: each test here runs on both.
"""

import asyncio
import contextlib
import os
import signal
import subprocess

import pytest

from reconciler.adapters.facts import standard_sources
from reconciler.adapters.facts.hub import Hub
from reconciler.asks import (
    Addresses,
    AddressHeld,
    BlockDevice,
    File,
    Links,
    Loops,
    Mounts,
    NodeSeen,
    Program,
    Routes,
    Signatures,
)
from reconciler.model import Owner
from reconciler.operations import (
    AddAddress,
    AddRoute,
    Announce,
    AttachLoop,
    CreateImage,
    DeleteAddress,
    DeleteRoute,
    DetachLoop,
    Exec,
    MakeDirectory,
    Mount,
    ProbeAddress,
    Remember,
    RemoveDirectory,
    RemoveFile,
    SetLinkUp,
    Spawn,
    Terminate,
    Unmount,
    WriteFile,
)
from reconciler.settings import Settings
from reconciler.testing.kernel import SimKernel
from tests import kernel
from tests.host.conftest import WEB, World
from tests.kernel import run

MIB = 1 << 20


class There:
    """What both have: do an operation, ask a question, and arrange what others do on the host."""

    place: str  # a directory for a test

    async def do(self, operation, owner=WEB):
        raise NotImplementedError  # each host has its own

    async def works(self, operation, owner=WEB):
        outcome = await self.do(operation, owner)
        assert outcome.ok, outcome
        assert not outcome.error
        return outcome

    async def fails(self, operation, *parts, owner=WEB):
        outcome = await self.do(operation, owner)
        assert not outcome.ok, outcome
        assert outcome.error.startswith(f"{operation}: "), outcome
        for part in parts:
            assert part in outcome.error, outcome
        return outcome

    async def disk(self):
        """A blank image of 16 MiB on a loop device; its path."""
        path = f"{self.place}/image"
        await self.works(CreateImage(path, 16 * MIB))
        return (await self.works(AttachLoop(path))).values["device"]

    async def mounted(self):
        """By target, what this test has mounted."""
        return {m.target: m for m in await self.fact(Mounts()) if m.target.startswith(self.place)}


class Real(There):
    def __init__(self, world, place, hub, peer):
        self.world, self.place, self.hub, self.peer = world, str(place), hub, peer
        self.dev = "eth0"

    async def do(self, operation, owner=WEB):
        try:
            return await self.world.do(operation, owner)
        finally:
            self.hub.touched(owner, operation.touches)

    async def fact(self, ask, owner=WEB):
        self.hub.touched(owner, [ask.source])
        async with asyncio.timeout(10):
            await self.hub.answer(owner, [ask])
        return self.hub.known(owner, ask)

    def answered(self, address):
        self.peer.run(f"ip addr add {address} dev {self.peer.its_dev} {'nodad' if ':' in address else ''}")

    def down(self):
        run(f"ip link set {self.dev} down")

    @contextlib.contextmanager
    def holder(self, directory):
        """A stranger's process that stands in it; its pid."""
        with subprocess.Popen(
            ["sh", "-c", f"cd {directory} && echo there && exec sleep 60"],
            stdout=subprocess.PIPE,
            text=True,
        ) as started:
            try:
                assert started.stdout.readline() == "there\n"
                yield started.pid
            finally:
                started.kill()

    def kill(self, pid):
        os.kill(pid, signal.SIGKILL)

    def read(self, path):
        with open(path) as file:
            return file.read()


class Simulated(There):
    dev = "br0"

    def __init__(self):
        self.kernel, self.place = SimKernel("n1"), "/tmp/place"
        self.kernel.storage.root.make_directory("tmp/place")

    async def do(self, operation, owner=WEB):
        return await self.kernel.perform(operation, owner)

    async def fact(self, ask, owner=WEB):
        return await self.kernel.answer(ask, owner)

    def answered(self, address):
        self.kernel.network.wire.strangers[address.partition("/")[0]] = "02:00:00:00:00:99"

    def down(self):
        link = self.kernel.network.links[self.dev]
        self.kernel.network.link(self.dev, link.mac, up=False)

    @contextlib.contextmanager
    def holder(self, directory):
        process = self.kernel.programs.begin("sleep", stands=directory)
        yield process.pid
        self.kernel.programs.kill(process)

    def kill(self, pid):
        self.kernel.programs.kill(next(p for p in self.kernel.programs.processes if p.pid == pid))

    def read(self, path):
        tree, inner = self.kernel.storage.place(path)
        return tree.find(inner).data.decode()


@pytest.fixture(params=["simulated", pytest.param("real", marks=kernel.needs_root)])
async def there(request, tmp_path):
    if request.param == "simulated":
        yield Simulated()
        return
    with kernel.namespaces(), kernel.neighbour() as peer, contextlib.ExitStack() as stack:
        place = tmp_path / "place"
        place.mkdir()
        settings = Settings(node="n1", state=tmp_path / "state", run=tmp_path / "run", look_every=3600.0)
        world = World(settings)
        node = NodeSeen("n1", "boot", {})
        host, programs = world.host, world.programs
        sources = standard_sources(
            settings, lambda owner: {}, node, programs, host.run_check, programs.runner.starter
        )
        hub = Hub(settings, lambda service: None, sources)
        await hub.start()
        stack.callback(_tidy, place)
        try:
            yield Real(world, place, hub, peer)
        finally:
            await hub.close()
            await world.end()


def _tidy(place):
    with open("/proc/mounts") as table:
        targets = [line.split()[1] for line in table if str(place) in line]
    for target in reversed(targets):
        subprocess.run(["umount", "-l", target], check=False)
    if (place / "image").exists():
        for device in kernel.loops_of(place / "image"):
            subprocess.run(["losetup", "-d", device], check=False)


# --- network -------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["192.0.2.10/24", "192.0.2.10/32", "2001:db8::10/64"])
async def test_an_address_comes_and_goes_once_or_twice(there, address):
    ip, prefix = address.split("/")
    for _ in range(2):
        await there.works(AddAddress(address, there.dev))
    held = await there.fact(AddressHeld(ip))
    assert [(a.ip, a.prefix, a.dev, a.duplicate) for a in held] == [(ip, int(prefix), there.dev, False)]
    assert held[0] in await there.fact(Addresses(there.dev))
    for _ in range(2):
        await there.works(DeleteAddress(address, there.dev))
    assert await there.fact(AddressHeld(ip)) == ()


async def test_an_address_with_two_prefixes(there):
    """IPv4 has both; IPv6 has an address once."""
    for prefix in (24, 32):
        await there.works(AddAddress(f"192.0.2.10/{prefix}", there.dev))
    assert {a.prefix for a in await there.fact(AddressHeld("192.0.2.10"))} == {24, 32}
    await there.works(DeleteAddress("192.0.2.10/24", there.dev))
    assert {a.prefix for a in await there.fact(AddressHeld("192.0.2.10"))} == {32}
    await there.works(AddAddress("2001:db8::10/64", there.dev))
    await there.fails(AddAddress("2001:db8::10/128", there.dev), "there with prefix /64")


async def test_the_first_address_of_a_subnet_goes_alone(there):
    for last in (10, 11):
        await there.works(AddAddress(f"192.0.2.{last}/24", there.dev))
    await there.works(DeleteAddress("192.0.2.10/24", there.dev))
    assert [a.ip for a in await there.fact(Addresses(there.dev)) if ":" not in a.ip] == ["192.0.2.11"]


async def test_a_label_is_seen(there):
    await there.works(AddAddress("192.0.2.10/24", there.dev, label=f"{there.dev}:web"))
    assert (await there.fact(AddressHeld("192.0.2.10")))[0].label == f"{there.dev}:web"


@pytest.mark.parametrize(
    "operation",
    [
        AddAddress("192.0.2.10/24", "nosuch0"),
        SetLinkUp("nosuch0"),
        AddRoute("198.51.100.0/24", dev="nosuch0"),
        ProbeAddress("192.0.2.10/24", "nosuch0"),
        Announce("192.0.2.10/24", "nosuch0"),
    ],
    ids=lambda operation: type(operation).__name__,
)
async def test_a_device_that_is_not_there(there, operation):
    outcome = await there.fails(operation, "No such device")
    assert not outcome.conflict


async def test_nothing_is_deleted_from_a_device_that_is_not_there(there):
    await there.works(DeleteAddress("192.0.2.10/24", "nosuch0"))
    await there.works(DeleteRoute("198.51.100.0/24", dev="nosuch0"))
    assert await there.fact(Addresses("nosuch0")) == ()


async def test_a_link_is_set_up(there):
    there.down()
    assert not (await there.fact(Links()))[there.dev].up
    await there.fails(ProbeAddress("192.0.2.10/24", there.dev), "down")
    for _ in range(2):
        await there.works(SetLinkUp(there.dev))
    assert (await there.fact(Links()))[there.dev].up


@pytest.mark.parametrize("address", ["192.0.2.10/24", "2001:db8::10/64"])
async def test_a_probe_is_answered_by_another(there, address):
    there.answered(address)
    outcome = await there.do(ProbeAddress(address, there.dev))
    assert (outcome.ok, outcome.conflict) == (False, True)
    assert outcome.error.startswith(f"{address.partition('/')[0]} is answered by 0") or ":" in outcome.error


async def test_a_probe_that_nobody_answers_takes_its_time(there):
    outcome = await there.works(ProbeAddress("192.0.2.10/24", there.dev, within=0.3))
    assert 0.28 < outcome.seconds < 0.8
    assert not outcome.conflict


async def test_a_probe_of_what_is_ours_or_of_loopback_asks_nobody(there):
    await there.works(AddAddress("192.0.2.10/24", there.dev))
    there.answered("192.0.2.10/24")
    outcome = await there.works(ProbeAddress("192.0.2.10/24", there.dev, within=5))
    assert "ours already" in outcome.output
    assert "loopback" in (await there.works(ProbeAddress("192.0.2.11/24", "lo", within=5))).output


@pytest.mark.parametrize(
    "words", [{"via": "192.0.2.1"}, {"dev": ""}, {"via": "192.0.2.1", "table": 1000, "metric": 7}]
)
async def test_a_route_comes_and_goes(there, words):
    words = {**words, **({"dev": there.dev} if "dev" in words else {})}
    await there.works(AddAddress("192.0.2.10/24", there.dev))
    for _ in range(2):
        await there.works(AddRoute("198.51.100.0/24", **words))
    table = words.get("table", 254)

    async def found():
        routes = await there.fact(Routes(table))
        return [(r.to, r.via, r.dev, r.metric) for r in routes if r.to == "198.51.100.0/24"]

    assert await found() == [("198.51.100.0/24", words.get("via", ""), there.dev, words.get("metric", 0))]
    for _ in range(2):
        await there.works(DeleteRoute("198.51.100.0/24", **words))
    assert await found() == []


async def test_a_route_that_leads_nowhere(there):
    await there.fails(AddRoute("198.51.100.0/24", via="203.0.113.1"), "nreachable")


# --- disks and mounts ----------------------------------------------------------------------


async def test_a_loop_device_comes_and_goes(there):
    device = await there.disk()
    assert (await there.works(AttachLoop(f"{there.place}/image"))).values["device"] == device
    seen = [loop for loop in await there.fact(Loops()) if loop.file == f"{there.place}/image"]
    assert [loop.device for loop in seen] == [device]
    block = await there.fact(BlockDevice(device))
    assert (block.path, block.size, block.readonly) == (device, 16 * MIB, False)
    assert (await there.fact(Signatures(device))).kind == ""
    assert (await there.fact(File(device))).kind == "block"
    for _ in range(2):
        await there.works(DetachLoop(device, f"{there.place}/image"))
    assert [loop for loop in await there.fact(Loops()) if loop.file == f"{there.place}/image"] == []


async def test_what_is_not_there_is_no_device(there):
    assert await there.fact(BlockDevice("/dev/nosuch")) is None
    assert await there.fact(Signatures("/dev/nosuch")) is None
    await there.fails(AttachLoop(f"{there.place}/nosuch"), "No such file")


async def test_a_filesystem_is_made_on_what_is_blank_alone(there):
    device = await there.disk()
    mkfs = Exec(("mkfs.ext4", "-q", device), blank=device)
    await there.works(mkfs)
    before = await there.fact(Signatures(device))
    assert before.kind == "ext4"
    await there.fails(mkfs, "is not empty", "TYPE=ext4")
    assert await there.fact(Signatures(device)) == before
    assert (await there.fact(BlockDevice(f"UUID={before.uuid}"))) or True  # without udev it is not found
    await there.works(Exec(("wipefs", "-a", device)))
    assert (await there.fact(Signatures(device))).kind == ""
    await there.fails(Exec(("true",), blank="/dev/nosuch"), "No such file")


async def test_a_disk_is_mounted_once_or_twice(there):
    device, target = await there.disk(), f"{there.place}/mnt"
    await there.works(Exec(("mkfs.ext4", "-q", device)))
    await there.works(MakeDirectory(target))
    for _ in range(2):
        await there.works(Mount(device, target, "ext4", "noatime"))
    (found,) = (await there.mounted()).values()
    block = await there.fact(BlockDevice(device))
    assert (found.target, found.fstype, found.source, found.root) == (target, "ext4", device, "/")
    assert found.device == block.number
    assert found.options == {"rw", "noatime"}
    await there.fails(Exec(("mkfs.ext4", "-q", device), blank=device), "busy")
    await there.fails(Exec(("mkfs.ext4", "-q", device)), "is mounted")
    await there.fails(DetachLoop(device, f"{there.place}/image"), f"busy: mounted on {target}")
    (loop,) = [each for each in await there.fact(Loops()) if each.device == device]
    assert loop.autoclear  # it would be gone with its last user, if it were not attached again
    assert (await there.works(AttachLoop(f"{there.place}/image"))).values["device"] == device
    await there.works(WriteFile(f"{target}/file", "kept"))
    for _ in range(2):
        await there.works(Unmount(target))
    assert await there.mounted() == {}
    assert await there.fact(File(f"{target}/file")) is None
    await there.works(Mount(device, target, "ext4"))
    assert there.read(f"{target}/file") == "kept"
    await there.works(Unmount(target))
    await there.works(Exec(("e2fsck", "-p", device), ok=(0, 1), alone=device))


@pytest.mark.parametrize(
    ("source", "fstype", "options", "part"),
    [
        pytest.param("/dev/nosuch", "ext4", "", "/dev/nosuch does not exist", id="no such device"),
        pytest.param("none", "nosuchfs", "", "no filesystem nosuchfs", id="no such filesystem"),
        pytest.param("none", "tmpfs", "size=lots", "bad option", id="bad option"),
        pytest.param("/etc/passwd", "ext4", "", "not a block device", id="not a device"),
    ],
)
async def test_what_cannot_be_mounted(there, source, fstype, options, part):
    await there.works(MakeDirectory(f"{there.place}/mnt"))
    await there.fails(Mount(source, f"{there.place}/mnt", fstype, options), part)
    await there.fails(Mount("none", f"{there.place}/nosuch", "tmpfs"), "nosuch does not exist")
    assert await there.mounted() == {}


async def test_a_blank_disk_is_not_mounted(there):
    device = await there.disk()
    await there.works(MakeDirectory(f"{there.place}/mnt"))
    await there.fails(Mount(device, f"{there.place}/mnt", "ext4"), f"damaged superblock on {device}")


async def test_what_somebody_else_mounted_is_left_alone(there):
    device, target = await there.disk(), f"{there.place}/mnt"
    await there.works(Exec(("mkfs.ext4", "-q", device)))
    await there.works(MakeDirectory(target))
    await there.works(Mount("somebody", target, "tmpfs"))
    await there.fails(Mount(device, target, "ext4"), f"somebody (tmpfs) is mounted on {target} already")
    assert (await there.mounted())[target].fstype == "tmpfs"


async def test_a_mount_is_changed_in_place(there):
    target = f"{there.place}/mnt"
    await there.works(MakeDirectory(target))
    await there.works(Mount("none", target, "tmpfs"))
    await there.works(Mount("none", target, "tmpfs", "remount,ro"))
    assert "ro" in (await there.mounted())[target].options


async def test_who_holds_a_mount_is_ended_for_it_or_named(there):
    target = f"{there.place}/mnt"
    await there.works(MakeDirectory(target))
    await there.works(Mount("none", target, "tmpfs"))
    with there.holder(target) as pid:
        await there.fails(Unmount(target, evict=False), f"busy: held by {pid} (sleep)")
        assert target in await there.mounted()
        outcome = await there.works(Unmount(target))
        assert outcome.output == f"ended {pid} (sleep), who held {target}"
    assert await there.mounted() == {}


async def test_a_mount_under_another_says_which(there):
    target = f"{there.place}/mnt"
    for path in (target, f"{target}/sub"):
        await there.works(MakeDirectory(path))
        await there.works(Mount("none", path, "tmpfs"))
    await there.fails(Unmount(target), f"{target}/sub is mounted on it")
    await there.fails(RemoveDirectory(target, contents=True), "is mounted there")
    await there.works(Unmount(f"{target}/sub"))
    await there.works(Unmount(target))
    await there.works(Unmount(f"{there.place}/nosuch"))


# --- files ---------------------------------------------------------------------------------


async def test_a_file_is_written_and_removed(there):
    path = f"{there.place}/a/b/file"
    for content in ("one", "two", "two", ""):
        await there.works(WriteFile(path, content))
        assert there.read(path) == (content or "two")
    seen = await there.fact(File(path))
    assert (seen.kind, seen.mode, seen.size, seen.real) == ("file", 0o644, 3, path)
    for _ in range(2):
        await there.works(RemoveFile(path))
    assert await there.fact(File(path)) is None
    assert (await there.fact(File(f"{there.place}/a/b"))).kind == "directory"


async def test_a_full_disk_keeps_the_old_content(there):
    await there.works(MakeDirectory(f"{there.place}/mnt"))
    await there.works(Mount("none", f"{there.place}/mnt", "tmpfs", "size=8k"))
    path = f"{there.place}/mnt/file"
    await there.works(WriteFile(path, "old"))
    await there.fails(WriteFile(path, "new" * 4000), "No space left")
    assert there.read(path) == "old"


async def test_directories(there):
    top = f"{there.place}/top"
    for _ in range(2):
        await there.works(MakeDirectory(f"{top}/sub", mode="2770"))
    assert (await there.fact(File(f"{top}/sub"))).mode == 0o2770
    await there.works(WriteFile(f"{top}/sub/file", "x"))
    await there.fails(RemoveDirectory(top), "not empty")
    await there.fails(WriteFile(f"{top}/sub"), "directory")
    await there.fails(RemoveFile(f"{top}/sub"))
    for _ in range(2):
        await there.works(RemoveDirectory(top, contents=True))
    assert await there.fact(File(top)) is None
    await there.fails(MakeDirectory("/etc/passwd"), "File exists")
    await there.fails(MakeDirectory(f"{there.place}/x", user="nosuchuser"), "no user 'nosuchuser'")
    await there.fails(RemoveDirectory("/usr/../etc", contents=True), "belongs to the system")


async def test_an_image_is_never_overwritten(there):
    path = f"{there.place}/image"
    for _ in range(2):
        await there.works(CreateImage(path, MIB))
    assert (await there.fact(File(path))).size == MIB
    await there.fails(CreateImage(path, 2 * MIB), "has content")
    await there.works(WriteFile(f"{there.place}/file", "x"))
    await there.fails(CreateImage(f"{there.place}/file", MIB), "has content")


# --- commands and programs -----------------------------------------------------------------


def sh(text, **more):
    return Exec((text,), shell=True, **more)


@pytest.mark.parametrize(
    ("operation", "ok", "code", "error"),
    [
        pytest.param(Exec(("true",)), True, 0, "", id="success"),
        pytest.param(Exec(("false",)), False, 1, "false: exit code 1", id="failure"),
        pytest.param(sh("exit 3", ok=(0, 3)), True, 3, "", id="another code is fine"),
        pytest.param(sh("exit 3"), False, 3, "exit 3: exit code 3", id="shell text"),
        pytest.param(sh("echo one; echo two; exit 4"), False, 4, "exit code 4: two", id="its last line"),
        pytest.param(sh("false && exit 4"), False, 1, "exit code 1", id="and then"),
        pytest.param(sh("kill -9 $$"), False, -9, "ended by SIGKILL", id="a signal"),
        pytest.param(Exec(("nosuch",)), False, None, "nosuch: not found", id="not found"),
        pytest.param(sh("nosuch"), False, 127, "a command was not found", id="not found in a shell"),
        pytest.param(
            sh("sleep 60", timeout=0.2), False, None, "did not end within 0.2 s", id="its time limit"
        ),
    ],
)
async def test_a_command_ends(there, operation, ok, code, error):
    outcome = await there.do(operation)
    assert (outcome.ok, outcome.code) == (ok, code), outcome
    assert error in outcome.error
    assert bool(error) == bool(outcome.error)


async def test_what_a_command_prints_is_kept(there):
    assert (await there.works(sh("echo one; echo two"))).output == "one\ntwo\n"


async def test_a_program_comes_runs_and_goes(there):
    assert await there.fact(Program()) is None
    outcome = await there.works(Spawn(("sleep", "600")))
    seen = await there.fact(Program())
    assert (seen.running, seen.adopted, seen.code, seen.leftovers) == (True, False, None, 0)
    assert outcome.values["pid"] == str(seen.pid)
    assert (await there.works(Spawn(("sleep", "600")))).output == f"runs already as pid {seen.pid}"
    assert await there.fact(Program(), Owner("root/svc1", "app#other")) is None
    assert f"ended {seen.pid} (sleep)" in (await there.works(Terminate(seen.pid, seen.start_time))).output
    assert await there.fact(Program()) is None
    await there.works(Terminate(seen.pid, seen.start_time))


async def test_a_program_that_is_killed_is_seen_with_its_code(there):
    await there.works(Spawn(("sleep", "600")))
    first = await there.fact(Program())
    there.kill(first.pid)
    await asyncio.sleep(0.2)
    seen = await there.fact(Program())
    assert (seen.running, seen.code, seen.pid) == (False, -9, first.pid)
    await there.works(Spawn(("sleep", "600")))
    again = await there.fact(Program())
    assert again.running
    assert (again.pid, again.start_time) != (first.pid, first.start_time)
    outcome = await there.works(Terminate(first.pid, first.start_time))
    assert "was started later" in outcome.output
    assert (await there.fact(Program())).running


@pytest.mark.parametrize(
    ("operation", "part"),
    [
        pytest.param(Spawn(("nosuchweb",)), "nosuchweb: not found", id="missing"),
        pytest.param(
            Spawn(("exit 3",), shell=True, settle=0.5),
            "ended within 0.5 s: exit code 3",
            id="exits at once",
        ),
    ],
)
async def test_a_program_that_does_not_start(there, operation, part):
    await there.fails(operation, part)
    seen = await there.fact(Program())
    assert seen is None or not seen.running


async def test_a_program_that_ends_by_itself_is_told_with_its_code(there):
    await there.works(Spawn(("sleep 0.1; exit 3",), shell=True))
    await asyncio.sleep(0.5)
    seen = await there.fact(Program())
    assert (seen.running, seen.code) == (False, 3)


async def test_what_is_remembered_is_no_matter_of_the_host(there):
    await there.fails(Remember("key", "value"), "not an operation on the host")


async def test_a_probe_and_a_command_can_be_cancelled(there):
    for operation in (ProbeAddress("192.0.2.10/24", there.dev, within=10.0), Exec(("sleep", "60"))):
        task = asyncio.create_task(there.do(operation))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
