"""An answer that many share differs → only those whom the difference concerns are woken."""

import pytest

from reconciler.adapters.facts.source import Lookup, Subject
from reconciler.asks import Failed, Loop, Loops, Mount, Mounts
from tests.facts.conftest import A, B

BEFORE = Mount(1, 0, "8:1", "/", "/", "ext4", "/dev/sda1")


def mounted(target, source="/dev/loop1", number=7):
    return Mount(number, 1, "7:1", "/", target, "ext4", source)


@pytest.mark.parametrize(
    ("change", "woken"),
    [
        pytest.param([mounted("/srv/a/data")], True, id="on the mount point itself"),
        pytest.param([mounted("/srv/a")], True, id="on a directory that leads to it"),
        pytest.param([mounted("/srv/a/data/more")], True, id="beneath it"),
        pytest.param([mounted("/mnt", "/dev/loop0")], True, id="its device, elsewhere"),
        pytest.param([mounted("/real/place/data")], True, id="on its name, by way of a symlink"),
        pytest.param([mounted("/srv/b/other")], False, id="on another's"),
        pytest.param([mounted("/srv/a/database")], False, id="on a name that begins like it"),
        pytest.param([mounted("/")], True, id="over everything"),
    ],
)
async def test_a_mount_wakes_whom_it_concerns(bench, change, woken):
    table = (BEFORE,)
    source = Lookup(lambda _: table)
    async with bench({"mounts": source}) as b:
        await b.follow(Mounts(), B)
        await b.follow(Mounts.near("/srv/a/data", "/dev/loop0"))
        table = (BEFORE, *change)
        source.desk.changed()
        await b.told(B.service)  # who is concerned with all of it
        assert (A.service in b.woken) is woken
        assert await b.get(Mounts()) == table, "whoever looks sees all of it"
        b.woken.clear()
        table = (BEFORE,)
        source.desk.changed()
        await b.told(B.service)
        assert (A.service in b.woken) is woken, "its going is news as its coming was"


async def test_a_table_that_cannot_be_read_concerns_everybody(bench):
    answer = (BEFORE,)
    source = Lookup(lambda _: answer)
    async with bench({"mounts": source}) as b:
        await b.follow(Mounts.near("/srv/a/data"))
        answer = Failed("no memory")
        source.desk.changed()
        await b.told()
        b.woken.clear()
        answer = (BEFORE,)
        source.desk.changed()
        await b.told()


async def test_a_loop_device_wakes_whose_file_it_has(bench):
    loops = ()
    source = Lookup(lambda _: loops)
    async with bench({"loops": source}) as b:
        await b.follow(Loops.of("/images/a.img"), A)
        await b.follow(Loops.of("/images/b.img"), B)
        for file in ("/images/b.img", "/images/b.img (deleted)"):
            loops = (Loop("/dev/loop0", file),)
            source.desk.changed()
            await b.told(B.service)
            assert A.service not in b.woken
            b.woken.clear()


async def test_who_is_concerned_follows_an_edit(bench):
    table = (BEFORE,)
    source = Lookup(lambda _: table)
    async with bench({"mounts": source}) as b:
        await b.follow(Mounts(), B)
        await b.follow(Mounts.near("/srv/old"))
        b.hub.follow(A, ())
        await b.follow(Mounts.near("/srv/new"))
        table = (BEFORE, mounted("/srv/old"))
        source.desk.changed()
        await b.told(B.service)
        assert A.service not in b.woken
        table = (BEFORE, mounted("/srv/new"))
        source.desk.changed()
        await b.told(A.service)


def test_equal_questions_of_different_concern_are_one():
    assert Subject(Mounts.near("/a")) == Subject(Mounts.near("/b")) == Subject(Mounts())
    assert len({Loops.of("/a"), Loops.of("/b"), Loops()}) == 1
