"""Files: what is there, how a change is heard, and that a hung one costs no other its answer."""

import asyncio
import errno
import os
import threading

import pytest

from reconciler.adapters.facts import files as files_module
from reconciler.adapters.facts.files import FileSource, seen
from reconciler.adapters.facts.inotify import Inotify, Seen, decode
from reconciler.adapters.facts.mounts import MountSource
from reconciler.asks import Failed, File, FileSeen
from tests.facts.conftest import A, B, root, sh


def sources(events=True, every=3600.0, see=None):
    mounts = MountSource(every, events)
    return {"mounts": mounts, "files": FileSource(every, events, mounts, see)}


def there(answer):
    return answer is not None


def gone(answer):
    return answer is None


@pytest.mark.parametrize(
    ("make", "kind", "mode", "size"),
    [
        pytest.param(lambda p: p.write_text("abc") and p.chmod(0o640), "file", 0o640, 3, id="a file"),
        pytest.param(
            lambda p: p.mkdir(0o750), "directory", 0o750, 0, id="a directory: its size is nothing"
        ),
        pytest.param(lambda p: p.symlink_to("nowhere"), "link", 0o777, 0, id="a dangling link"),
        pytest.param(lambda p: p.symlink_to(p), "link", 0o777, 0, id="a link to itself"),
        pytest.param(os.mkfifo, "other", 0o600, 0, id="a pipe"),
    ],
)
def test_what_is_seen(tmp_path, make, kind, mode, size):
    path = tmp_path / "x"
    old = os.umask(0o027)
    try:
        make(path)
    finally:
        os.umask(old)
    if kind == "other":
        path.chmod(0o600)
    found = seen(str(path))
    assert (found.kind, found.mode, found.size) == (kind, mode, size)
    assert (found.uid, found.real) == (os.geteuid(), "" if kind == "link" else str(path))


def test_links_are_followed_and_owners_named(tmp_path):
    (tmp_path / "real").write_text("x")
    (tmp_path / "link").symlink_to("real")
    found = seen(str(tmp_path / "link"))
    assert (found.kind, found.real) == ("file", str(tmp_path / "real"))
    if os.geteuid() == 0:
        os.chown(tmp_path / "real", 54321, 0)
        assert seen(str(tmp_path / "link")) == FileSeen(
            "file", found.mode, "54321", "root", 1, 54321, 0, found.real
        )


@pytest.mark.parametrize("path", ["/no/such", "/etc/passwd/x"])
def test_what_does_not_exist_is_none(path):
    assert seen(path) is None


async def test_a_file_made_and_removed_behind_our_back_is_heard(bench, tmp_path):
    path = tmp_path / "flag"
    async with bench(sources()) as b:
        assert await b.follow(File(str(path))) is None
        path.touch()
        await b.until(File(str(path)), there, within=1)
        path.unlink()
        await b.until(File(str(path)), gone, within=1)


async def test_a_neighbour_wakes_nobody(bench, tmp_path):
    """Nor does a mount that another test makes meanwhile: of those this one does not hear."""
    mounts = MountSource(3600.0, False)
    async with bench({"mounts": mounts, "files": FileSource(3600.0, True, mounts, None)}) as b:
        await b.follow(File(str(tmp_path / "mine")), A)
        (tmp_path / "other").touch()
        assert await b.quiet()
        assert b.hub.statistics()["files"].looks == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p: p.chmod(0o600), id="mode"),
        pytest.param(lambda p: p.write_text("longer"), id="content"),
        pytest.param(lambda p: p.rename(p.with_name("away")), id="renamed away"),
        pytest.param(lambda p: (p.unlink(), p.mkdir()), id="replaced by a directory"),
    ],
)
async def test_a_change_is_heard(bench, tmp_path, change):
    path = tmp_path / "x"
    path.write_text("x")
    async with bench(sources()) as b:
        before = await b.follow(File(str(path)))
        change(path)
        await b.until(File(str(path)), lambda answer: answer != before, within=1)


async def test_directories_that_come_and_go_above_it_are_followed(bench, tmp_path):
    path = tmp_path / "a" / "b" / "flag"
    async with bench(sources()) as b:
        assert await b.follow(File(str(path))) is None
        for _ in range(3):
            path.parent.mkdir(parents=True)
            path.touch()
            await b.until(File(str(path)), there, within=1)
            path.unlink()
            path.touch(0o600)
            path.chmod(0o640)
            await b.until(File(str(path)), lambda answer: there(answer) and answer.mode == 0o640, within=1)
            sh(f"rm -rf {tmp_path}/a")
            await b.until(File(str(path)), gone, within=1)


async def test_a_directory_moved_away_takes_its_files_along(bench, tmp_path):
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "flag"
    path.touch()
    async with bench(sources()) as b:
        await b.follow(File(str(path)))
        (tmp_path / "a").rename(tmp_path / "b")
        await b.until(File(str(path)), gone, within=1)
        (tmp_path / "b").rename(tmp_path / "a")
        await b.until(File(str(path)), there, within=1)


async def test_a_directory_swapped_higher_up_is_found_by_the_periodic_look(bench, tmp_path):
    path = tmp_path / "a" / "b" / "flag"
    path.parent.mkdir(parents=True)
    path.touch()
    made = sources()
    async with bench(made) as b:
        await b.follow(File(str(path)))
        (tmp_path / "a").rename(tmp_path / "away")
        path.parent.mkdir(parents=True)
        made["files"].distrust()
        made["files"].desk.changed()
        await b.until(File(str(path)), gone)
        path.touch()
        await b.until(File(str(path)), there, within=1)
        assert kernel_watches(made["files"]._watches) == 1


