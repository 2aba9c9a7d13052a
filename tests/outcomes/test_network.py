"""What happens to an address: taken away, answered elsewhere, without a carrier, its name not to be had."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from reconciler.engine import progress
from tests import kernel

pytestmark = kernel.needs_root

ADDRESS = "10.83.0.10"
IP = {"type": "host", "name": f"{ADDRESS}/24", "dev": "br0"}
NAME = "db.standfast.test"


async def test_address_deleted(bed):
    bed.write("web", {"ip#0": IP})
    async with bed.agent() as agent:
        await agent.up("web")
        done = len(agent.operations("web"))
        bed.run(f"ip addr del {ADDRESS}/24 dev br0")
        await agent.until(lambda: f"{ADDRESS}/24" in bed.addresses(), within=1)
        await agent.up("web")
        assert agent.operations("web")[done:] == [
            f"ip addr add {ADDRESS}/24 dev br0",  # no probe: nothing is started, one thing is repaired
            f"arping -U -c 1 -I br0 {ADDRESS}",
        ]
        assert agent.told("web", "lost")


async def test_address_answered_by_another_host(bed, monkeypatch):
    monkeypatch.setattr(progress, "CONFLICT_WAIT", 1.5)
    bed.peer.run(f"ip addr add {ADDRESS}/24 dev peer0")
    bed.write("web", {"ip#0": IP, "fs#a": {"type": "tmpfs", "mnt": f"{bed.root}/a"}})
    async with bed.agent() as agent:
        await agent.until(lambda: agent.stalled("web") == "PreflightConflict")
        message = agent.condition("web", "Stalled")["message"]
        assert message.startswith("start aborted due to resource ip#0 conflict")
        assert bed.peer.mac in message
        assert agent.operations("web") == []  # nothing was activated
        assert bed.mounts() == []
        bed.peer.run(f"ip addr del {ADDRESS}/24 dev peer0")
        await agent.up("web")
        assert f"{ADDRESS}/24" in bed.addresses()


async def test_carrier_lost(bed):
    bed.write("web", {"ip#0": IP})
    async with bed.agent() as agent:
        await agent.up("web")
        bed.peer.run("ip link set peer0 down")
        await agent.until(lambda: "no carrier" in agent.notes("web", "ip#0"))
        assert agent.state("web", "ip#0") == "up"
        assert agent.object("web")["status"]["overall"] == "warn"
        bed.write("late", {"ip#0": {**IP, "name": "10.83.0.11/24"}})
        await agent.until(lambda: agent.stalled("late") == "Blocked")
        assert "no carrier" in agent.condition("late", "Stalled")["message"]
        assert bed.addresses() == ["10.83.0.1/24", f"{ADDRESS}/24"]
        bed.peer.run("ip link set peer0 up")
        await agent.up("late")
        await agent.until(lambda: "carrier" not in agent.notes("web", "ip#0"))
        assert agent.operations("web")[3:] == []  # probed, added, announced: nothing since


class Resolver(asyncio.DatagramProtocol):
    """A DNS server of one name; `address` "" leaves every question without an answer."""

    def __init__(self) -> None:
        self.address = ADDRESS

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        if not self.address:
            return
        end = data.index(b"\0", 12) + 5
        asks_v4 = struct.unpack("!H", data[end - 4 : end - 2]) == (1,)
        answer = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04" + socket.inet_aton(self.address) if asks_v4 else b""
        head = data[:2] + b"\x81\x80" + struct.pack("!HHHH", 1, asks_v4, 0, 0)
        self._transport.sendto(head + data[12:end] + answer, peer)


@asynccontextmanager
async def resolver(bed) -> AsyncIterator[Resolver]:
    """The only name server of this machine."""
    (bed.root / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    (bed.root / "nsswitch.conf").write_text("hosts: files dns\n")
    for name in ("resolv.conf", "nsswitch.conf"):
        bed.run(f"test ! -e /etc/{name} || mount --bind {bed.root}/{name} /etc/{name}")
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(Resolver, ("127.0.0.1", 53))
    try:
        yield server
    finally:
        transport.close()


NAMED = {"ip#0": {**IP, "name": NAME, "netmask": 24}}


async def test_dns_down(bed):
    async with resolver(bed) as server:
        server.address = ""
        bed.write("web", NAMED)
        async with bed.agent(look_every=1) as agent:
            await agent.until(lambda: agent.stalled("web") == "CannotLook")
            assert f"cannot resolve {NAME}" in agent.condition("web", "Stalled")["message"]
            assert agent.operations("web", ok=None) == []
            server.address = ADDRESS
            await agent.up("web")
            done = len(agent.operations("web"))
            server.address = ""
            await agent.until(lambda: "does not resolve now" in agent.notes("web", "ip#0"))
            assert agent.state("web", "ip#0") == "up"
        async with bed.agent(look_every=1) as agent:  # a new daemon, which has only its memory to go by
            await agent.up("web")
            assert f"{ADDRESS} stays" in agent.notes("web", "ip#0")
            assert agent.operations("web", ok=None) == []
            await agent.stopped("web")
            assert bed.addresses() == ["10.83.0.1/24"]
    assert done == 3


async def test_dns_changed(bed):
    async with resolver(bed) as server:
        bed.write("web", NAMED)
        async with bed.agent(look_every=1) as agent:
            await agent.up("web")
            done = len(agent.operations("web"))
            server.address = "10.83.0.20"
            await agent.until(lambda: "resolves to 10.83.0.20 now" in agent.notes("web", "ip#0"))
            assert agent.object("web")["status"]["overall"] == "warn"
            assert agent.is_ready("web")
            assert agent.operations("web")[done:] == []
            assert bed.addresses() == ["10.83.0.1/24", f"{ADDRESS}/24"]
            await agent.ask("web", "restart")
            await agent.until(lambda: "10.83.0.20/24" in bed.addresses())
            await agent.up("web")
            assert bed.addresses() == ["10.83.0.1/24", "10.83.0.20/24"]
