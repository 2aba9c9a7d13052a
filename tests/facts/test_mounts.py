"""The mount table: odd names decoded, events heard, drift noticed without them."""

import asyncio

import pytest

from reconciler.adapters.facts.health import HealthSource
from reconciler.adapters.facts.mounts import MountSource, decode
from reconciler.asks import Failed, Mount, MountHealth, Mounts
from tests.facts.conftest import A, root, sh

LINES = {
    "a plain filesystem": (
        "36 35 98:0 / /mnt/data rw,noatime shared:1 - ext4 /dev/sda1 rw,errors=continue",
        Mount(
            36,
            35,
            "98:0",
            "/",
            "/mnt/data",
            "ext4",
            "/dev/sda1",
            frozenset({"rw", "noatime"}),
            frozenset({"rw", "errors=continue"}),
        ),
    ),
    "a bind mount of a directory": (
        "40 25 253:1 /srv/x /data rw - xfs /dev/mapper/vg-lv rw",
        Mount(40, 25, "253:1", "/srv/x", "/data", "xfs", "/dev/mapper/vg-lv", *[frozenset({"rw"})] * 2),
    ),
    "space, tab, newline, backslash and UTF-8 in names": (
        "41 25 0:50 / /a\\040b\\011c\\012d\\134e/größe rw - tmpfs my\\040source rw,size=1k",
        Mount(
            41,
            25,
            "0:50",
            "/",
            "/a b\tc\nd\\e/größe",
            "tmpfs",
            "my source",
            frozenset({"rw"}),
            frozenset({"rw", "size=1k"}),
        ),
    ),
    "several optional fields, a type with a subtype": (
        "42 25 0:51 / /f ro,relatime shared:2 master:3 - fuse.sshfs me@host:/x rw,user_id=0",
        Mount(
            42,
            25,
            "0:51",
            "/",
            "/f",
            "fuse.sshfs",
            "me@host:/x",
            frozenset({"ro", "relatime"}),
            frozenset({"rw", "user_id=0"}),
        ),
    ),
    "an empty source": (
        "43 25 0:52 / /g rw -  none rw".replace("-  none", "- none "),
        Mount(43, 25, "0:52", "/", "/g", "none", "", *[frozenset({"rw"})] * 2),
    ),
    "a line cut short": ("43 25 0:52 / /g", None),
    "nothing": ("", None),
}


@pytest.mark.parametrize(("line", "mount"), LINES.values(), ids=LINES)
def test_decode(line, mount):
    assert decode(line.encode()) == mount


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "odd name"
    path.mkdir()
    yield str(path)
    while sh(f"umount -l '{path}' && echo again", ok=(0, 1, 32)):
        """Until nothing is mounted there."""


def mounted(target):
    return lambda table: any(mount.target == target for mount in table)


@pytest.mark.root
@root[1]
class TestKernel:
    async def test_a_mount_and_an_umount_behind_our_back_are_heard(self, bench, target):
        async with bench({"mounts": MountSource(3600, events=True)}) as b:
            await b.follow(Mounts())
            sh(f"mount -t tmpfs -o size=64k t '{target}'")
            table = await b.until(Mounts(), mounted(target), within=1)
            found = next(mount for mount in table if mount.target == target)
            assert (found.fstype, found.source, "size=64k" in found.super_options) == ("tmpfs", "t", True)
            sh(f"umount '{target}'")
            await b.until(Mounts(), lambda table: not mounted(target)(table), within=1)
            assert b.hub.statistics()["mounts"].events >= 2

    async def test_at_rest_nothing_is_read(self, bench):
        async with bench({"mounts": MountSource(3600, events=True)}) as b:
            await b.follow(Mounts())
            await asyncio.sleep(0.3)
            looks = b.hub.statistics()["mounts"]
            await asyncio.sleep(0.3)
            assert b.hub.statistics()["mounts"].looks == looks.looks

    async def test_touched_is_fresh_without_any_event(self, bench, target):
        async with bench({"mounts": MountSource(3600, events=False)}) as b:
            await b.follow(Mounts())
            sh(f"mount -t tmpfs t '{target}'")
            assert not mounted(target)(await b.get(Mounts()))
            b.hub.touched(A, ("mounts", "health"))
            assert mounted(target)(await b.get(Mounts()))

    async def test_without_events_the_periodic_look_notices(self, bench, target):
        async with bench({"mounts": MountSource(0.3, events=False)}, look_every=0.3) as b:
            await b.follow(Mounts())
            sh(f"mount -t tmpfs t '{target}'")
            await b.told(within=1)
            assert mounted(target)(b.hub.known(A, Mounts()))

    async def test_of_two_on_one_target_the_later_comes_last(self, bench, target):
        sh(f"mount -t tmpfs first '{target}'; mount -t tmpfs second '{target}'")
        async with bench({"mounts": MountSource(3600, events=True)}) as b:
            table = await b.get(Mounts())
            assert [mount.source for mount in table if mount.target == target] == ["first", "second"]


async def test_a_table_that_cannot_be_read_is_failed_and_recovers(bench, tmp_path):
    path = tmp_path / "mountinfo"
    async with bench({"mounts": MountSource(3600, events=True, path=str(path))}) as b:
        b.hub.follow(A, [Mounts()])
        assert await b.get(Mounts()) == Failed(f"{path}: No such file or directory")
        path.write_text(LINES["a plain filesystem"][0] + "\n")
        assert await b.until(Mounts(), lambda table: len(table) == 1)


async def test_health_is_what_statfs_says(bench, tmp_path):
    async with bench({"health": HealthSource(3600)}) as b:
        assert await b.get(MountHealth(str(tmp_path), read=True)) == ""
        assert await b.get(MountHealth(str(tmp_path / "no"))) == "No such file or directory"
