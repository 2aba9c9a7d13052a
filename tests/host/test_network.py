"""Addresses, routes, probes and announcements in a network namespace with a neighbour."""

import asyncio
import socket
import time
from ipaddress import ip_interface

import pytest

from reconciler.adapters import arp
from reconciler.operations import (
    AddAddress,
    AddRoute,
    Announce,
    DeleteAddress,
    DeleteRoute,
    ProbeAddress,
    SetLinkUp,
)
from tests import kernel
from tests.kernel import run

pytestmark = kernel.needs_root
NET = "198.51.100.0/24"


@pytest.fixture
def bridge(world):
    run("ip link add br0 type bridge && ip link set br0 up")


@pytest.fixture
def peer(world):
    with kernel.neighbour() as there:
        yield there


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        pytest.param("192.0.2.10/24", "inet 192.0.2.10/24 scope global br0", id="v4"),
        pytest.param("192.0.2.10/32", "inet 192.0.2.10/32 scope global br0", id="v4 host address"),
        pytest.param("127.9.0.1/32", "inet 127.9.0.1/32 scope host br0", id="v4 of the loopback net"),
        pytest.param("2001:db8::10/64", "inet6 2001:db8::10/64 scope global nodad", id="v6 at once"),
    ],
)
async def test_address_comes_and_goes(world, bridge, address, shown):
    for _ in range(2):
        await world.works(AddAddress(address, "br0"))
    assert shown in run("ip addr show dev br0")
    for _ in range(2):
        await world.works(DeleteAddress(address, "br0"))
    assert shown not in run("ip addr show dev br0")


async def test_address_with_label(world, bridge):
    await world.works(AddAddress("192.0.2.10/24", "br0", label="br0:web"))
    assert "192.0.2.10/24 scope global br0:web" in run("ip addr show dev br0")


async def test_deleting_the_first_address_leaves_the_others_of_its_subnet(world, bridge):
    for last in (10, 11, 12):
        await world.works(AddAddress(f"192.0.2.{last}/24", "br0"))
    await world.works(DeleteAddress("192.0.2.10/24", "br0"))
    left = run("ip -o -4 addr show dev br0")
    assert "192.0.2.11/24" in left
    assert "192.0.2.12/24" in left


async def test_deleting_from_a_missing_device_is_fine(world):
    await world.works(DeleteAddress("192.0.2.10/24", "nosuch0"))


@pytest.mark.parametrize(
    ("operation", "part"),
    [
        pytest.param(AddAddress("192.0.2.10/24", "nosuch0"), "No such device", id="address"),
        pytest.param(SetLinkUp("nosuch0"), "No such device", id="link"),
        pytest.param(AddRoute("198.51.100.0/24", dev="nosuch0"), "No such device", id="route"),
        pytest.param(ProbeAddress("192.0.2.10/24", "nosuch0"), "No such device", id="probe"),
        pytest.param(Announce("192.0.2.10/24", "nosuch0"), "No such device", id="announce"),
    ],
)
async def test_missing_device_is_named_by_the_command(world, operation, part):
    outcome = await world.do(operation)
    assert not outcome.ok
    assert not outcome.conflict
    assert outcome.error.startswith(f"{operation}: ")
    assert part in outcome.error


async def test_v6_address_with_another_prefix_is_an_error(world, bridge):
    await world.works(AddAddress("2001:db8::10/64", "br0"))
    outcome = await world.do(AddAddress("2001:db8::10/128", "br0"))
    assert not outcome.ok
    assert "/64" in outcome.error


async def test_v6_switched_off_says_so(world, bridge):
    run("sysctl -q -w net.ipv6.conf.br0.disable_ipv6=1")
    outcome = await world.do(AddAddress("2001:db8::10/64", "br0"))
    assert "IPv6 is disabled" in outcome.error


