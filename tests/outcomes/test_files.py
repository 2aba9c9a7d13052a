"""What happens to documents and their directory: broken, doubtful, doubled, moved, gone."""

import os
import shutil

from tests import kernel
from tests.outcomes.bed import document

pytestmark = kernel.needs_root


def flag(bed, name: str = "web"):
    return {"fs#a": {"type": "flag", "path": str(bed.flag(name))}}


async def still_looked_after(bed, agent, name: str = "web") -> None:
    """What is in force is repaired as ever."""
    bed.flag(name).unlink()
    await agent.until(bed.flag(name).exists, within=1)
    await agent.until(lambda: agent.state(name, "fs#a") == "up")


async def refused(agent, text: str, reason: str = "InvalidDocument", name: str = "web") -> str:
    """The condition says so, and what is wrong."""

    def message() -> str:
        return str(agent.condition(name, "Stalled")["message"])

    await agent.until(lambda: agent.stalled(name) == reason and text in message())
    return message()


async def test_file_half_written(bed):
    bed.write("web", flag(bed))
    async with bed.agent() as agent:
        await agent.up("web")
        whole = document("web", flag(bed, "other"))
        with open(bed.services / "web.yaml", "w") as file:  # not by rename: in place, and slowly
            file.write(whole[: len(whole) // 2])
            file.flush()
            await refused(agent, "web.yaml:")
            await still_looked_after(bed, agent)
            file.write(whole[len(whole) // 2 :])
        await agent.until(bed.flag("other").exists)
        await agent.up("web")
        assert not bed.flag("web").exists()


async def test_file_invalid(bed):
    bed.write("web", flag(bed))
    async with bed.agent() as agent:
        await agent.up("web")
        bed.write("web", {"fs#a": {"type": "flag", "pathh": "/x"}, "fs#b": {"type": "tmfs", "mnt": "/y"}})
        message = await refused(agent, "web.yaml:")
        assert "spec.resources.fs#a" in message
        assert "and 1 more" in message
        assert agent.told("web", "tmpfs")  # the second fault, with what was probably meant
        assert agent.condition("web", "Ready")["status"] == "True"
        await still_looked_after(bed, agent)
        bed.write("web", flag(bed))
        await agent.until(lambda: not agent.stalled("web"))
        assert agent.operations("web") == [f"touch {bed.flag('web')}"] * 2


async def test_file_unreadable(bed):
    path = bed.write("web", flag(bed))
    async with bed.agent() as agent:
        await agent.up("web")
        path.unlink()
        path.symlink_to("web.yaml")  # root may read all, but not this
        await refused(agent, "cannot be read")
        await still_looked_after(bed, agent)
        bed.write("web", flag(bed))
        await agent.until(lambda: not agent.stalled("web"))


async def test_file_wrongly_owned(bed):
    path = bed.write("web", flag(bed))
    async with bed.agent() as agent:
        await agent.up("web")
        path.write_text(document("web", flag(bed, "other")))
        os.chown(path, 65534, 65534)
        await agent.until(lambda: bed.flag("other").exists() or agent.stalled("web"))
        bed.write("web", flag(bed))
        await agent.until(lambda: agent.is_ready("web") and not agent.stalled("web"))
        hidden = bed.services / ".web"
        hidden.write_text(document("web", flag(bed, "third")))
        os.chown(hidden, 65534, 65534)
        hidden.rename(path)
        await refused(agent, "belongs to uid 65534, not to root")
        await still_looked_after(bed, agent)
        os.chown(path, 0, 0)
        path.chmod(0o666)
        await refused(agent, "is writable by others")
        await still_looked_after(bed, agent)
        assert not bed.flag("third").exists()
        path.chmod(0o644)
        await agent.until(bed.flag("third").exists)


async def test_file_renamed(bed):
    path = bed.write("web", flag(bed), orchestrate="ha")
    async with bed.agent() as agent:
        await agent.up("web")
        (bed.services / "root").mkdir()
        path = path.rename(bed.services / "root" / "web.yaml")
        await agent.until(lambda: agent.object("web")["metadata"]["source"] == str(path))
        conf = f"[DEFAULT]\norchestrate = ha\n\n[fs#a]\ntype = flag\npath = {bed.flag('web')}\n"
        bed.put("web.conf", conf)
        path.unlink()
        await agent.until(lambda: agent.object("web")["metadata"]["source"].endswith("web.conf"))
        await agent.up("web")
        assert await agent.idle("web", 0.4) == []
        bed.write("web", flag(bed), orchestrate="ha")
        (bed.services / "web.conf").unlink()
        await agent.until(lambda: agent.object("web")["metadata"]["source"].endswith("services/web.yaml"))
        (bed.services / "web.yaml").rename(bed.services / "shop.yaml")  # it still says that it is web
        await refused(agent, "shop", "InvalidDocument")
        assert await agent.idle("web", 0.4) == []
        assert agent.operations("web", ok=None) == [f"touch {bed.flag('web')}"]


async def test_file_duplicated(bed):
    bed.write("web", flag(bed))
    async with bed.agent() as agent:
        await agent.up("web")
        second = bed.write("root/web", flag(bed, "other"))
        message = await refused(agent, "two files describe root/web", "ConflictingDocuments")
        assert str(second) in message
        await still_looked_after(bed, agent)
        assert not bed.flag("other").exists()
        second.unlink()
        await agent.until(lambda: not agent.stalled("web"))
        await agent.up("web")
        assert agent.operations("web") == [f"touch {bed.flag('web')}"] * 2


async def held(agent, text: str) -> None:
    """Nothing is removed: people are told, and have to confirm."""
    await agent.until(lambda: text in agent.running.library.verdict.held)
    assert agent.told("", "standfast prune --confirm")


async def test_directory_emptied(bed):
    for name in ("web", "db"):
        bed.write(name, flag(bed, name))
    async with bed.agent() as agent:
        await agent.up("web")
        await agent.up("db")
        agent.bystander.edits = False
        for file in bed.services.glob("*.yaml"):
            file.unlink()
        await held(agent, "the directory was emptied")
        for name in ("web", "db"):
            await still_looked_after(bed, agent, name)
        bed.write("web", flag(bed))
        bed.write("bystander", {"fs#flag": agent.bystander.resource})
        await agent.until(lambda: "not back" in agent.running.library.verdict.held)
        await still_looked_after(bed, agent, "db")  # half of them are back, this one is still held
        await agent.running.library.scan(confirmed=True)
        await agent.until(lambda: not bed.flag("db").exists())
        assert not agent.running.library.verdict.held
        await still_looked_after(bed, agent)


async def test_directory_removed(bed):
    bed.write("web", flag(bed))
    async with bed.agent() as agent:
        await agent.up("web")
        agent.bystander.edits = False
        kept = bed.root / "kept"
        bed.services.rename(kept)
        await held(agent, "the directory is gone")
        assert not agent.running.library.listed
        await still_looked_after(bed, agent)
        shutil.copytree(kept, bed.services)
        await agent.until(lambda: agent.running.library.listed)
        await agent.until(lambda: not agent.running.library.verdict.held)
        agent.bystander.edits = True
        bed.write("web", flag(bed, "other"))  # and it is watched again
        await agent.until(bed.flag("other").exists, within=1)


async def test_directory_replaced_by_symlink(bed):
    bed.write("web", flag(bed))
    async with bed.agent() as agent:
        await agent.up("web")
        for name in ("one", "two"):
            (bed.root / name).mkdir()
            (bed.root / name / "web.yaml").write_text(document("web", flag(bed, name)))
            shutil.copy(bed.services / "bystander.yaml", bed.root / name)
        # As git-sync does: first made a link, then the link swapped.
        agent.bystander.edits = False
        await agent.until(lambda: agent.is_ready("bystander"))
        bed.services.rename(bed.root / "before")
        bed.services.symlink_to("one")
        await agent.until(bed.flag("one").exists, within=2)
        (bed.root / "link").symlink_to("two")
        (bed.root / "link").rename(bed.services)
        await agent.until(bed.flag("two").exists, within=2)
        await agent.up("web")
        agent.bystander.edits = True
        bed.write("web", flag(bed, "three"))  # through the link
        await agent.until(bed.flag("three").exists, within=1)
        await agent.until(lambda: not agent.running.library.verdict.held)
        assert not agent.told("web", "removed")
