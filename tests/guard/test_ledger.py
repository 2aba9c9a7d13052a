"""The ledger's file: what was acknowledged is read back, whatever happened in the middle of a write."""

import pytest

from reconciler.guard import ledger as module
from reconciler.guard import records
from reconciler.guard.ledger import Ledger
from reconciler.guard.lines import Command, Damaged, Loop, Volumes, decode, encode
from reconciler.guard.words import Peer, Session, Terms
from tests.guard.rig import APP, FS, IP, STANDBY

SESSION = Session(7, Peer(100, 12345), "/cg/operations", "/run/operations", Terms(8.0, 1.5), real=True)
LINES = (
    IP,
    FS,
    APP,
    STANDBY,
    Loop("a:b", "/x y", 7),
    Volumes("a:b", "vg", "lv"),
    Command("a:b", ("x", "é")),
)


@pytest.fixture
def place(tmp_path):
    return str(tmp_path)


def opened(place, boot="b1"):
    ledger = Ledger(place, boot)
    return ledger, ledger.load()


def filled(place):
    ledger, _ = opened(place)
    ledger.write(records.opened(SESSION))
    ledger.write(records.entered({1: IP, 2: FS}))
    ledger.write(records.entered({3: APP}))
    ledger.keep(4321.5)
    return ledger


@pytest.mark.parametrize("line", [*LINES, Damaged("", "?")], ids=lambda line: type(line).__name__)
def test_every_line_comes_back_as_it_was(line):
    assert decode(encode(line)) == line


def test_what_was_written_is_found_by_the_next(place):
    ledger = filled(place)
    ledger.write(records.left([2]))
    _, found = opened(place)
    assert found == records.Loaded({1: IP, 3: APP}, SESSION, "", 0, 4, 4321.5)
    ledger, _ = opened(place)
    ledger.write(records.tripped("the deadline passed"))
    assert opened(place)[1].tripped == "the deadline passed"
    ledger, _ = opened(place)
    ledger.write(records.over(7))
    _, found = opened(place)
    assert (found.session, found.last, found.deadline) == (None, 7, None)


def test_a_line_cut_short_at_any_byte_was_never_acknowledged(place, tmp_path):
    filled(place)
    whole = (tmp_path / "ledger").read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for at in range(last, len(whole)):
        (tmp_path / "ledger").write_bytes(whole[:at])
        ledger, found = opened(place)
        assert list(found.lines) == [1, 2], at
        ledger.write(records.entered({9: STANDBY}))
        assert list(opened(place)[1].lines) == [1, 2, 9], at


def test_damage_in_the_middle_is_kept_as_a_thing_that_is_never_seen_gone(place, tmp_path):
    filled(place)
    lines = (tmp_path / "ledger").read_bytes().splitlines()
    spoiled = lines[2].replace(b"192.0.2.10", b"192.0.2.99")
    (tmp_path / "ledger").write_bytes(b"\n".join([*lines[:2], spoiled, *lines[3:], b""]))
    _, found = opened(place)
    kinds = [type(line).__name__ for line in found.lines.values()]
    assert sorted(kinds) == ["Damaged", "Program"]
    assert opened(place)[1].lines == found.lines  # and stays so


def test_a_write_that_fails_half_way_leaves_nothing_behind(place, tmp_path, monkeypatch):
    ledger = filled(place)
    before = (tmp_path / "ledger").read_bytes()
    real = module.os.write
    monkeypatch.setattr(module.os, "write", lambda fd, data: real(fd, data[: len(data) // 2]))
    with pytest.raises(OSError, match="No space left"):
        ledger.write(records.entered({4: STANDBY}))
    monkeypatch.undo()
    assert (tmp_path / "ledger").read_bytes() == before
    ledger.write(records.entered({4: STANDBY}))
    assert list(opened(place)[1].lines) == [1, 2, 3, 4]


def test_of_an_earlier_boot_nothing_is_up_but_its_epoch_is_used(place):
    filled(place)
    _, found = opened(place, boot="b2")
    assert found == records.Loaded(last=7)
    assert opened(place, boot="b2")[1].last == 7


def test_it_is_written_anew_when_most_of_it_is_past(place, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BIGGEST", 4000)
    ledger = filled(place)
    for _ in range(500):
        ledger.write(records.entered({4: STANDBY}))
        ledger.write(records.left([4]))
    assert (tmp_path / "ledger").stat().st_size < 5000
    assert list(opened(place)[1].lines) == [1, 2, 3]


@pytest.mark.parametrize("text", ["", "12", "00000000 000000004321.500000\n", "zz 1\n", "\0" * 30])
def test_half_a_deadline_is_none(place, tmp_path, text):
    filled(place)
    (tmp_path / "deadline").write_text(text)
    assert opened(place)[1].deadline is None
