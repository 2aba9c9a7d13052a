"""The life of a cluster on real etcd: made, entered, hurt, left, and lost."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import ssl
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from reconciler.adapters import etcd_beside, etcd_keeper, tokens
from reconciler.adapters.etcd_beside import patient
from reconciler.adapters.keepsake import FileKeepsake
from reconciler.adapters.store_etcd import EtcdStore
from reconciler.cli import cluster_join
from reconciler.cli.cluster_recover import unnamed
from reconciler.decide import claims, keys, sessions
from reconciler.decide.claims import Claim
from reconciler.decide.documents.node import read_node
from reconciler.decide.sessions import Level, Session
from reconciler.errors import MayHeal
from reconciler.settings import Etcd
from tests.etcd.bed import needs_etcd
from tests.life.bed import Bed, Host, wait

pytestmark = needs_etcd


@pytest.fixture
def bed() -> Iterator[Bed]:
    with Bed() as made, made.inside():
        yield made


def named(host: Host) -> Etcd | None:
    settings, faults = read_node(host.node.read_bytes(), "node.yaml")
    assert not faults
    found = settings.get("etcd")
    assert found is None or isinstance(found, Etcd)
    return found


def put(host: Host, values: dict[str, str]) -> None:
    """What was said to a leader that has just died is said again."""

    async def act() -> None:
        at = named(host)
        assert at is not None
        store = EtcdStore(replace(patient(at), request_timeout=0.5))
        try:
            async with asyncio.timeout(10):
                while True:
                    with contextlib.suppress(MayHeal):
                        await store.commit({}, values)
                        return
        finally:
            await store.close()

    asyncio.run(act())


def answers(host: Host, other: Host, certificate: str, key: str) -> bool:
    """Whether a member talks on its members' port to who shows that certificate of `host`."""
    context = ssl.create_default_context(cafile=host.files.pki / "ca.pem")
    context.load_cert_chain(host.files.pki / certificate, host.files.pki / key)
    asked = HTTPSConnection(other.address, 2380, context=context, timeout=5)
    try:
        asked.request("GET", "/version")
        return asked.getresponse().status == 200
    except OSError:
        return False
    finally:
        asked.close()


def get(host: Host, key: str) -> str:
    async def act() -> str:
        at = named(host)
        assert at is not None
        store = EtcdStore(patient(at))
        try:
            return (await store.read(key)).entries[key].value
        finally:
            await store.close()

    return asyncio.run(act())


def session(node: str, epoch: int = 3) -> str:
    return sessions.written(Session(node, epoch, "boot", "secret", 18.5, Level.LEASE))


