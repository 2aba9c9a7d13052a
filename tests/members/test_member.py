"""The times of a member, with what its guard has already."""

import asyncio

import pytest

from reconciler.contracts import GuardSeen
from reconciler.decide.timing import PROFILES
from reconciler.member import _timing
from reconciler.settings import Settings


class Guard:
    """One that has a session of an agent before."""

    def __init__(self, watchdog: float | None) -> None:
        self.seen = GuardSeen("held", 3, 2, 1e9, 1, watchdog, True, False, "", {})

    async def state(self) -> GuardSeen:
        return self.seen


@pytest.mark.parametrize(
    ("failover_time", "has", "watchdog"),
    [
        pytest.param("fast", 2.0, 2, id="as before"),
        pytest.param("conservative", 8.0, 8, id="raised, and it will do"),
        pytest.param("conservative", 2.0, 16, id="raised, and it is too short to stop anything"),
        pytest.param("fast", 8.0, 2, id="lowered: refused, the agent ended, and with it the session"),
    ],
)
def test_other_times_after_a_restart(failover_time: str, has: float, watchdog: int) -> None:
    settings = Settings("n1", failover_time=failover_time, watchdog="/dev/watchdog")
    timing, real = asyncio.run(_timing(settings, Guard(has)))  # type: ignore[arg-type]  # as far as asked
    assert (timing.watchdog, real) == (watchdog, True)
    assert timing.wait == PROFILES[failover_time].wait
