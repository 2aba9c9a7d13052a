"""What happens to an address: taken away, answered elsewhere, its device gone or without a carrier."""

from tests import kernel

pytestmark = kernel.needs_root

ADDRESS = "10.83.0.10"
IP = {"type": "host", "name": f"{ADDRESS}/24", "dev": "br0"}


async def test_address_deleted(bed):
    bed.write("web", {"ip#0": IP})
    async with bed.agent() as agent:
        await agent.up("web")
        done = len(agent.operations("web"))
        bed.run(f"ip addr del {ADDRESS}/24 dev br0")
        await agent.until(lambda: f"{ADDRESS}/24" in bed.addresses(), within=1)
        await agent.up("web")
        assert agent.operations("web")[done:][0] == f"ip addr add {ADDRESS}/24 dev br0"
        assert agent.told("web", "lost")
