"""Links, addresses and routes against the kernel, each test in a network namespace of its own."""

import asyncio
import errno
import random
import socket
import struct
import time

import pytest

from reconciler.adapters.facts import network as network_module
from reconciler.adapters.facts import rtnetlink
from reconciler.adapters.facts.interfaces import NetworkSource
from reconciler.adapters.facts.network import Network
from reconciler.asks import Address, Addresses, AddressHeld, Failed, Link, Links, Route, Routes
from tests.facts.conftest import A, B, root, sh

pytestmark = [*root, pytest.mark.usefixtures("namespace")]
IP = "10.9.0.1"


def sources(events=True, every=3600.0):
    network = Network(events)
    return {name: NetworkSource(name, network, every) for name in ("links", "addresses", "routes")}


async def test_addresses_of_a_device_and_where_one_is_held(bench):
    sh(f"ip link add d0 type bridge; ip addr add {IP}/24 dev d0 label d0:x; ip link set d0 up")
    sh("ip -6 addr add fd00::1/64 dev d0 nodad")
    async with bench(sources()) as b:
        held = await b.get(Addresses("d0"))
        assert held[:2] == (Address(IP, 24, "d0", label="d0:x"), Address("fd00::1", 64, "d0"))
        assert await b.get(AddressHeld("fd00::1")) == (Address("fd00::1", 64, "d0"),)
        assert await b.get(Addresses("d9")) == ()
        assert await b.get(AddressHeld("10.9.0.9")) == ()


async def test_a_second_address_of_the_same_network_comes_after_the_first_added_later(bench):
    sh("ip link add d0 type bridge; ip addr add 10.9.0.1/24 dev d0; ip addr add 10.9.0.2/24 dev d0")
    async with bench(sources()) as b:
        await b.follow(Addresses("d0"))
        sh("ip addr add 10.8.0.1/24 dev d0")
        answer = await b.until(Addresses("d0"), lambda found: len(found) == 3)
        assert [a.ip for a in answer] == ["10.9.0.1", "10.8.0.1", "10.9.0.2"]


async def test_links_tell_carrier_and_kind(bench):
    sh("ip link add br0 type bridge; ip link add v0 type veth peer name v1")
    sh("ip link set v0 up; ip link set br0 up")
    async with bench(sources()) as b:
        links = await b.get(Links())
        assert links["lo"] == Link("lo", 1, up=True, carrier=True, loopback=True)
        assert (links["br0"].kind, links["br0"].up, links["br0"].carrier) == ("bridge", True, True)
        assert (links["v0"].kind, links["v0"].up, links["v0"].carrier) == ("veth", True, False)
        assert len(links["v0"].mac) == 17
        await b.follow(Links())
        sh("ip link set v1 up")
        await b.until(Links(), lambda links: links["v0"].carrier)


async def test_an_address_deleted_behind_our_back_wakes_who_follows_it_at_once(bench):
    sh(f"ip link add d0 type bridge; ip addr add {IP}/24 dev d0; ip addr add 10.9.9.9/24 dev d0")
    async with bench(sources()) as b:
        await b.follow(AddressHeld(IP), A)
        await b.follow(AddressHeld("10.9.9.9"), B)
        sh(f"ip addr del {IP}/24 dev d0")
        began = time.perf_counter()
        await b.told(A.service, within=1)
        assert time.perf_counter() - began < 0.5
        assert b.hub.known(A, AddressHeld(IP)) == ()
        assert B.service not in b.woken


async def test_our_own_change_is_in_the_next_answer_without_a_dump(bench, monkeypatch):
    sh("ip link add d0 type bridge")
    async with bench(sources()) as b:
        await b.follow(AddressHeld(IP))

        async def no_dump(table):
            raise AssertionError("dumped")

        monkeypatch.setattr(network_module, "_dump", no_dump)
        for _ in range(20):
            sh(f"ip addr add {IP}/24 dev d0")
            b.hub.touched(A, ("addresses",))
            assert await b.get(AddressHeld(IP)) == (Address(IP, 24, "d0"),)
            sh(f"ip addr del {IP}/24 dev d0")
            b.hub.touched(A, ("addresses", "routes"))
            assert await b.get(AddressHeld(IP)) == ()


async def test_without_events_the_periodic_look_notices(bench):
    sh("ip link add d0 type bridge")
    async with bench(sources(events=False, every=0.3), look_every=0.3, events=False) as b:
        await b.follow(AddressHeld(IP))
        sh(f"ip addr add {IP}/24 dev d0")
        await b.told(within=1.5)
        b.hub.touched(A, ("addresses",))
        assert await b.get(Addresses("d0")) == (Address(IP, 24, "d0"),)


