"""The journal: what happened, kept by days and size, never in the way of the daemon."""

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.adapters import journal as module
from reconciler.adapters.journal import SqliteJournal
from reconciler.contracts import Event

DAY = 86_400.0


def event(text: str, ago: float = 0.0, service: str = "root/svc1", output: str = "") -> Event:
    return Event(time.time() - ago, "operation", service, "fs#app", "drift", text, False, 1.5, output)


def texts(journal: SqliteJournal, seconds: float = 3600.0, **more: object) -> list[str]:
    return [e.text for e in journal.since(seconds, **more)]  # type: ignore[arg-type]  # as given


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    with contextlib.closing(SqliteJournal(tmp_path / "events.db")) as it:
        yield it


def test_an_event_is_read_back_whole_before_and_after_it_was_written(journal: SqliteJournal) -> None:
    given = event("mount /dev/sda1 /data", output="said\nthis")
    journal.add(given)
    (before,) = journal.since(60)
    journal.flush()
    (after,) = journal.since(60)
    assert before == after
    assert (after.text, after.output, after.ok, after.seconds, after.at) == (
        given.text,
        given.output,
        False,
        1.5,
        given.at,
    )


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        pytest.param({}, ["a", "b", "c"], id="all, oldest first"),
        pytest.param({"limit": 2}, ["b", "c"], id="the newest two"),
        pytest.param({"limit": 0}, [], id="none at all"),
        pytest.param({"service": "root/x"}, ["b"], id="of one service"),
        pytest.param({"service": "x"}, [], id="a key is whole"),
    ],
)
@pytest.mark.parametrize("written", [0, 1, 2, 3])
def test_since(journal: SqliteJournal, asked: dict[str, object], found: list[str], written: int) -> None:
    """However many of them were written already."""
    for number, (text, service) in enumerate([("a", "root/y"), ("b", "root/x"), ("c", "root/y")], 1):
        journal.add(event(text, service=service))
        if number == written:
            journal.flush()
    assert texts(journal, **asked) == found


def test_only_the_last_seconds(journal: SqliteJournal) -> None:
    journal.add(event("old", ago=120))
    journal.add(event("new"))
    assert texts(journal, 60) == ["new"]
    journal.flush()
    assert texts(journal, 60) == ["new"]
    assert texts(journal, 180) == ["old", "new"]


def test_goes_on_after_a_number(journal: SqliteJournal) -> None:
    for text in "abc":
        journal.add(event(text))
    middle = journal.since(60)[1].number
    assert texts(journal, after=middle) == ["c"]


def test_numbers_rise_over_restarts_also_when_the_last_second_was_lost(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with contextlib.closing(SqliteJournal(path)) as first:
        first.add(event("kept"))
        first.flush()
        first.add(event("lost"))
        lost = first.since(60)[-1].number
        first._waiting.clear()  # as a loss of power does
        time.sleep(0.002)
    with contextlib.closing(SqliteJournal(path)) as second:
        second.add(event("next"))
        assert texts(second) == ["kept", "next"]
        assert second.since(60)[-1].number > lost


def test_followers_hear_of_each_event_until_they_leave(journal: SqliteJournal) -> None:
    heard: list[str] = []
    leave = journal.follow(lambda e: heard.append(f"{e.text} {e.number > 0}"))
    journal.add(event("a"))
    leave()
    journal.add(event("b"))
    assert heard == ["a True"]


def test_what_is_not_text_does_not_stop_it(journal: SqliteJournal) -> None:
    journal.add(event("odd \ud800", output="\udcff"))
    journal.add(event("next"))
    journal.flush()
    assert texts(journal) == ["odd ?", "next"]


def test_old_events_are_removed(tmp_path: Path) -> None:
    with contextlib.closing(SqliteJournal(tmp_path / "events.db", days=2)) as it:
        it._tidied = time.monotonic()
        for ago in (3 * DAY, 1 * DAY, 0):
            it.add(event(f"{ago / DAY:g}", ago=ago))
        it.flush()
        it._tidied = -1e9
        it.flush()
        assert texts(it, 10 * DAY) == ["1", "0"]


def test_too_many_the_oldest_go_first(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with contextlib.closing(SqliteJournal(path, megabytes=1)) as it:
        for number in range(300):
            it.add(event(str(number), output="x" * 10_000))
        it.flush()
        it._tidied = -1e9
        it.flush()
        left = texts(it)
        assert left[-1] == "299"
        assert left == [str(n) for n in range(300 - len(left), 300)]
        assert 10 < len(left) < 100
        size = sum(part.stat().st_size for part in tmp_path.iterdir())
        assert size < 2_000_000, "and the room is given back"


def test_damaged_it_is_set_aside_and_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    path.write_bytes(b"not a database at all" * 500)
    with contextlib.closing(SqliteJournal(path)) as it:
        it.add(event("a"))
        it.flush()
        assert texts(it) == ["a"]
        assert len(list(tmp_path.glob("events.db.damaged-*"))) == 1


def test_deleted_while_in_use_it_goes_on(journal: SqliteJournal) -> None:
    journal.add(event("gone"))
    journal.flush()
    for part in journal.path.parent.iterdir():
        part.unlink()
    journal.add(event("a"))
    journal.flush()
    assert texts(journal) == ["a"]
    assert journal.path.exists()


@pytest.mark.root
def test_on_a_full_disk_it_waits_then_drops_and_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid():
        pytest.skip("mounting a tmpfs needs root")
    monkeypatch.setattr(module, "WAITING", 5)
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", place], check=True)
    try:
        ballast = place / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        with contextlib.closing(SqliteJournal(place / "events.db")) as it:
            for number in range(8):
                it.add(event(str(number)))
            it.flush()
            assert "no space left" in it.trouble
            assert (it.dropped, texts(it)) == (3, ["3", "4", "5", "6", "7"])
            ballast.unlink()
            it.flush()
            assert it.trouble == ""
            it.add(event("8"))
            it.flush()
            assert texts(it) == ["3", "4", "5", "6", "7", "8"]
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_from_many_threads_none_is_lost_and_numbers_are_in_order(journal: SqliteJournal) -> None:
    def many(name: str) -> None:
        for n in range(100):
            journal.add(event(f"{name}{n}"))

    threads = [threading.Thread(target=many, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        journal.flush()
    for thread in threads:
        thread.join()
    found = journal.since(60, limit=1000)
    assert len({e.text for e in found}) == 400
    assert [e.number for e in found] == sorted(e.number for e in found)
