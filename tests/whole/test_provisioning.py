"""Data is made where there never was any, destroyed by word alone, and never made anew by itself."""

import os
import shutil

import pytest


def disk(bed):
    image = bed.root / "image"
    return {
        "disk#0": {"type": "loop", "file": str(image), "size": "16MiB"},
        "fs#a": {"type": "ext4", "dev": "{disk#0.exposed_devs[0]}", "mnt": f"{bed.root}/mnt"},
    }


async def test_what_vanished_is_made_anew_only_by_word(bed):
    bed.write("db", disk(bed))
    async with bed.agent() as agent:
        await agent.up("db")
        await agent.stopped("db")
        os.unlink(bed.root / "image")
        await agent.ask("db", "start")
        await agent.until(lambda: "vanished" in agent.notes("db", "disk#0"))
        assert not await agent.idle("db")
        assert not (bed.root / "image").exists()
        await agent.ask("db", "provision", rids=["disk#0"])
        await agent.until(lambda: agent.state("db", "disk#0") == "up")
        await agent.until(lambda: "vanished" in agent.notes("db", "fs#a"))  # its own word is wanted
        await agent.ask("db", "provision", rids=["fs#a"])
        await agent.up("db")


async def test_unprovision_destroys_and_it_stays_so(bed):
    bed.write("db", disk(bed))
    async with bed.agent() as agent:
        await agent.up("db")
        await agent.ask("db", "unprovision")
        await agent.until(lambda: not (bed.root / "image").exists() and agent.is_ready("db"))
        assert not bed.mounts()
        assert not await agent.idle("db")  # stopped, or it would be provisioned again
        await agent.ask("db", "start")
        await agent.up("db")


async def test_purge_takes_the_document_along(bed):
    path = bed.write("db", disk(bed))
    async with bed.agent() as agent:
        await agent.up("db")
        await agent.ask("db", "purge")
        await agent.until(lambda: not path.exists() and "root/db" not in agent.running.records)
        assert not (bed.root / "image").exists()


async def test_what_carries_anything_is_not_written_on(bed):
    image = bed.image("image")
    os.rename(image, bed.root / "image")
    bed.run(f"mkswap {bed.root}/image")
    before = (bed.root / "image").read_bytes()
    bed.write("db", disk(bed))
    async with bed.agent() as agent:
        await agent.until(lambda: "swap" in agent.notes("db", "fs#a"))
        assert not await agent.idle("db")
    assert (bed.root / "image").read_bytes() == before


@pytest.mark.parametrize("lost", ["damaged", "gone"])
async def test_what_was_remembered_is_lost_and_nothing_is_made_anew(bed, lost):
    bed.write("db", disk(bed))
    async with bed.agent() as agent:
        await agent.up("db")
        await agent.stopped("db")
    os.unlink(bed.root / "image")
    if lost == "damaged":
        (bed.state / "state.db").write_bytes(b"garbage" * 1000)
    else:
        shutil.rmtree(bed.state)  # as if /var were not mounted
    async with bed.agent() as agent:
        await agent.until(lambda: "vanished" in agent.notes("db", "disk#0"))
        assert not await agent.idle("db")
        assert not (bed.root / "image").exists()
        assert agent.running.agent.node()["notices"]