async def test_lost_events_are_made_good_by_a_dump(bench, monkeypatch):
    sh("ip link add d0 type bridge")
    made = sources()
    async with bench(made) as b:
        await b.follow(AddressHeld(IP))
        network = made["addresses"]._network
        real = network._socket

        class Overflown:
            def recv(self, size):
                monkeypatch.setattr(network, "_socket", real)
                while True:
                    try:
                        real.recv(size)
                    except BlockingIOError:
                        raise OSError(errno.ENOBUFS, "lost") from None

            def __getattr__(self, name):
                return getattr(real, name)

        monkeypatch.setattr(network, "_socket", Overflown())
        sh(f"ip addr add {IP}/24 dev d0")
        await b.until(AddressHeld(IP), bool)


async def test_a_source_that_fails_is_unknown_and_recovers(bench, monkeypatch):
    sh(f"ip link add d0 type bridge; ip addr add {IP}/24 dev d0")
    real = network_module._dump

    async def broken(table):
        raise OSError(errno.EPERM, "Operation not permitted")

    async with bench(sources(events=False)) as b:
        await b.follow(AddressHeld(IP))
        monkeypatch.setattr(network_module, "_dump", broken)
        b.hub.touched(A, ("addresses",))
        assert await b.get(AddressHeld(IP)) == Failed("Operation not permitted")
        monkeypatch.setattr(network_module, "_dump", real)
        await b.until(AddressHeld(IP), bool)


async def test_a_device_that_goes_takes_its_addresses_along_and_a_new_one_of_its_name_starts_empty(bench):
    sh(f"ip link add d0 type bridge; ip addr add {IP}/24 dev d0")
    async with bench(sources()) as b:
        await b.follow(Addresses("d0"))
        sh("ip link del d0")
        await b.until(Addresses("d0"), lambda found: found == ())
        sh("ip link add d0 type bridge; ip addr add 10.7.0.1/24 dev d0")
        assert await b.until(Addresses("d0"), bool) == (Address("10.7.0.1", 24, "d0"),)


async def test_a_renamed_device_keeps_its_addresses(bench):
    sh(f"ip link add d0 type bridge; ip addr add {IP}/24 dev d0")
    async with bench(sources()) as b:
        await b.follow(Addresses("d1"))
        sh("ip link set d0 name d1")
        assert (await b.until(Addresses("d1"), bool))[0].dev == "d1"
        assert await b.get(Addresses("d0")) == ()


async def test_duplicate_detection_of_ipv6_is_seen_through(bench):
    sh("ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up")
    async with bench(sources()) as b:
        await b.follow(AddressHeld("fd00::1"))
        sh("ip addr add fd00::1/64 dev v0")
        found = await b.until(AddressHeld("fd00::1"), bool)
        assert found == (Address("fd00::1", 64, "v0", tentative=True),)
        found = await b.until(AddressHeld("fd00::1"), lambda found: not found[0].tentative, within=5)
        assert found == (Address("fd00::1", 64, "v0"),)
        sh("sysctl -qw net.ipv6.conf.v1.accept_dad=1; ip addr add fd00::1/64 dev v1")
        found = await b.until(
            AddressHeld("fd00::1"), lambda found: any(a.duplicate for a in found), within=5
        )
        assert [a.dev for a in found if a.duplicate] == ["v1"]


async def test_routes_of_a_table(bench):
    sh(f"ip link add d0 type bridge; ip link set d0 up; ip addr add {IP}/24 dev d0")
    sh("ip route add default via 10.9.0.254")
    sh("ip route add 10.66.0.0/16 via 10.9.0.253 metric 7 src 10.9.0.1")
    sh("ip -6 addr add fd00::1/64 dev d0 nodad; ip -6 route add fd66::/32 via fd00::2")
    sh("ip route add 10.5.0.0/16 dev d0 table 77")
    async with bench(sources()) as b:
        routes = await b.get(Routes())
        assert Route("default", "10.9.0.254", "d0") in routes
        assert Route("10.66.0.0/16", "10.9.0.253", "d0", metric=7, src=IP) in routes
        assert Route("10.9.0.0/24", "", "d0", src=IP) in routes
        assert Route("fd66::/32", "fd00::2", "d0", metric=1024) in routes
        assert await b.get(Routes(77)) == (Route("10.5.0.0/16", "", "d0", table=77),)


@pytest.mark.parametrize(
    ("damage", "left"),
    [
        pytest.param("ip route del 10.66.0.0/16", False, id="deleted"),
        pytest.param("ip addr del 10.9.0.1/24 dev d0", False, id="its source gone, which has no event"),
        pytest.param("ip link set d0 down", False, id="its device down, which has no event"),
        pytest.param("ip link del d0", False, id="its device gone"),
        pytest.param("ip route replace 10.66.0.0/16 via 10.9.0.250", False, id="replaced"),
        pytest.param("ip route add 10.67.0.0/16 via 10.9.0.253", True, id="another one added"),
    ],
)
async def test_a_change_of_routes_is_heard(bench, damage, left):
    sh(f"ip link add d0 type bridge; ip link set d0 up; ip addr add {IP}/24 dev d0")
    sh(f"ip route add 10.66.0.0/16 via 10.9.0.253 src {IP}")
    wanted = Route("10.66.0.0/16", "10.9.0.253", "d0", src=IP)
    async with bench(sources()) as b:
        before = await b.follow(Routes())
        assert wanted in before
        sh(damage)
        await b.until(Routes(), lambda routes: (wanted in routes) is left and routes != before)