async def test_link_goes_up(world):
    run("ip link add br1 type bridge")
    for _ in range(2):
        await world.works(SetLinkUp("br1"))
    assert "UP" in run("ip -o link show br1").split("<")[1].split(">")[0].split(",")


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        pytest.param(
            {"to": "198.51.100.0/24", "via": "192.0.2.1"}, "198.51.100.0/24 via 192.0.2.1", id="via"
        ),
        pytest.param(
            {"to": "198.51.100.0/24", "dev": "br0"}, "198.51.100.0/24 dev br0 scope link", id="dev"
        ),
        pytest.param(
            {
                "to": "default",
                "via": "192.0.2.1",
                "dev": "br0",
                "table": 1000,
                "metric": 7,
                "src": "192.0.2.10",
            },
            "default via 192.0.2.1 dev br0 table 1000 src 192.0.2.10 metric 7",
            id="all words",
        ),
        pytest.param(
            {"to": "2001:db8:1::/64", "via": "2001:db8::1"}, "2001:db8:1::/64 via 2001:db8::1", id="v6"
        ),
        pytest.param({"to": "default", "via": "2001:db8::1"}, "default via 2001:db8::1", id="v6 default"),
        pytest.param(
            {"to": "198.51.100.0/24", "via": "2001:db8::1"}, "via inet6 2001:db8::1", id="v4 by v6 gateway"
        ),
    ],
)
async def test_route_comes_and_goes(world, bridge, fields, shown):
    await world.works(AddAddress("192.0.2.10/24", "br0"))
    await world.works(AddAddress("2001:db8::10/64", "br0"))
    for _ in range(2):
        await world.works(AddRoute(**fields))
    assert shown in run("ip route show table all; ip -6 route show table all")
    for _ in range(2):
        await world.works(DeleteRoute(**fields))
    assert shown not in run("ip route show table all; ip -6 route show table all")


async def test_deleting_a_route_through_a_missing_device_is_fine(world):
    await world.works(DeleteRoute("198.51.100.0/24", dev="nosuch0"))


async def test_route_by_an_unreachable_gateway_carries_the_kernels_words(world, bridge):
    outcome = await world.do(AddRoute("198.51.100.0/24", via="203.0.113.1"))
    assert not outcome.ok
    assert outcome.error.startswith("ip route replace 198.51.100.0/24 via 203.0.113.1: ")


@pytest.mark.parametrize("address", ["192.0.2.10/24", "2001:db8::10/64"])
async def test_probe_of_an_address_that_a_neighbour_has(world, peer, address):
    peer.run(f"ip addr add {address} dev {peer.its_dev} {'nodad' if ':' in address else ''}")
    outcome = await world.do(ProbeAddress(address, "eth0"))
    assert not outcome.ok
    assert outcome.conflict
    assert outcome.error == f"{address.partition('/')[0]} is answered by {peer.mac}"
    assert outcome.seconds < 0.3


@pytest.mark.parametrize("address", ["192.0.2.10/24", "2001:db8::10/64"])
async def test_probe_of_a_free_address_takes_its_time_and_no_more(world, peer, address):
    outcome = await world.works(ProbeAddress(address, "eth0", probes=3, within=0.3))
    assert 0.29 < outcome.seconds < 0.6


@pytest.mark.parametrize("address", ["192.0.2.10/24", "2001:db8::10/64"])
async def test_probe_sees_another_who_is_just_probing(world, peer, address):
    run("ip addr add 192.0.2.99/24 dev eth0")
    probing = asyncio.create_task(world.do(ProbeAddress(address, "eth0", within=1.0)))
    await asyncio.sleep(0)
    ip = arp.ip_address(address.partition("/")[0])
    with peer.inside(), arp._listen(peer.its_dev, ip) as wire:
        arp._send(wire, arp._question(ip, bytes.fromhex(peer.mac.replace(":", ""))))
    outcome = await probing
    assert outcome.conflict, outcome


