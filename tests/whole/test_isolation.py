"""Whatever is done to one service's document, no other service is acted on."""

import os
import random

from tests import kernel
from tests.outcomes.bed import document
from tests.whole import stacks

pytestmark = kernel.needs_root

EDITS = 100


def edited(bed, dice: random.Random, number: int) -> str:
    """Another document each time: resources come, go and change; some are not even documents."""
    resources: dict = {}
    for rid in range(dice.randrange(4)):
        resources[f"fs#{rid}"] = {"type": "flag", "path": f"{bed.root}/edited/{dice.randrange(6)}"}
    if dice.random() < 0.5:
        size = f"size={dice.randrange(1, 4)}m"
        resources["fs#t"] = {
            "type": "tmpfs",
            "mnt": f"{bed.root}/edited-{dice.randrange(2)}",
            "mnt_opt": size,
        }
    if dice.random() < 0.5:
        resources["app#0"] = {"type": "simple", "start": f"sleep {1000 + dice.randrange(3)}"}
    if dice.random() < 0.3:
        resources["ip#0"] = {
            "type": "host",
            "name": f"10.83.1.{dice.randrange(1, 5)}/24",
            "dev": "br0",
            "probe": False,
        }
    spec = {"state": dice.choice(["started", "started", "stopped"]), "vars": {"number": number}}
    text = document("edited", resources, **spec)
    if dice.random() < 0.15:
        text = text[: dice.randrange(len(text))]
    if dice.random() < 0.1:
        text = text.replace('"type"', '"tpye"')
    return text


async def test_edits_of_one_service_leave_the_other_alone(bed):
    seed = int(os.environ.get("STANDFAST_SEED", random.randrange(1 << 32)))
    print(f"STANDFAST_SEED={seed}")  # shown when it fails
    dice = random.Random(seed)
    bed.write("other", stacks.whole(bed))
    async with bed.agent(bystander=False) as agent:
        await agent.up("other")
        before, programs = len(agent.operations("other", ok=None)), bed.programs("other")
        for number in range(EDITS):
            bed.put("edited.yaml", edited(bed, dice, number))
            seen = agent.running.library.scans
            await agent.until(lambda seen=seen: agent.running.library.scans > seen)
            if dice.random() < 0.3:
                await agent.until(agent.running.settled)
        bed.write("edited", {"fs#0": {"type": "flag", "path": f"{bed.root}/edited/last"}})
        await agent.until((bed.root / "edited" / "last").exists)
        await agent.up("edited", within=20)
        assert agent.operations("other", ok=None)[before:] == []
        assert bed.programs("other") == programs
        assert len(agent.operations("edited")) > EDITS / 2
        # And nothing of what was wanted meanwhile was left behind.
        assert [name for name in bed.mounts() if "edited" in name] == []
        assert os.listdir(bed.root / "edited") == ["last"]
        assert bed.programs("edited") == []
        assert [a for a in bed.addresses() if a.startswith("10.83.1.")] == []