async def test_a_directory_made_while_the_one_above_it_gets_its_watch_is_not_missed(
    bench, tmp_path, monkeypatch
):
    path, real = tmp_path / "a" / "flag", Inotify.watch

    def late(self, directory):
        if not path.parent.exists():
            path.parent.mkdir()
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return real(self, directory)

    monkeypatch.setattr(Inotify, "watch", late)
    async with bench(sources()) as b:
        await b.follow(File(str(path)))
        path.touch()
        await b.until(File(str(path)), there, within=1)


async def test_files_of_one_directory_share_one_watch_and_leave_none_behind(bench, tmp_path):
    made = sources()
    async with bench(made) as b:
        asks = [File(str(tmp_path / str(number))) for number in range(50)]
        b.hub.follow(A, asks)
        await b.hub.answer(A, asks)
        watches = made["files"]._watches
        assert kernel_watches(watches) == 1
        b.hub.follow(A, asks[:1])
        assert kernel_watches(watches) == 1
        b.hub.follow(A, ())
        assert kernel_watches(watches) == 0
        assert not watches._at
        assert not watches._by_watch


def kernel_watches(watches):
    with open(f"/proc/self/fdinfo/{watches._inotify.file}") as info:
        return info.read().count("inotify wd:")


async def test_without_events_the_periodic_look_notices(bench, tmp_path):
    async with bench(sources(events=False, every=0.3), look_every=0.3) as b:
        await b.follow(File(str(tmp_path / "x")))
        (tmp_path / "x").touch()
        await b.told(within=1)


async def test_touched_is_fresh(bench, tmp_path):
    async with bench(sources(events=False)) as b:
        await b.follow(File(str(tmp_path / "x")))
        (tmp_path / "x").touch()
        b.hub.touched(A, (f"files:{tmp_path}/x",))
        assert there(await b.get(File(str(tmp_path / "x"))))


@pytest.mark.root
@root[1]
async def test_what_is_mounted_over_it_is_looked_at_and_followed(bench, tmp_path):
    path = tmp_path / "d" / "flag"
    path.parent.mkdir()
    path.touch()
    try:
        async with bench(sources()) as b:
            await b.follow(File(str(path)))
            sh(f"mount -t tmpfs t {path.parent}")
            await b.until(File(str(path)), gone, within=1)
            path.touch(0o604)
            await b.until(File(str(path)), there, within=1)
            path.unlink()
            await b.until(File(str(path)), gone, within=1)
            sh(f"umount {path.parent}")
            await b.until(File(str(path)), there, within=1)
    finally:
        sh(f"umount {path.parent}", ok=(0, 32))


async def test_files_on_a_dead_mount_fail_alone_and_recover(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(files_module, "_LIMIT", 0.4)
    release = threading.Event()

    def see(path):
        if path.startswith("/proc/"):
            release.wait(10)
        return seen(path)

    dead = [File(f"/proc/{number}") for number in range(100)]
    well = File(str(tmp_path))
    made = sources(see=see)
    try:
        async with bench(made) as b:
            await made["mounts"].read()
            b.hub.follow(A, dead)
            hung = asyncio.create_task(b.hub.answer(A, dead))
            assert there(await b.get(well, B))
            await hung
            assert all(isinstance(b.hub.known(A, ask), Failed) for ask in dead)
            release.set()
            await b.until(dead[1], there)
    finally:
        release.set()


async def test_no_watch_to_be_had_leaves_the_periodic_look(bench, tmp_path, monkeypatch):
    def refuse(self, directory):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("reconciler.adapters.facts.inotify.Inotify.watch", refuse)
    async with bench(sources(every=0.3), look_every=0.3) as b:
        assert await b.follow(File(str(tmp_path / "x"))) is None
        (tmp_path / "x").touch()
        await b.told(within=1)


async def test_lost_events_are_made_good(bench, tmp_path):
    made = sources()
    async with bench(made) as b:
        await b.follow(File(str(tmp_path / "x")))
        watches = made["files"]._watches
        asyncio.get_running_loop().remove_reader(watches._inotify.file)
        (tmp_path / "x").touch()
        list(watches._inotify.read())
        told = set()
        watches._note(Seen(-1, "", gone=False), told)
        for directory, name in told:
            made["files"]._changed(directory, name)
        await b.until(File(str(tmp_path / "x")), there)


def test_inotify_bytes():
    record = b"\1\0\0\0\0\1\0\0\0\0\0\0\x10\0\0\0flag\0\0\0\0\0\0\0\0\0\0\0\0"
    overflow = b"\xff\xff\xff\xff\0\x40\0\0\0\0\0\0\0\0\0\0"
    ignored = b"\2\0\0\0\0\x80\0\0\0\0\0\0\0\0\0\0"
    own_attributes = b"\1\0\0\0\4\0\0\0\0\0\0\0\0\0\0\0"
    assert list(decode(record + overflow + own_attributes + ignored)) == [
        Seen(1, "flag", gone=False),
        Seen(-1, "", gone=False),
        Seen(2, "", gone=True),
    ]