def test_a_cluster_of_two_nodes_and_a_witness(bed):
    a, b, w = bed.host("a"), bed.host("b"), bed.host("w")
    assert a.standfast("init", "--failover-time", "fast") == 0, a.err
    assert "standfast cluster join --listen ADDRESS --token sf1." in a.out
    assert "its only voter" in a.out
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in a.files.pki.glob("*.key")} == {
        "ca.key": "0o600",
        "client.key": "0o600",
        "member.key": "0o600",
    }
    assert oct(a.files.pki.stat().st_mode & 0o777) == "0o700"
    assert a.standfast("init") == 4
    assert "has a cluster already" in a.err

    token = a.token()
    assert b.standfast("join", "--token", token) == 4
    assert "loss of either machine" in b.err
    assert "--accept-two-voters" in b.err
    assert (b.left(), named(b)) == ([], None)

    assert w.standfast("witness", "--token", token) == 0, w.err  # who was refused has not used it
    assert "two voters: the loss of either machine" in w.err
    assert named(w) is None
    assert not (w.files.pki / "ca.key").exists()
    assert b.standfast("join", "--token", token) == 4
    assert "it was used" in b.err
    assert b.standfast("join", "--token", a.token()) == 0, b.err
    assert b.err == ""

    seen = b.status()
    assert [(one["name"], one["role"]) for one in sorted(seen["members"], key=lambda m: m["name"])] == [
        ("a", "voter"),
        ("b", "voter"),
        ("w", "witness"),
    ]
    assert (seen["voters"], seen["may_be_lost"], seen["well"], seen["warnings"]) == (3, 1, True, [])
    assert sum(one["state"] == "leader" for one in seen["members"]) == 1
    assert all(one["quota"] == 2 << 30 and one["version"] for one in seen["members"])
    assert seen["store"]["id"] == seen["mark"]["id"] == a.status()["mark"]["id"]
    assert w.standfast("status") == 0
    assert "w       witness" in w.out
    assert "failover_time: fast" in b.node.read_text()

    assert answers(b, a, "peer.pem", "member.key")
    assert not answers(b, a, "client.pem", "client.key")  # an agent is no member

    # An etcd that dies comes back by itself.
    before = b.etcd()
    os.kill(before, signal.SIGKILL)
    wait(lambda: b.etcd() not in (0, before))
    wait(lambda: b.status()["well"])

    # The first node was told of nobody but itself; the agent finds the others all the same.
    at = named(a)
    assert at is not None
    assert at.endpoints == ("https://127.0.0.1:2379",)
    wait(lambda: len(a.files.endpoints.read_text().split()) == 3)
    a.crash()
    put(a, {"x": "1"})
    assert get(b, "x") == "1"
    seen = b.status()
    assert [one["name"] for one in seen["members"] if one["state"] == "away"] == ["a"]
    assert not seen["well"]

    # It does not come back: it counts as a voter until it is taken out.
    assert b.standfast("leave", "--member", "x", "--yes") == 4
    assert "x is no member" in b.err
    assert b.standfast("leave", "--member", "a", "--yes") == 0, b.err
    assert "two voters: the loss of either machine, b or w" in b.err
    assert a.standfast("leave", "--local", "--yes") == 0, a.err
    assert (a.left(), named(a)) == ([], None)

    put(b, {keys.session("b"): session("b"), keys.claim("root/web", 0): claims.written(Claim(0, "b", 3))})
    assert b.standfast("leave") == 4
    assert "b holds web" in b.err
    put(b, {keys.claim("root/web", 0): claims.written(Claim(0, "b", 2))})  # of an epoch that is over
    (b.services / "web.yaml").write_text("kind: Service\n")
    assert b.standfast("leave") == 4
    assert "1 documents are in" in b.err
    assert b.standfast("leave", "--keep-documents") == 4
    assert "only w would be left" in b.err
    assert w.standfast("leave") == 0, w.err
    assert "one voter" in w.err
    assert (w.left(), w.etcd()) == ([], 0)
    assert [one["name"] for one in b.status()["members"]] == ["b"]
    assert b.standfast("leave", "--keep-documents") == 4
    assert "is the last voter" in b.err
    assert b.standfast("leave", "--local", "--keep-documents", "--yes") == 0, b.err
    assert (b.left(), named(b), b.etcd()) == ([], None, 0)


