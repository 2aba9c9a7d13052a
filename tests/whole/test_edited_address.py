"""An edit that asks for another address asks first who has it."""


def web(bed, address: str):
    return {
        "ip#0": {"type": "host", "name": address, "netmask": 24, "dev": "br0"},
        "fs#flag": {"type": "flag", "path": str(bed.flag("web"))},
    }


async def test_an_address_that_is_taken_elsewhere_is_not_taken(bed):
    bed.write("web", web(bed, "10.83.0.40"))
    bed.peer.run(f"ip addr add 10.83.0.41/24 dev {bed.peer.its_dev}")
    async with bed.agent() as agent:
        await agent.up("web")
        bed.write("web", web(bed, "10.83.0.41"))
        await agent.until(lambda: "conflict" in agent.notes("web", "ip#0"))
        assert "10.83.0.41/24" not in bed.addresses()
        bed.write("web", web(bed, "10.83.0.42"))
        await agent.up("web")
        assert "10.83.0.42/24" in bed.addresses()
