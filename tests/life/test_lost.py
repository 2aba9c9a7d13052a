"""Most voters are lost at once: the store is begun anew on one that is left; who comes back enters anew."""

import json
import shutil
from pathlib import Path

import pytest

from reconciler.adapters import etcd_beside, etcd_keeper
from reconciler.adapters.keepsake import FileKeepsake
from reconciler.cli.cluster_recover import unnamed
from reconciler.decide import keys
from reconciler.decide.sessions import Level, Session
from tests.etcd.bed import needs_etcd
from tests.life.bed import named, put, session, wait

pytestmark = needs_etcd


def _no_room(data: Path, copy: Path) -> None:
    copy.mkdir()
    raise OSError("No space left on device")


@pytest.mark.parametrize(
    ("known", "off", "why"),
    [
        ({"a": True, "b": True}, {"b"}, ""),
        ({"a": True, "b": True, "c": False}, {"b"}, ""),
        ({"a": True, "b": True, "c": True}, {"b"}, "c had a session, and was not named"),
        ({"a": True, "b": True, "c": None}, {"b"}, "c had a session, and was not named"),
        ({"a": True, "b": True}, {"d"}, "d never had a session in this store; other nodes are: b"),
    ],
)
def test_who_has_to_be_named(known, off, why):
    sessions = {name: session_of(name, is_open) for name, is_open in known.items()}
    assert unnamed(sessions, off, "a").startswith(why)
    assert bool(unnamed(sessions, off, "a")) is bool(why)


def session_of(name: str, is_open: bool | None) -> Session | None:
    return None if is_open is None else Session(name, 3, "b", "s", 7.0, Level.LEASE, open=is_open)


def test_two_voters_and_one_is_lost(bed, monkeypatch):
    monkeypatch.setattr(etcd_beside, "PATIENT", 1.0)
    a, b = bed.host("a"), bed.host("b")
    assert a.standfast("init", "--failover-time", "fast") == 0, a.err
    assert b.standfast("join", "--accept-two-voters", "--token", a.token()) == 0, b.err
    assert "two voters: the loss of either machine, a or b" in b.err
    put(a, {keys.session("b"): session("b"), keys.beat("b"): "t", keys.session("a"): session("a", 5)})
    before = a.status()["store"]["id"]
    assert any("a, b: level lease, nobody resets a host" in text for text in a.status()["warnings"])
    assert a.standfast("status") == 0
    assert a.out.splitlines()[-1].startswith("Outside the promise: a machine that is paused")
    assert a.standfast("recover", "--confirmed-off", "b", "--yes") == 4
    assert "the store answers: there is nothing to recover" in a.err
    b.crash()
    seen = a.status()
    assert not seen["well"]
    assert "the store does not answer" in seen["warnings"][0]
    assert a.standfast("recover", "--confirmed-off", "c", "--yes") == 4
    assert "b does not answer, and was not named" in a.err
    # After a restart its etcd knows of no other: then the sessions say who was there.
    etcd_keeper.stop(a.files)
    etcd_keeper.start(a.files, detached=True)
    assert a.standfast("recover", "--confirmed-off", "b,c", "--yes") == 4
    assert "c never had a session" in a.err
    assert not list(a.files.state.glob("etcd.before-*"))
    with monkeypatch.context() as full:
        full.setattr(shutil, "copytree", _no_room)
        assert a.standfast("recover", "--confirmed-off", "b", "--yes") == 4
        assert "so nothing is changed: No space left" in a.err
    assert (a.files.data / "member").is_dir()
    assert a.standfast("recover", "--confirmed-off", "b") == 1  # nobody is there to say yes
    assert a.standfast("recover", "--confirmed-off", "b", "--yes") == 0, a.err
    seen = a.status()
    assert seen["store"]["id"] == seen["mark"]["id"] != before
    assert [one["name"] for one in seen["members"]] == ["a"]
    found = {one["node"]: one for one in seen["sessions"]}
    assert (found["b"]["open"], found["b"]["epoch"], found["b"]["level"]) == (False, 4, "fenced")
    assert (found["a"]["open"], found["a"]["epoch"]) == (True, 5)
    assert list(a.files.state.glob("etcd.before-*"))
    at = named(a)
    assert at is not None
    assert at.endpoints == ("https://127.0.0.1:2379",)

    # Whoever knows the store from before takes it for lost until a person accepts it.
    keepsake = FileKeepsake(a.files.run, a.files.state)
    kept = json.loads((a.files.state / "store.json").read_text())
    kept["identity"]["store"], kept["epoch"] = before, 9
    (a.files.state / "store.json").write_text(json.dumps(kept))
    assert not a.status()["well"]
    assert a.standfast("accept-store") == 1
    assert a.standfast("accept-store", "--yes") == 0, a.err
    assert keepsake.mark().identity is None
    assert keepsake.mark().epoch == 9
    (a.files.state / "store.json").write_text("{")
    assert a.standfast("accept-store", "--yes") == 0, a.err
    assert keepsake.mark().epoch == 5

    # The lost one comes back with the old data: it has no say, and enters anew.
    etcd_keeper.start(b.files, detached=True)
    wait(lambda: b.etcd() or not etcd_keeper.keeper(b.files))
    assert b.standfast("leave", "--local", "--yes") == 0, b.err
    assert b.left() == []
    # As a witness, too: what it remembers of the store before is no matter.
    assert b.standfast("witness", "--token", a.token()) == 0, b.err
    assert b.status()["well"]
    assert b.standfast("join", "--token", a.token()) == 4
    assert "b is a witness: `standfast cluster leave` first" in b.err
    assert b.standfast("leave") == 0, b.err
    assert b.standfast("join", "--accept-two-voters", "--token", a.token()) == 0, b.err
    assert b.status()["voters"] == 2
