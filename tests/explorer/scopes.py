"""Small times in which every rule is just kept → the scopes that are looked through.

A clock that may run wrong by a third makes a drift of one tick out of two. Seconds are those of the faster
clock; the first node, which has the service at the beginning, has the slower one.
"""

from dataclasses import replace
from typing import Any

from reconciler.decide.timing import Timing
from reconciler.testing.small_states import Scope

TIGHT = Timing(
    wait=10.0,
    deadline=2.0,
    watchdog=2,
    stop=1.0,
    margin=1.0,
    periods=1,
    reset=1.0,
    renew=0.5,
    request=0.5,
    election=0.25,
    drift=1 / 3,
)
"""D + κW + δ is 5 s, T (1 - ρ) / (1 + ρ) is 5 s; I + E + 2r is D; G + F is W - m."""
GRAIN = 0.5
ELECTION = replace(TIGHT, wait=12.5, deadline=3.25, election=0.625)  # I + E + 3r is D
MESSAGES = ("lost", "unanswered", "slow", "late")
SLOW_AND_FAST = (0.5, 1.0)
HOLDER = (0,)


def scope(kinds: tuple[str, ...], faults: int = 1, **more: Any) -> Scope:
    """What befalls the holder, whose clock is slow."""
    timing = replace(TIGHT, **{name: more.pop(name) for name in list(more) if hasattr(TIGHT, name)})
    return Scope(
        timing, SLOW_AND_FAST, **{"grain": 5.0, "faults": faults, "kinds": kinds, "whom": HOLDER, **more}
    )


def election(timing: Timing, answer: float) -> Scope:
    """Nothing happens but one election, of the full length or a shorter one."""
    return Scope(
        timing,
        (1.0, 1.0),
        grain=0.25,
        kinds=("election",),
        whom=HOLDER,
        answer=answer,
        healthy=True,
    )


LARGE = {
    "one fault of any kind, the holder's clock slow": Scope(TIGHT, SLOW_AND_FAST),
    "one fault of any kind, the holder's clock fast": Scope(TIGHT, SLOW_AND_FAST[::-1]),
    "one fault of any kind, both clocks slow": Scope(TIGHT, (0.5, 0.5)),
    "two messages that go astray": Scope(TIGHT, SLOW_AND_FAST, faults=2, kinds=MESSAGES),
    "a message and an agent of the holder": scope(("late", "slow", "kill"), 2, grain=1.0),
    "a message and a cut of the holder": scope(("late", "slow", "silent"), 2, grain=1.0),
}
