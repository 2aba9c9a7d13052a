"""What was edited or removed while no agent ran holds before the first step of the next one."""


def flag(bed, name):
    return {"fs#flag": {"type": "flag", "path": str(bed.flag(name))}}


async def test_an_edit_holds_before_the_first_step(bed):
    bed.write("web", flag(bed, "web"))
    async with bed.agent(bystander=False) as agent:
        await agent.up("web")
    bed.flag("web").unlink()
    bed.write("web", flag(bed, "web"), state="stopped")
    async with bed.agent(bystander=False) as agent:
        await agent.up("web")
        assert agent.condition("web", "Ready")["reason"] == "Stopped"
        assert agent.operations("web", ok=None) == []


async def test_a_removal_holds_before_the_first_step(bed):
    for name in ("a", "b", "c"):
        bed.write(name, flag(bed, name))
    async with bed.agent(bystander=False) as agent:
        for name in ("a", "b", "c"):
            await agent.up(name)
    bed.flag("a").unlink()
    bed.flag("b").unlink()
    (bed.services / "a.yaml").unlink()
    async with bed.agent(bystander=False) as agent:
        await agent.up("b")
        await agent.until(lambda: "root/a" not in agent.running.records)
        assert agent.operations("a", ok=None) == []
