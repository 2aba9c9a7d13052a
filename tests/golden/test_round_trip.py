"""What an engine decided on, kept, written down as a case and read again, is decided as it was."""

import asyncio
import json
from dataclasses import replace

import pytest

from reconciler.cli.output import yaml_text
from reconciler.decide.cases import case, written
from reconciler.decide.documents import Home
from reconciler.decide.documents import yaml_text as yaml_reader
from reconciler.decide.inputs import decided
from reconciler.engine.decisions import Decisions
from reconciler.model import Observed, State
from reconciler.testing.things import ThingDrivers
from tests.engine.rig import UNMADE, res, service, simulate
from tests.sim.bed import play, until

DRIVERS = ThingDrivers()


def again(given):
    """By way of JSON, as the API hands it out, and of the file that becomes a case."""
    text = yaml_text(json.loads(json.dumps(written(given, Home(given.here.node)))))
    source = yaml_reader.read(text, "cluster.yaml")
    assert not source.faults
    (one,) = case(source.tree, DRIVERS).ones
    return one.given


def outcome(given):
    """All that is decided, in words: instants of the wall clock are rounded in a case."""
    end = decided(given, DRIVERS)
    steps = [(s.rid, s.act, s.why, tuple(map(str, s.operations)), s.goal) for s in end.plan.now]
    goals = {rid: (s.goal, s.running, s.destroy, bool(s.successor)) for rid, s in end.parts.items()}
    decision = (end.decision.goal, end.decision.code, end.decision.because, end.decision.destroy)
    return decision, (end.turn.act, end.turn.holds, end.turn.timer), goals, steps, end.plan.waiting


def same(kept) -> int:
    for given in kept:
        assert outcome(again(given)) == outcome(given)
    return len(kept)


async def a_life(rig):
    """Started, broken, failing, edited, asked this and that, frozen, removed."""
    rig.put(service(res("disk#a"), res("fs#a", "disk#a"), res("app#a", "fs#a", restart=1), res("ip#0")))
    await rig.settled()
    rig.change("app#a", Observed(State.DOWN))
    await rig.settled()
    rig.world.fails.add("start app#a")
    rig.change("app#a", Observed(State.DOWN))
    await asyncio.sleep(30)
    rig.world.fails.clear()
    await rig.ask("clear")
    await rig.settled()
    await rig.ask("stop", rids=["app#a"])
    await rig.settled()
    await rig.ask("restart")
    await rig.settled()
    rig.world.blind.add("fs#a")
    rig.wake()
    await rig.settled()
    rig.world.blind.clear()
    rig.put(
        service(
            res("disk#a"), res("fs#a", "disk#a", thing="other"), res("app#a", "fs#a"), on_delete="purge"
        )
    )
    await rig.settled()
    rig.world.fails.add("stop other")
    await rig.ask("stop", reason="disk swap")
    await asyncio.sleep(5)
    await rig.ask("freeze", **{"for": 60})
    rig.wake()
    await rig.settled()
    await rig.ask("thaw")
    rig.world.fails.clear()
    await asyncio.sleep(30)
    await rig.ask("start")
    await rig.settled()
    rig.delete()
    await rig.settled()


def test_a_host_that_is_alone():
    kept = []

    async def story(rig):
        await a_life(rig)
        kept.extend(rig.kept)

    simulate(story, **{"disk#a": UNMADE})
    assert same(kept) > 40
    assert {"Wanted", "AskedStop", "AskedRestart", "StartFailed", "Frozen", "Deleted"} <= {
        outcome(given)[0][1] for given in kept
    }


def test_members_of_a_cluster():
    kept = []

    async def story(cluster):
        first, second, _ = cluster.members
        await second.agent.wishes.ask("root/web", {"verb": "switch", "to": "n2"}, "alice")
        await until(lambda: second.host.all_up(["web/app#0"]))
        await second.agent.wishes.ask_node({"verb": "drain"}, "bob")
        await until(lambda: not second.host.all_up(["web/app#0"]))
        await cluster.converged(30)
        holder = next(m for m in cluster.members if m.host.all_up(["web/app#0"]))
        agents = [member.agent for member in cluster.members]
        for way in holder.ways:
            way.silent = True
        await asyncio.sleep(12)
        for way in holder.ways:
            way.silent = False
        await asyncio.sleep(12)
        for agent in {*agents, *(m.agent for m in cluster.members)}:
            kept.extend(one.given for one in agent.decisions.all())
        assert first

    play(story)
    assert same(kept) > 20
    codes = {outcome(given)[0][1] for given in kept}
    assert {"Wanted", "Elsewhere", "Drained", "Moves", "AskedSwitch"} <= codes


@pytest.mark.parametrize("number", [10, 70])
def test_a_restless_service_leaves_room_for_the_others(number):
    """Bounded by count and by size, and what is dropped is of who has most."""
    kept = Decisions(most=8, parts=40)

    givens = []

    async def story(rig):
        rig.put(service(res("fs#a")))
        await rig.settled()
        givens.extend(rig.kept)

    simulate(story)
    quiet = replace(givens[0], service=replace(givens[0].service, name="quiet"))
    kept.keep(quiet)
    for _ in range(number):
        kept.keep(givens[0])
    assert len(kept.all()) == 8
    assert [one.number for one in kept.all("root/quiet")] == [1]
    assert kept.all()[-1].number == number + 1