async def test_multipath_is_one_route_for_each_hop(bench):
    sh(f"ip link add d0 type bridge; ip link set d0 up; ip addr add {IP}/24 dev d0")
    sh("ip route add 10.66.0.0/16 nexthop via 10.9.0.2 nexthop via 10.9.0.3")
    async with bench(sources()) as b:
        routes = await b.get(Routes())
        assert [r.via for r in routes if r.to == "10.66.0.0/16"] == ["10.9.0.2", "10.9.0.3"]


async def test_a_dump_leaves_what_followers_know_in_its_order(bench):
    sh("ip link add d0 type bridge; ip addr add 10.9.0.1/24 dev d0; ip addr add 10.8.0.1/24 dev d0")
    made = sources()
    async with bench(made) as b:
        await b.follow(Addresses("d0"))
        sh("ip addr del 10.9.0.1/24 dev d0; ip addr add 10.9.0.1/24 dev d0")
        await b.until(Addresses("d0"), lambda found: [a.ip for a in found] == ["10.8.0.1", "10.9.0.1"])
        made["addresses"].distrust()
        made["addresses"].desk.changed()
        assert await b.quiet()


async def test_what_happens_during_a_dump_comes_after_it(bench, monkeypatch):
    sh(f"ip link add d0 type bridge; ip addr add {IP}/24 dev d0")
    real, made = network_module._dump, sources()

    async def slow(table):
        found = await real(table)
        sh(f"ip addr del {IP}/24 dev d0", ok=(0, 2))
        await asyncio.sleep(0.05)  # the event is there to be heard before the dump is taken in
        return found

    async with bench(made) as b:
        await b.follow(AddressHeld(IP))
        monkeypatch.setattr(network_module, "_dump", slow)
        made["addresses"].distrust()
        b.hub.touched(A, ("addresses",))
        assert await b.get(AddressHeld(IP)) == ()


async def test_routes_are_dumped_anew_once_an_address_went(bench):
    """Older kernels drop the routes that have it as source without a word."""
    sh(f"ip link add d0 type bridge; ip link set d0 up; ip addr add {IP}/24 dev d0")
    made = sources()
    async with bench(made) as b:
        await b.follow(Routes())
        network, changed = made["routes"]._network, set()
        body = struct.pack("=BBBBI", 2, 24, 0, 0, network.indexes["d0"])
        body += struct.pack("=HH", 8, 2) + socket.inet_aton(IP)
        network._apply(rtnetlink.Message(rtnetlink.DELADDR, 0, body), changed)
        assert Routes() in changed
        assert rtnetlink.GETROUTE not in network._valid


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_comes_in_between_the_end_is_as_the_kernel_has_it(bench, seed):
    """Links and addresses change while they are dumped, asked for and touched."""
    dice, ips = random.Random(seed), [f"10.9.0.{last}" for last in range(1, 16)]
    sh("ip link add d0 type bridge forward_delay 0; ip link add v0 type veth peer name v1")
    sh("ip link set v0 master d0 up; ip link set d0 up")
    changes = [
        *(f"link set {dev} {state}" for dev in ("v0", "v1", "d0") for state in ("up", "down")),
        *(f"addr {verb} {ip}/24 dev d0" for verb in ("add", "del") for ip in ips),
    ]
    batch = [*(dice.choice(changes) for _ in range(300)), *(f"link set {d} up" for d in ("v0", "v1", "d0"))]
    async with bench(sources(every=dice.choice((0.02, 3600.0)))) as b:
        asks = (Links(), *map(AddressHeld, ips))
        b.hub.follow(A, asks)
        await b.hub.answer(A, asks)
        damage = await asyncio.create_subprocess_exec("ip", "-force", "-batch", "-", stdin=-1, stderr=-3)
        going_on = asyncio.create_task(damage.communicate("\n".join(batch).encode()))
        while not going_on.done():
            if dice.random() < 0.3:
                b.hub.touched(A, ("addresses", "links"))
            await b.hub.answer(A, (Links(), AddressHeld(dice.choice(ips))))
            await asyncio.sleep(dice.choice((0, 0, 0.001)))
        assert await b.until(Links(), lambda links: all(links[d].carrier for d in ("d0", "v0", "v1")))
        held = {line.split()[3].partition("/")[0] for line in sh("ip -4 -o addr show dev d0").splitlines()}
        for ip in ips:
            await b.until(AddressHeld(ip), lambda found, there=ip in held: bool(found) is there)
