"""Agent, guard and machine die between any two steps of operations: one after another, none left out.

Towards up a volume group, a volume and a filesystem are made and all is started; towards down it is stopped
and all of it destroyed; and a guard stops what is up. What comes after has to finish it, and the oracle has
nothing to say.
"""

import asyncio
from itertools import count

import pytest

from tests.sim.bed import NAMES, play, until
from tests.sim.test_documents import DB, ask, held, known


def agent(member):
    if member.agent:
        member.agent.die("killed")


def guard(member):
    if member.guards.guard:
        member.guards.guard.die()


def machine(member):
    member.host.reset("it crashed")


async def comes_up(cluster):
    """From nothing."""
    await asyncio.sleep(0.2)
    await cluster.converged(60)


async def is_purged(cluster):
    key = "root/db"
    await cluster.converged(60)
    await until(lambda: ask(cluster, cluster.members[1], key, "purge"))
    await until(lambda: not any(known(cluster, key)) and not held(cluster, key), 90)
    assert not cluster.outside.san.groups


@pytest.mark.parametrize(("steps", "within", "least"), [(comes_up, 0, 30), (is_purged, 20.0, 15)])
@pytest.mark.parametrize("dies", [agent, guard, machine])
def test_whoever_dies_between_two_steps_of_operations(dies, steps, within, least):
    for number in count(1):
        done = []

        async def story(cluster, number=number, done=done):
            member = cluster.members[0]
            member.host.whole.after(number, lambda: done.append(dies(member)))
            await steps(cluster)

        play(story, NAMES[:2], [DB], within)
        if not done:  # it had not as many
            break
    assert number > least


@pytest.mark.parametrize("dies", [guard, machine])
def test_whoever_dies_between_two_steps_of_a_guard_that_stops_what_is_up(dies):
    for number in count(1):
        done = []

        async def story(cluster, number=number, done=done):
            member, other = cluster.members
            for way in member.ways:
                way.silent = True
            await until(lambda: member.guards.guard.phase in ("killing", "stopping"))
            member.guards.guard.process.after(number, lambda: done.append(dies(member)))
            await until(lambda: not member.host.ups() or done)
            member.guards.guard.process.after(0, lambda: None)
            await until(lambda: other.host.all_up(["db/app#0"]))
            for way in member.ways:
                way.silent = False
            await cluster.converged(60)

        play(story, NAMES[:2], [DB])
        if not done:
            break
    assert number > 10
