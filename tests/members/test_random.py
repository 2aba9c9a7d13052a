"""Random faults on random nodes: at most one host has a service up, and in the end one has it.

What may never be is asserted where it would happen: when a service goes up, that it is up nowhere else
(`Node.start`); when a session's record goes on, that nothing of an earlier epoch is up (`Truth`).
"""

import asyncio
import os
import random
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from reconciler.decide.sessions import Level
from reconciler.decide.timing import PROFILES
from reconciler.errors import MayHeal
from reconciler.model import Service
from tests.members.rig import WRONG, Bed, Node, play

SERVICES = [Service(name, nodes=("n1", "n2", "n3")) for name in ("web", "db")]
ALL_BUT_SHRINK = (Phase.explicit, Phase.reuse, Phase.generate)  # one day takes a tenth of a second
MANY = int(os.environ.get("STANDFAST_SCHEDULES", "30"))

ways = st.sampled_from(("way", "desk", "both"))
FAULTS = (
    "silent",
    "mute",
    "deaf",
    "late",
    "lossy",
    "refused",
    "slow",
    "kill",
    "crash",
    "clone",
    "guard",
    "heal",
)
faults = st.tuples(st.integers(0, 2), st.sampled_from(FAULTS), ways, st.floats(0.01, 12.0))
hosts = st.tuples(
    st.sampled_from(("fast", "default")), st.floats(1 - WRONG, 1 + WRONG), st.floats(0.0, 1e5)
)


async def work(node: Node, dice: random.Random) -> None:
    """What passes do: have the claim, go up; now and then go down, give it back."""
    while True:
        await asyncio.sleep(dice.uniform(0.05, 0.4))
        for service in SERVICES:
            key = service.key
            with suppress(MayHeal):
                if key not in node.running and not node.start(key):
                    if not await node.cluster.claim(service, (), Level.LEASE):
                        await asyncio.sleep(dice.uniform(0.0, 0.1))
                        node.start(key)
                elif dice.random() < 0.02 and node.current():
                    node.stop(key)
                    await node.cluster.release(key)


def hurt(node: Node, fault: str, where: str, dice: random.Random) -> None:
    for way in (node.way, node.desk) if where == "both" else (getattr(node, where),):
        match fault:
            case "silent" | "mute" | "deaf":
                setattr(way, fault, True)
            case "late":
                way.late = dice.uniform(0.0, 6.0)
            case "lossy":
                way.drop = lambda compare, puts: dice.random() < 0.4
            case "refused":
                way.refused = "refused"
            case "slow":
                way.slow = dice.uniform(0.1, 1.0)
            case "heal":
                heal(node)
    if fault == "guard" and node.guard.phase == "held":
        node.guard._trip()
    elif fault == "kill":
        node.kill()
    elif fault == "crash":
        node.crash()
        node.boot(f"boot {dice.random()}")


def heal(node: Node) -> None:
    for way in (node.way, node.desk):
        way.silent = way.mute = way.deaf = False
        way.late, way.refused, way.slow = None, "", 0.001
        way.drop = never


def never(compare: object, puts: object) -> bool:
    return False


def story(
    schedule: list[tuple[int, str, str, float]], made: list[tuple[str, float, float]], seed: int
) -> None:
    async def whole(bed: Bed) -> None:
        dice = random.Random(seed)
        nodes = [
            bed.node(f"n{number}", PROFILES[profile], offset, rate)
            for number, (profile, rate, offset) in enumerate(made, 1)
        ]
        await bed.held(*nodes)
        for service in SERVICES:
            await bed.put(f"documents/{service.key}", "text")
        tasks = [asyncio.create_task(work(node, dice)) for node in nodes]
        try:
            for number, fault, where, seconds in schedule:
                if fault == "clone" and len(bed.nodes) < 5:
                    like = nodes[number]
                    clone = bed.node(like.name, like.timing, like.clock.offset, 1.0, boot="of a clone")
                    tasks.append(asyncio.create_task(work(clone, dice)))
                else:
                    hurt(nodes[number], fault, where, dice)
                await asyncio.sleep(seconds)
                raised(tasks)
            for node in bed.nodes:
                heal(node)
            await bed.until(lambda: healthy(bed, tasks), within=120)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    play(whole)


def healthy(bed: Bed, tasks: list["asyncio.Task[None]"]) -> bool:
    raised(tasks)
    for node in bed.nodes:
        if node.task.done() and not node.task.cancelled():
            node.task.result()
    names = {node.name for node in bed.nodes if node.current()}
    up = {service for node in bed.nodes for service in node.running}
    return len(names) == 3 and len(up) == len(SERVICES)


def raised(tasks: list["asyncio.Task[None]"]) -> None:
    for task in tasks:
        if task.done():
            task.result()


@settings(
    max_examples=MANY, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=MANY == 30
)
@given(st.lists(faults, max_size=25), st.lists(hosts, min_size=3, max_size=3), st.integers(0, 2**32))
def test_whatever_happens_a_service_is_up_on_one_host_at_most(schedule, made, seed):
    story(schedule, made, seed)


# --- that the oracle sees what it is there for ---------------------------------------------


def without(name: str, wrong: Callable[..., object]) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(name, wrong)


WRONG_RULES = {
    "my own T instead of the holder's": without(
        "reconciler.engine.beats.dead", lambda session, still, now: bool(still) and now - still.since >= 5.0
    ),
    "a deadline from when the answer came": without(
        "reconciler.engine.session.deadline", lambda sent, limit: sent + limit + 4.0
    ),
    "whoever finds another token goes on": without(
        "reconciler.engine.session.continues", lambda record, boot_id, secret: bool(record and record.open)
    ),
    "a claim of an open session is free": without(
        "reconciler.decide.claims.free", lambda claim, sessions: True
    ),
}


@pytest.mark.parametrize("rule", WRONG_RULES)
def test_a_wrong_rule_is_found_out(rule, monkeypatch):
    WRONG_RULES[rule](monkeypatch)
    with pytest.raises(AssertionError, match=r"is up on|before its deadline"):
        days(random.Random(rule))


def days(dice: random.Random) -> None:
    for _ in range(40):
        schedule = [
            (dice.randrange(3), dice.choice(FAULTS), "both", dice.uniform(0.5, 12.0)) for _ in range(12)
        ]
        story(schedule, [("fast", 1.0, 0.0), ("default", 1.0, 0.0), ("fast", 1.0, 9.0)], 1)