def test_who_is_not_let_in_leaves_nothing_behind(bed, monkeypatch):
    a, b = bed.host("a"), bed.host("b")
    assert a.standfast("init", "--failover-time", "fast") == 0, a.err
    good = tokens.read(a.token(), 0)
    for changed, why in (
        ({"secret": "another"}, "nobody knows this token"),
        ({"until": 1.0}, "the token has expired"),
        ({"authority": "ab" * 32}, "its authority has another fingerprint"),
    ):
        wrong = tokens.written(tokens.Token(**{**vars(good), **changed}))
        assert b.standfast("join", "--accept-two-voters", "--token", wrong) == 4
        assert why in b.err
    away = tokens.written(tokens.Token(**{**vars(good), "at": ("127.0.0.9:2381",)}))
    assert b.standfast("join", "--accept-two-voters", "--token", away) == 1
    assert "nobody lets us in: 127.0.0.9:2381" in b.err
    short = a.token("--valid", "1ms")
    longer = tokens.written(tokens.Token(**{**vars(tokens.read(short, 0)), "until": good.until}))
    for expired in (short, longer):  # what the token says is for its reader, what the store says counts
        assert b.standfast("join", "--accept-two-voters", "--token", expired) == 4
        assert "the token has expired" in b.err
    assert (b.left(), named(b)) == ([], None)

    # An etcd that does not come up: what was done is taken back, and the token is good again.
    broken = bed.path / "bin"
    broken.mkdir()
    (broken / "etcd").write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exec /usr/bin/etcd --version\nexit 1\n'
    )
    (broken / "etcd").chmod(0o755)
    token = a.token()
    with monkeypatch.context() as there:
        there.setenv("PATH", f"{broken}:{os.environ['PATH']}")
        there.setattr(cluster_join, "KNOWS", 0.5)
        assert b.standfast("join", "--accept-two-voters", "--token", token) == 1
    assert "taken back: what the cluster knows of this host" in b.err
    assert (b.left(), named(b), b.etcd()) == ([], None, 0)
    assert [one["name"] for one in a.status()["members"]] == ["a"]

    # A client uses the members of others.
    assert b.standfast("join", "--without-etcd", "--token", token) == 0, b.err
    at = named(b)
    assert at is not None
    assert at.endpoints == ("https://127.0.0.1:2379",)
    put(b, {"x": "1"})
    assert get(a, "x") == "1"
    assert a.standfast("leave") == 4
    assert "is the last voter" in a.err
    assert b.standfast("leave") == 0, b.err
    assert (b.left(), named(b)) == ([], None)


def test_a_cluster_that_cannot_be_made_leaves_nothing_behind(bed, monkeypatch):
    a = bed.host("a")
    for words, why in (
        (("--peer-port", "2379"), "each has to be another one"),
        (("--peer-port", "99999"), "cannot be listened on"),
        (("--listen", "10.9.8.7"), "10.9.8.7:2379 cannot be listened on"),
        (("--listen", "localhost"), "is no address"),
        (("--failover-time", "1s"), "choose at least"),
        (("--failover-time", "soon"), "soon"),
        (("--name", "a,b"), "is no name"),
    ):
        assert a.standfast("init", *words) == 4, words
        assert why in a.err
        assert a.left() == []
    monkeypatch.setattr("reconciler.cli.cluster_init.served", _fails)
    assert a.standfast("init") == 1
    assert "taken back: etcd, with its data" in a.err
    assert (a.left(), named(a), a.etcd()) == ([], None, 0)


async def _fails(store: object) -> None:
    raise MayHeal("it does not come up")


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
    for named_off, why in (("c", "c never had a session"), ("b,c", "c never had a session")):
        assert a.standfast("recover", "--confirmed-off", named_off, "--yes") == 4
        assert why in a.err
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
    assert b.standfast("join", "--accept-two-voters", "--token", a.token()) == 0, b.err
    assert b.status()["voters"] == 2


def test_where_systemd_runs_it_gets_a_unit_of_its_own(tmp_path, monkeypatch):
    said = tmp_path / "said"
    (tmp_path / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> {said}\n')
    (tmp_path / "systemctl").chmod(0o755)
    (tmp_path / "units").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(etcd_keeper, "SYSTEMD", tmp_path)
    monkeypatch.setattr(etcd_keeper, "UNITS", tmp_path / "units")
    files = etcd_keeper.Files(Path("/nowhere/state"), tmp_path / "run")
    etcd_keeper.start(files, detached=False)
    unit = tmp_path / "units" / "standfast-etcd.service"
    assert "cluster etcd --state /nowhere/state" in unit.read_text()
    etcd_keeper.stop(files)
    assert unit.exists()
    etcd_keeper.stop(files, forget=True)
    assert not unit.exists()
    assert said.read_text().splitlines() == [
        "daemon-reload",
        "enable --now standfast-etcd.service",
        "stop standfast-etcd.service",
        "disable --now standfast-etcd.service",
        "daemon-reload",
    ]
