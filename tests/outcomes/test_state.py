"""What happens when nothing, or nothing sound, can be kept: services come first."""

import pytest

from reconciler.errors import NeedsPerson
from reconciler.model import Owner
from tests import kernel

pytestmark = kernel.needs_root


def stack(bed):
    return {
        "ip#0": {"type": "host", "name": "10.83.0.10/24", "dev": "br0"},
        "fs#a": {"type": "tmpfs", "mnt": f"{bed.root}/a"},
        "app#0": {"type": "simple", "start": "sleep 1000"},
    }


def failing(agent) -> str:
    """Why nothing can be kept, "" when all is well."""
    return str(agent.running.desk.failing)


async def test_store_damaged(bed):
    bed.write("web", stack(bed))
    bed.state.mkdir()
    for name in ("state.db", "events.db"):
        (bed.state / name).write_bytes(b"not a database " * 999)
    async with bed.agent() as agent:  # before the start: set aside, and people are told
        await agent.up("web")
        assert any("state.db.damaged-" in notice for notice in agent.running.agent.notices)
        assert list(bed.state.glob("state.db.damaged-*"))
        await agent.until(lambda: list(bed.state.glob("events.db.damaged-*")))
        # While it runs: what is in memory is written anew.
        (bed.state / "state.db").write_bytes(b"not a database " * 999)
        await agent.ask("web", "freeze", reason="who knows")
        assert not failing(agent)
        programs = bed.programs("web")
    async with bed.agent() as agent:
        await agent.until(lambda: agent.object("web")["status"]["frozen"])
        assert agent.object("web")["status"]["frozen"]["reason"] == "who knows"
        assert agent.operations("web", ok=None) == []
        assert bed.programs("web") == programs


async def unkept(bed, agent, why: str) -> None:
    """All goes on but for what must be kept, and that is said."""
    await agent.until(lambda: failing(agent))
    assert why in failing(agent)
    await agent.until(lambda: agent.stalled("web") == "StoreUnreachable")
    bed.run(f"umount {bed.root}/a")
    await agent.until(lambda: f"{bed.root}/a" in bed.mounts(), within=1)
    with pytest.raises(NeedsPerson, match="will not survive a restart"):
        await agent.ask("web", "freeze")


async def kept_again(bed, agent) -> None:
    await agent.until(lambda: not failing(agent))
    await agent.until(lambda: not agent.stalled("web"))


async def test_state_directory_full(bed):
    bed.write("web", stack(bed))
    bed.run(f"mkdir {bed.state}; mount -t tmpfs -o size=1m small {bed.state}")
    async with bed.agent() as agent:
        await agent.up("web")
        bed.run(f"dd if=/dev/zero of={bed.state}/filler bs=4k 2>/dev/null || true")
        for number in range(20):  # what is allocated already still takes a few entries
            if failing(agent):
                break
            agent.running.desk.remember(Owner("root/filler"), f"{number}", "x" * 20_000)
            await agent.running.desk.durable()
        await unkept(bed, agent, "make room there")
        (bed.state / "filler").unlink()
        await kept_again(bed, agent)
        programs = bed.programs("web")
    async with bed.agent() as agent:  # also what was asked for meanwhile
        await agent.until(lambda: agent.object("web")["status"]["frozen"])
        assert bed.programs("web") == programs


async def test_state_directory_read_only(bed):
    bed.write("web", stack(bed))
    bed.run(
        f"mkdir {bed.state}; mount --bind {bed.state} {bed.state}; mount -o remount,ro,bind {bed.state}"
    )
    async with bed.agent() as agent:
        await agent.until(lambda: agent.condition("web", "Ready")["status"] == "True")
        await unkept(bed, agent, "read-only")
        bed.run(f"mount -o remount,rw,bind {bed.state}")
        await kept_again(bed, agent)
        programs = bed.programs("web")
    async with bed.agent() as agent:
        await agent.until(lambda: agent.object("web")["status"]["frozen"])
        assert bed.programs("web") == programs
