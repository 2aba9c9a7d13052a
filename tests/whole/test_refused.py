"""What validation refuses is never acted on, and what was in force before is looked after all the same."""

import random

from reconciler.decide.documents import Home, check
from tests.documents.test_fuzz import SEED, documents

MANY = 120


def _refused(chance: random.Random, home: Home):
    """Only these are dropped: what is accepted would be carried out."""
    for flavour, content in documents(chance):
        names = ("root/x", "root/good")
        if all(check(content, "x.file", name, flavour, home).faults for name in names):
            yield flavour, content


async def test_what_is_refused_is_not_acted_on(bed):
    good = {"fs#flag": {"type": "flag", "path": str(bed.flag("good"))}}
    bed.write("good", good)
    async with bed.agent() as agent:
        spoiled = _refused(random.Random(SEED), agent.running.library.home)
        await agent.up("good")
        seen: set[str] = set()
        for number, (flavour, content) in zip(range(MANY), spoiled, strict=False):
            name = f"r{number}.{flavour}"
            bed.put(name, content)
            seen.add(str(bed.services / name))
            if flavour == "yaml":  # the one in force is overwritten with it, too
                bed.put("good.yaml", content)
        await agent.until(lambda: seen <= agent.running.library.troubles.keys(), within=30)
        acted = {e.service for e in agent.events if e.kind == "operation"} - {"root/bystander"}
        assert acted == {"root/good"}, f"STANDFAST_SEED={SEED}"
        assert agent.operations("good") == [f"touch {bed.flag('good')}"], f"STANDFAST_SEED={SEED}"
        bed.flag("good").unlink()
        await agent.until(bed.flag("good").exists)
