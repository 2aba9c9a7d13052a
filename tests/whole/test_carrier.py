"""Many services that wait for one cable: it comes while they are being loaded, or goes and comes."""

import asyncio

import pytest

from tests import kernel
from tests.outcomes.conftest import bed  # noqa: F401  # a fixture

pytestmark = kernel.needs_root
MANY = 30


def addresses(number: int) -> dict[str, dict[str, object]]:
    """Two for each service."""
    ip = {"type": "host", "netmask": 16, "dev": "br0", "probe": False}
    return {f"ip#{k}": {**ip, "name": f"10.{84 + k}.0.{1 + number}"} for k in range(2)}


@pytest.mark.parametrize("pause", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("flaps", [0, 3])
async def test_all_come_up_once_there_is_a_carrier(bed, pause, flaps):  # noqa: F811
    """What was blocked at the first look is looked at again by the event, whenever that comes."""
    bed.peer.run(f"ip link set {bed.peer.its_dev} down")
    names = {f"s{number}" for number in range(MANY)}
    for number, name in enumerate(sorted(names)):
        bed.write(name, addresses(number))
    async with bed.agent(bystander=False, look_every=3600.0) as agent:
        await asyncio.sleep(pause)
        for _ in range(flaps):
            for state in ("up", "down"):
                bed.peer.run(f"ip link set {bed.peer.its_dev} {state}")
                await asyncio.sleep(0.02)
        bed.peer.run(f"ip link set {bed.peer.its_dev} up")
        await agent.until(lambda: all(agent.is_ready(name) for name in names))
    assert len(bed.addresses()) == 1 + 2 * MANY
