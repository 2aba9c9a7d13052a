"""Names: literals answer themselves, the resolver the rest, and its silence is not an answer."""

import socket
import threading

import pytest

from reconciler.adapters.facts import names as module
from reconciler.adapters.facts.names import NameSource, resolve
from reconciler.asks import Failed, Name
from tests.facts.conftest import A, B


class Dns:
    def __init__(self, **answers):
        self.answers, self.asked, self.release = answers, [], threading.Event()

    def __call__(self, name):
        self.asked.append(name)
        answer = self.answers[name]
        if answer == "hang":
            self.release.wait(10)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("name", "answer"),
    [("192.0.2.7", ("192.0.2.7",)), ("FD00:0::1", ("fd00::1",)), ("localhost", ("127.0.0.1",))],
)
async def test_literals_and_the_hosts_file(bench, name, answer):
    async with bench({"names": NameSource(3600)}) as b:
        found = await b.get(Name(name))
        assert set(answer) <= set(found)


def test_what_cannot_be_resolved_says_so(monkeypatch):
    with pytest.raises(OSError, match=r"cannot resolve a\.\.b: is no host name"):
        resolve("a..b")

    def no_server(*_, **__):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_server)
    with pytest.raises(OSError, match="cannot resolve db: Temporary failure in name resolution"):
        resolve("db")


async def test_the_resolver_down_is_failed_and_it_recovers(bench):
    dns = Dns(db=OSError("cannot resolve db: Temporary failure in name resolution"))
    async with bench({"names": NameSource(3600, dns)}) as b:
        b.hub.follow(A, [Name("db")])
        assert await b.get(Name("db")) == Failed("cannot resolve db: Temporary failure in name resolution")
        dns.answers["db"] = ("10.0.0.1",)
        assert await b.until(Name("db"), bool) == ("10.0.0.1",)


async def test_a_resolver_that_hangs_fails_at_the_limit_and_holds_up_no_other(bench, monkeypatch):
    monkeypatch.setattr(module, "_LIMIT", 0.4)
    dns = Dns(slow="hang", quick=("10.0.0.2",))
    try:
        async with bench({"names": NameSource(3600, dns)}) as b:
            b.hub.follow(A, [Name("slow")])
            assert await b.get(Name("slow"), A) == Failed("slow did not answer within 0.4 s")
            assert await b.get(Name("quick"), B) == ("10.0.0.2",)
            assert dns.asked.count("slow") == 1
    finally:
        dns.release.set()


async def test_another_answer_wakes_who_follows_another_order_does_not(bench):
    dns = Dns(db=("10.0.0.1", "10.0.0.2"))
    async with bench({"names": NameSource(0.1, dns)}, look_every=0.1) as b:
        await b.follow(Name("db"))
        dns.answers["db"] = ("10.0.0.2", "10.0.0.1")
        assert await b.quiet(0.4)
        assert b.hub.known(A, Name("db")) == ("10.0.0.1", "10.0.0.2")
        dns.answers["db"] = ("10.0.0.2", "10.0.0.3")
        await b.told()
        assert b.hub.known(A, Name("db")) == ("10.0.0.2", "10.0.0.3")