@pytest.mark.parametrize(
    ("dev", "note"),
    [
        pytest.param("lo", "lo is a loopback device", id="loopback"),
        pytest.param("dummy0", "dummy0 has no ARP", id="no ARP"),
    ],
)
async def test_probe_where_there_is_nobody_to_ask(world, dev, note):
    if dev == "dummy0":
        run("ip link add dummy0 type bridge && ip link set dummy0 arp off up")
    outcome = await world.works(ProbeAddress("192.0.2.10/24", dev))
    assert note in outcome.output
    assert outcome.seconds < 0.2


async def test_probe_of_our_own_address_is_fine_at_once(world, peer):
    await world.works(AddAddress("192.0.2.10/24", "eth0"))
    peer.run(f"ip addr add 192.0.2.10/24 dev {peer.its_dev}")
    outcome = await world.works(ProbeAddress("192.0.2.10/24", "eth0"))
    assert "ours already" in outcome.output
    assert outcome.seconds < 0.2


async def test_probe_on_a_device_that_is_down_is_an_error(world, peer):
    run("ip link set eth0 down")
    outcome = await world.do(ProbeAddress("192.0.2.10/24", "eth0"))
    assert not outcome.ok
    assert not outcome.conflict
    assert "down" in outcome.error


async def test_probe_can_be_cancelled(world, peer):
    probing = asyncio.create_task(world.do(ProbeAddress("192.0.2.10/24", "eth0", within=10.0)))
    await asyncio.sleep(0.05)
    probing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probing


async def test_announcement_corrects_a_neighbours_table(world, peer):
    """What a client of the service would have to wait for otherwise."""
    peer.run(f"ip addr add 192.0.2.1/24 dev {peer.its_dev}")
    peer.run(f"ip neigh replace 192.0.2.10 lladdr 02:00:00:00:00:01 dev {peer.its_dev} nud stale")
    await world.works(AddAddress("192.0.2.10/24", "eth0"))
    mac = run("ip -o link show eth0").split("link/ether ")[1].split()[0]
    # A kernel ignores gratuitous ARP for a second after it has learnt something else.
    until = time.monotonic() + 5
    while mac not in (shown := peer.run("ip neigh show 192.0.2.10")):
        assert time.monotonic() < until, shown
        outcome = await world.works(Announce("192.0.2.10/24", "eth0"))
        assert outcome.seconds < 0.1
        await asyncio.sleep(0.2)


@pytest.mark.parametrize("address", ["192.0.2.10/24", "2001:db8::10/64"])
async def test_announcement_is_repeated_only_while_the_address_is_ours(world, peer, address, monkeypatch):
    monkeypatch.setattr(arp, "AGAIN_AFTER", 0.2)
    with peer.inside():
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(0x0003))
        wire.bind((peer.its_dev, 0x0003))
    wire.setblocking(False)
    packed = ip_interface(address).ip.packed

    async def heard(seconds):
        loop, frames = asyncio.get_running_loop(), 0
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0:
            try:
                frame = await asyncio.wait_for(loop.sock_recv(wire, 2048), left)
            except TimeoutError:
                break
            kind = int.from_bytes(frame[12:14], "big")
            by_arp = kind == 0x0806 and frame[28:32] == frame[38:42] == packed
            by_nd = kind == 0x86DD and frame[54] == 136 and frame[62:78] == packed
            frames += by_arp or by_nd
        return frames

    with wire:
        await world.works(AddAddress(address, "eth0"))
        await world.works(Announce(address, "eth0"))
        first = await heard(0.1)
        assert first >= 1
        assert await heard(0.2) == first
        await world.works(Announce(address, "eth0"))
        await world.works(DeleteAddress(address, "eth0"))
        assert await heard(0.35) == first


async def test_an_announcement_not_yet_repeated_does_not_outlive_its_agent(world, peer):
    await world.works(AddAddress("192.0.2.10/24", "eth0"))
    await world.works(Announce("192.0.2.10/24", "eth0"))
    world.host.close()
    await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert left == []
