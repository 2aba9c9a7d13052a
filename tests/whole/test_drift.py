"""What is taken away comes back: by its event, and without any."""

import os

import pytest

from tests import kernel
from tests.whole import stacks

pytestmark = kernel.needs_root


def damages(bed):
    """What is done behind the agent's back, and how to see that it was put right."""
    (program,) = bed.programs("svc", "app#3")
    root = bed.root
    return {
        "address": ("ip addr del 10.83.0.10/24 dev br0", lambda: "10.83.0.10/24" in bed.addresses()),
        "route": ("ip route del 10.99.0.0/16", lambda: "10.99.0.0/16" in bed.run("ip route")),
        "flag": (f"rm {root}/tmp/flag", (root / "tmp/flag").exists),
        "bind mount": (f"umount -l {root}/public", lambda: f"{root}/public" in bed.mounts()),
        "directory": (f"chmod 0700 {root}/data/public", lambda: mode(f"{root}/data/public") == 0o750),
        "tmpfs": (f"umount -l {root}/tmp", lambda: f"{root}/tmp" in bed.mounts()),
        "ext4": (f"umount -l {root}/data", lambda: f"{root}/data" in bed.mounts()),
        "program": (
            f"kill -9 {program} 2>/dev/null || true",
            lambda: bed.programs("svc", "app#3") not in ([], [program]),
        ),
    }


def mode(path: str) -> int:
    return os.stat(path).st_mode & 0o7777


@pytest.mark.parametrize(
    ("settings", "within"),
    [
        pytest.param({"look_every": 3600.0, "directory_every": 3600.0}, 1.0, id="by its event"),
        pytest.param({"look_every": 1.0, "events": False}, 2.2, id="without events, by the look"),
    ],
)
@pytest.mark.parametrize(
    "what", ["address", "route", "flag", "bind mount", "directory", "tmpfs", "ext4", "program"]
)
async def test_drift(bed, what, settings, within):
    """Each alone: what stands on it comes back as well."""
    bed.write("svc", stacks.whole(bed))
    async with bed.agent(bystander=False, **settings) as agent:
        await agent.up("svc")
        await agent.until(lambda: not agent.running.records["root/svc"].started)
        command, repaired = damages(bed)[what]
        bed.run(command)
        await agent.until(repaired, within=within)
        await agent.until(lambda: agent.is_ready("svc"))
        others = {name: state for name, (_, state) in damages(bed).items() if name != "program"}
        assert [name for name, state in others.items() if not state()] == []
