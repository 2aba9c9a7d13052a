"""A story → a small cluster of made-up hosts that lives through it, and what its oracle says."""

import asyncio
import random
import traceback

from reconciler.decide.timing import PROFILES
from reconciler.testing.clusters import SimCluster
from reconciler.testing.processes import simulated
from reconciler.testing.things import stack

NAMES = ("n1", "n2", "n3")


def play(story, names=NAMES, services=None, within=20.0, timing=PROFILES["fast"]):
    """Once the cluster has come up (`within` 0: as it begins). The first node has the service `web`."""
    clusters, faults = [], []

    async def whole():
        made = services or [stack("web", names, "192.0.2.10")]
        cluster = SimCluster(names, made, random.Random(1))
        clusters.append(cluster)
        await cluster.begin([timing] * len(names), [1.0] * len(names))
        if within:
            await cluster.converged(within)
        await story(cluster)

    random.seed(1)
    simulated(whole(), faults.append)
    oracle = clusters[0].oracle
    told = "\n".join([oracle.told(), *("".join(traceback.format_exception(f)) for f in faults)])
    assert not oracle.broken, f"{oracle.broken}\n{told}"
    assert not faults, told
    return oracle


async def until(what, within=30.0):
    """Simulated seconds."""
    end = asyncio.get_running_loop().time() + within
    while not what():
        assert asyncio.get_running_loop().time() < end, f"not within {within:g} s"
        await asyncio.sleep(0.01)
