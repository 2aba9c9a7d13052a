"""The life of a cluster on real etcd: made, entered, hurt, left, and lost."""

import os
import signal
import ssl
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from reconciler.adapters import etcd_keeper, tokens
from reconciler.cli import cluster_join
from reconciler.decide import claims, hosts, keys
from reconciler.decide.claims import Claim
from reconciler.decide.hosts import Host as Told
from reconciler.errors import MayHeal
from tests.etcd.bed import needs_etcd
from tests.life.bed import Host, get, named, put, session, wait

pytestmark = needs_etcd


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
    put(b, {keys.host(name): hosts.written(Told()) for name in "abc"})
    assert b.standfast("leave", "--member", "x", "--yes") == 4
    assert "x is no member" in b.err
    assert b.standfast("leave", "--member", "a", "--yes") == 0, b.err
    assert "two voters: the loss of either machine, b or w" in b.err
    with pytest.raises(KeyError):
        get(b, keys.host("a"))
    assert get(b, keys.host("c")) == hosts.written(Told())
    put(b, {keys.session("c"): session("c")})
    assert b.standfast("leave", "--member", "c", "--yes") == 4
    assert "c has a session" in b.err
    put(b, {keys.session("c"): session("c", is_open=False)})
    assert b.standfast("leave", "--member", "c", "--yes") == 0, b.err
    with pytest.raises(KeyError):
        get(b, keys.host("c"))
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

    # Nor is who comes under the name of a member, or of a node that has a session.
    for name, why in (("a", "a is a member already"), ("c", "c is a node of this cluster")):
        put(a, {keys.session("c"): session("c")})
        assert b.standfast("join", "--without-etcd", "--token", token, "--name", name) == 4
        assert why in b.err
    assert (b.left(), named(b)) == ([], None)

    # A client uses the members of others. Its name is free once its session is closed.
    put(a, {keys.session("b"): session("b", is_open=False)})
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
        (("--listen", "0.0.0.0"), "0.0.0.0 is every address of this host"),
        (("--listen", "::"), ":: is every address of this host"),
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
