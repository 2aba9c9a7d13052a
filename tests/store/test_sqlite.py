"""The SQLite store against kills, power loss, damage, full and read-only directories, other processes."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from reconciler.adapters import store_sqlite
from reconciler.adapters.store_sqlite import Opened, SqliteStore
from reconciler.adapters.store_sqlite_disk import Disk
from reconciler.contracts import Store
from reconciler.errors import MayHeal, NeedsPerson

CHILD = """
import asyncio, sys
from pathlib import Path
from reconciler.adapters.store_sqlite import SqliteStore

async def main():
    store = (await SqliteStore.open(Path(sys.argv[1]))).store
    async def write(name):
        n = int((await store.read(name)).entries[name].value) if (await store.read(name)).entries else 0
        while True:
            n += 1
            await store.commit({}, {name: str(n), "pad/%s/%d" % (name, n % 50): "x" * 500})
            sys.stdout.write("%s %d\\n" % (name, n))
            sys.stdout.flush()
    await asyncio.gather(*(write(name) for name in "abc"))

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Opened]:
    it = await SqliteStore.open(path)
    try:
        yield it
    finally:
        await it.store.close()


async def held(store: Store, prefix: str = "") -> dict[str, str]:
    return {key: entry.value for key, entry in (await store.read(prefix)).entries.items()}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 1 MiB of our own."""
    if os.geteuid():
        pytest.skip("mounting a tmpfs needs root")
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


async def test_all_is_there_again_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "state.db"
    async with opened(path) as first:
        await first.store.commit({}, {"a": "1", "é": "😀"})
        await first.store.commit({}, {"b": "2"}, ["a"])
        before = await first.store.read("")
    async with opened(path) as second:
        assert (second.set_aside, second.trouble) == (None, None)
        assert await second.store.read("") == before
        made = await second.store.commit({"a": 0}, {"a": "3"})
        assert made is not None
        assert made > before.revision


async def test_a_deletion_is_not_forgotten_in_the_revision(tmp_path: Path) -> None:
    async with opened(tmp_path / "state.db") as first:
        await first.store.commit({}, {"a": "1"})
        last = await first.store.commit({}, {}, ["a"])
    async with opened(tmp_path / "state.db") as second:
        assert (await second.store.read("")).revision == last


async def test_a_watch_from_before_the_restart_has_to_read_anew(tmp_path: Path) -> None:
    async with opened(tmp_path / "state.db") as first:
        await first.store.commit({}, {"a": "1"})
        await first.store.commit({}, {"a": "2"})
    async with opened(tmp_path / "state.db") as second:
        with pytest.raises(MayHeal, match="compacted"):
            await anext(second.store.watch(1))


async def test_killed_at_any_point_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """Twenty times on one file: kill -9 at a random moment, then all that was acknowledged is there."""
    path, dice = tmp_path / "state.db", random.Random(7)
    revision = 0
    for _ in range(20):
        child = subprocess.Popen([sys.executable, "-c", CHILD, path], stdout=subprocess.PIPE, text=True)
        try:
            assert child.stdout is not None
            said = [child.stdout.readline() for _ in range(dice.randint(1, 60))]
        finally:
            child.send_signal(signal.SIGKILL)
            said += child.communicate()[0].splitlines()
        acknowledged = {line.split()[0]: int(line.split()[1]) for line in said if line.strip()}
        async with opened(path) as again:
            assert (again.set_aside, again.trouble) == (None, None)
            found = await held(again.store)
            assert acknowledged.keys() <= found.keys()
            for name, number in acknowledged.items():
                assert number <= int(found[name]) <= number + 1, "acknowledged, and at most one more"
                assert f"pad/{name}/{int(found[name]) % 50}" in found, "both keys of a commit or none"
            now = (await again.store.read("")).revision
            assert now > revision
            revision = now


async def test_power_lost_at_any_byte_of_the_log_leaves_whole_commits(tmp_path: Path) -> None:
    """The log cut anywhere: exactly the commits that were wholly in it, never a damaged file."""
    path = tmp_path / "state.db"
    store = (await SqliteStore.open(path)).store
    log = tmp_path / "state.db-wal"
    sizes = [log.stat().st_size if log.exists() else 0]
    for n in range(1, 13):
        await store.commit({}, {"n": str(n), f"k{n}": "x" * 3000})
        sizes.append(log.stat().st_size)
    dice = random.Random(3)
    cuts = {*sizes, *(size - 1 for size in sizes[1:]), *(dice.randrange(sizes[-1]) for _ in range(40))}
    for cut in sorted(cuts):
        place = tmp_path / f"cut{cut}"
        place.mkdir()
        shutil.copyfile(path, place / "state.db")
        (place / "state.db-wal").write_bytes(log.read_bytes()[:cut])
        whole = sum(size <= cut for size in sizes[1:])
        async with opened(place / "state.db") as again:
            assert again.set_aside is None
            assert (await held(again.store)).get("n", "0") == str(whole), f"cut at {cut}"
    await store.close()


def garbage(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(20_000))


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def scribbled(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = random.Random(1).randbytes(len(content) - 4096)
    path.write_bytes(content)


def emptied_with_its_log(path: Path) -> None:
    path.write_bytes(b"")
    path.with_name("state.db-wal").write_bytes(b"x" * 5000)


def text(path: Path) -> None:
    path.write_text("apiVersion: standfast/v1\n" * 100)


async def filled(path: Path) -> None:
    async with opened(path) as first:
        for n in range(40):
            await first.store.commit({}, {f"k{n}": "x" * 1000})


@pytest.mark.parametrize("damage", [garbage, torn, scribbled, emptied_with_its_log, text])
async def test_a_damaged_file_is_set_aside_with_a_message(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = tmp_path / "state.db"
    await filled(path)
    damage(path)
    content = path.read_bytes()
    async with opened(path) as again:
        assert again.set_aside is not None
        kept = next(p for p in tmp_path.glob("state.db.damaged-*") if not p.name.endswith("-wal"))
        assert kept.name in again.set_aside
        assert kept.read_bytes() == content
        assert await held(again.store) == {}
        assert await again.store.commit({}, {"k": "x"}) is not None
    async with opened(path) as third:
        assert third.set_aside is None
        assert await held(third.store) == {"k": "x"}


async def test_damaged_twice_in_a_second_both_are_kept(tmp_path: Path) -> None:
    for _ in range(2):
        garbage(tmp_path / "state.db")
        async with opened(tmp_path / "state.db") as again:
            assert again.set_aside
    assert len(list(tmp_path.glob("state.db.damaged-*"))) == 2


async def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await filled(path)
    with contextlib.closing(sqlite3.connect(path)) as later:
        later.execute("PRAGMA user_version=99")
    with pytest.raises(NeedsPerson, match="later version"):
        await SqliteStore.open(path)
    assert list(tmp_path.glob("*damaged*")) == []


async def test_two_agents_cannot_use_one_file(tmp_path: Path) -> None:
    async with opened(tmp_path / "state.db") as first:
        await first.store.commit({}, {"k": "x"})
        child = [sys.executable, "-c", CHILD, tmp_path / "state.db"]
        second = await asyncio.to_thread(subprocess.run, child, capture_output=True, text=True)
        assert second.returncode != 0
        assert "in use by another process" in second.stderr
        assert await first.store.commit({}, {"k": "y"}) is not None


async def test_the_file_deleted_while_in_use_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with opened(path) as first:
        await first.store.commit({}, {"a": "1", "b": "1"})
        for part in tmp_path.iterdir():
            part.unlink()
        await first.store.commit({}, {"c": "1"}, ["b"])
        revision = (await first.store.read("")).revision
    async with opened(path) as second:
        assert await held(second.store) == {"a": "1", "c": "1"}
        assert (await second.store.read("")).revision == revision


async def test_the_file_overwritten_while_in_use_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with opened(path) as first:
        await first.store.commit({}, {"a": "1"})
        new = tmp_path / "new"
        garbage(new)
        new.rename(path)
        await first.store.commit({}, {"b": "1"})
    async with opened(path) as second:
        assert await held(second.store) == {"a": "1", "b": "1"}


@pytest.mark.root
async def test_a_full_disk_refuses_commits_until_there_is_room(small_disk: Path) -> None:
    path, ballast = small_disk / "state.db", small_disk / "ballast"
    async with opened(path) as it:
        start = await it.store.commit({}, {"k": "before"})
        assert start is not None
        fill(ballast)
        with pytest.raises(MayHeal, match="no space left in"):
            await it.store.commit({}, {"k": "x" * 300_000})
        assert await held(it.store) == {"k": "before"}
        assert "make room" in it.store.trouble
        ballast.unlink()
        assert await it.store.commit({"k": start}, {"k": "after"}) is not None
        assert it.store.trouble == ""
    async with opened(path) as again:
        assert await held(again.store) == {"k": "after"}


@pytest.mark.root
async def test_opened_on_a_full_disk_it_still_reads(small_disk: Path) -> None:
    path, ballast = small_disk / "state.db", small_disk / "ballast"
    await filled(path)
    fill(ballast)
    async with opened(path) as it:
        assert len(await held(it.store)) == 40
        with pytest.raises(MayHeal, match="no space left"):
            await it.store.commit({}, {"k": "x" * 300_000})


@pytest.mark.root
async def test_created_on_a_full_disk_it_works_when_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    fill(ballast)
    async with opened(small_disk / "state.db") as it:
        assert "no space left" in (it.trouble or "")
        with pytest.raises(MayHeal):
            await it.store.commit({}, {"k": "x"})
        ballast.unlink()
        assert await it.store.commit({}, {"k": "y"}) is not None


@pytest.mark.root
async def test_read_only_it_reads_and_refuses_then_works_again(small_disk: Path) -> None:
    """Also what is only in the log, as a kill leaves it."""
    path, child = small_disk / "state.db", [sys.executable, "-c", CHILD, small_disk / "state.db"]
    process = subprocess.Popen(child, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    async with opened(path) as it:
        assert "read-only" in (it.trouble or "")
        assert int((await held(it.store))["a"]) >= 1
        with pytest.raises(MayHeal, match="read-only"):
            await it.store.commit({}, {"k": "x"})
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
        assert await it.store.commit({}, {"k": "y"}) is not None
        assert it.store.trouble == ""
    async with opened(path) as again:
        assert (await held(again.store, "k"))["k"] == "y"


@pytest.mark.root
async def test_damaged_and_read_only_is_no_crash_loop(small_disk: Path) -> None:
    garbage(small_disk / "state.db")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    async with opened(small_disk / "state.db") as it:
        assert "damaged" in (it.trouble or "")
        with pytest.raises(MayHeal):
            await it.store.commit({}, {"k": "x"})
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
        assert await it.store.commit({}, {"k": "y"}) is not None
        assert len(list(small_disk.glob("state.db.damaged-*"))) == 1


async def test_commits_that_wait_together_share_a_transaction(tmp_path: Path) -> None:
    """A thousand at once take a small part of a thousand turns."""
    async with opened(tmp_path / "state.db") as it:
        log = tmp_path / "state.db-wal"
        await it.store.commit({}, {"k": "x"})
        size = log.stat().st_size
        await it.store.commit({}, {"k": "x"})
        one = log.stat().st_size - size
        await asyncio.gather(*(it.store.commit({}, {"k": str(n)}) for n in range(300)))
        assert log.stat().st_size - size < 60 * one
        assert await held(it.store) == {"k": "299"}


async def test_the_loop_goes_on_while_the_disk_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that hangs: the commit is given up in time, reads and the loop go on, and it heals."""
    release, write = threading.Event(), Disk.write
    monkeypatch.setattr(store_sqlite, "LIMIT", 0.05)

    def hang(self: Disk, keys: object) -> None:
        release.wait()
        write(self, keys)  # type: ignore[arg-type]  # passed on as it came

    async with opened(tmp_path / "state.db") as it:
        monkeypatch.setattr(Disk, "write", hang)
        with pytest.raises(MayHeal, match="could not be written within"):
            await it.store.commit({}, {"k": "late"})
        assert await held(it.store) == {}
        watch = it.store.watch(0)
        release.set()
        change = await anext(watch)
        assert (change.key, change.value) == ("k", "late")


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
