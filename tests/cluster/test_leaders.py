"""The store's leader dies, again and again, alone and together with a holder: nobody else stops anything.

`make leaders`: twenty times in each profile of failover times. A few, in the fast one, are a row of
test_faults_parts.py.
"""

import os

import pytest

from tests.cluster.bed import needs_cluster
from tests.cluster.leaders import scene

pytestmark = needs_cluster
TIMES = int(os.environ.get("STANDFAST_LEADERS", "0"))
every = pytest.mark.skipif(not TIMES, reason="make leaders")


@every
@pytest.mark.parametrize("profile", ["fast", "default", "conservative"])
def test_leader_killed_alone(profile):
    with scene(profile, victims=1) as made:
        made.kill_alone(TIMES)
        print(made.said())


@every
@pytest.mark.parametrize(
    ("profile", "victims"),
    [
        pytest.param("fast", 2, id="fast"),
        pytest.param("default", 4, id="default"),
        pytest.param("conservative", 5, id="conservative"),
    ],
)
def test_leader_killed_with_a_holder(profile, victims):
    """One after the other within T, so that the last election is over when the first takeover is due."""
    with scene(profile, victims) as made:
        for _ in range(-(-TIMES // victims)):
            made.kill_with_holders()
            made.restore()
        print(made.said())
