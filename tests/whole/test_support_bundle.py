"""What a whole agent decided on with its real drivers, written down as cases, is decided as it was."""

import json

from reconciler.adapters.drivers import Drivers
from reconciler.cli.kept_case import files
from reconciler.cli.output import yaml_text
from reconciler.decide.cases import case
from reconciler.decide.documents import yaml_text as yaml_reader
from reconciler.decide.inputs import decided
from tests import kernel
from tests.whole import stacks

pytestmark = kernel.needs_root


def outcome(given):
    end = decided(given, Drivers(), ahead=True)
    steps = [
        [(s.rid, s.act, tuple(map(str, s.operations))) for s in plan]
        for plan in (end.plan.now, end.plan.then)
    ]
    return end.decision.because, {rid: s.goal for rid, s in end.parts.items()}, steps, end.plan.waiting


async def test_every_decision_of_a_life(bed):
    bed.write("svc", stacks.whole(bed), orchestrate="ha")
    async with bed.agent() as agent:
        await agent.up("svc")
        await agent.ask("svc", "stop", reason="disk swap")
        await agent.stopped("svc")
        await agent.ask("svc", "start")
        await agent.up("svc")
        kept = agent.running.agent.kept.all("root/svc")
        served = await agent.running.agent.decisions("root/svc")
    assert len(kept) == len(served) > 10
    assert all("documents" in one["case"] for one in served)
    for one, told in zip(kept, served, strict=True):
        text = yaml_text(json.loads(json.dumps(told["case"])))
        (again,) = case(yaml_reader.read(text, "cluster.yaml").tree, Drivers()).ones
        assert outcome(again.given) == outcome(one.given)
        assert files(told)["decided.yaml"]
