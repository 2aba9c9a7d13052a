"""A start that fails on every node: in turns, ever more slowly, until it works or a person speaks."""

import asyncio
import random
from dataclasses import replace

from tests.sim.bed import play, until

APP = "web/app#0"


class Unlucky(random.Random):
    """What fails leaves nothing up."""

    def random(self):
        return 0.9


def marks(cluster):
    """Node → when a start failed there, in seconds."""
    said = [one for one in cluster.oracle.history if ": state  start failed: app#0" in one.what]
    return {m.name: [one.at for one in said if one.where == m.name] for m in cluster.members}


def test_starts_that_fail_everywhere_come_ever_more_slowly():
    """The turn of the next node ended what was counted here: they took it from each other every 10 s."""

    async def story(cluster):
        await until(lambda: all(m.agent and m.agent.ready for m in cluster.members))
        for member in cluster.members:
            member.host.fails.add(APP)
            member.host.dice = Unlucky()
            at_most = replace(member.agent.settings, retry_max=300.0)
            member.agent.settings = member.agent.reconciler._settings = at_most
        await asyncio.sleep(1800)
        for name, at in marks(cluster).items():
            assert 6 <= len(at) <= 13, f"{name}: {at}"
            assert at[-1] - at[-2] > 250, f"{name}: {at}"
        for member in cluster.members:
            member.host.fails.clear()
        await cluster.members[1].agent.wishes.ask("root/web", {"verb": "clear"}, "alice")
        await until(lambda: any(m.host.all_up([APP]) for m in cluster.members), within=10)

    play(story, within=0)
