"""A fence agent is run as fence-agents are: options on standard input, in no list of processes."""

import stat

import pytest

from reconciler.adapters.fence import fence
from reconciler.settings import Fence

AGENT = """#!/bin/sh
cat > {heard}
echo "$*" >> {heard}
{ends}
"""


@pytest.mark.parametrize(
    ("ends", "timeout", "why"),
    [
        ("exit 0", 5.0, ""),
        ("echo no such plug; exit 1", 5.0, "agent ended with 1: no such plug"),
        ("exit 2", 5.0, "agent ended with 2: it said nothing"),
        ("sleep 60", 0.3, "0.3 s"),
    ],
)
async def test_only_success_says_that_it_is_off(world, tmp_path, ends, timeout, why):
    agent, heard = tmp_path / "agent", tmp_path / "heard"
    agent.write_text(AGENT.format(heard=heard, ends=ends))
    agent.chmod(0o755)
    how = Fence(str(agent), {"ip": "10.0.9.2", "password": "secret"}, timeout)
    said = await fence("n1", how, world.settings.run, world.host.run_check)
    assert (said == "") is (why == "")
    assert why in said
    assert heard.read_text().splitlines()[:4] == ["action=off", "plug=n1", "ip=10.0.9.2", "password=secret"]
    assert heard.read_text().splitlines()[4:] == [""]  # no arguments
    kept = world.settings.run / "fences" / "n1"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


async def test_an_agent_that_is_not_there_fences_nobody(world):
    said = await fence("n1", Fence("/no/such/agent"), world.settings.run, world.host.run_check)
    assert "/no/such/agent" in said
