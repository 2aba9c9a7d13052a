"""What is shown right after a word was taken is not the answer to it yet."""


async def test_a_stop_is_not_fulfilled_before_it_was_heard(bed):
    flags = {f"fs#{n}": {"type": "flag", "path": str(bed.flag(str(n)))} for n in range(3)}
    bed.write("web", flags)
    async with bed.agent() as agent:
        await agent.up("web")
        for verb in ("stop", "start") * 5:
            await agent.ask("web", verb)
            status = agent.object("web")["status"]
            up = [r["state"] for r in status["instances"]["n1"]["resources"].values()].count("up")
            if status["wish"]["state"] == "fulfilled":
                assert up == (0 if verb == "stop" else 3), status
            reason = next(c["reason"] for c in status["conditions"] if c["type"] == "Ready")
            assert not (reason == "Stopped" and up), status
            assert not (reason == "Up" and up < 3), status
            reason_when_done = "Stopped" if verb == "stop" else "Up"
            await agent.until(
                lambda verb=reason_when_done: (
                    agent.is_ready("web") and agent.condition("web", "Ready")["reason"] == verb
                )
            )
            states = {agent.state("web", rid) for rid in flags}
            assert states == {"down" if verb == "stop" else "up"}
