"""One failover time → every time of holders, observers and guards; and which rules a set of them breaks.

What the rules keep: a holder that can no longer renew has stopped, or was reset, before an observer's
own clock lets it take over. All times are seconds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from reconciler.decide import values
from reconciler.errors import NeedsPerson

DRIFT = 0.005  # covers the slewing of NTP and a virtual machine's clock
CLAIM = 0.5  # from a session's end to the claim: notice it, close it, claim
LEAST_MARGIN = 1.0
LEAST_STOP = 0.5
LONGEST_WATCHDOG = 60  # beyond it a longer failover time is spent on enduring the store's absence


@dataclass(frozen=True)
class Timing:
    """A set of times. In brackets the symbols that the rules are written with.

    wait      [T] what an observer waits, from the last renewal it saw, before it takes over
    deadline  [D] so long after it sent its last acknowledged renewal a holder begins to stop by itself
    watchdog  [W] what the watchdog was granted; without one, what the guard has to stop everything
    stop      [G+F] what a stop may take, gracefully and then by force, before the guard lets go
    margin    [m] of the watchdog's time, kept free of the stop
    periods   [κ] watchdog periods that can pass after the deadline: 1 if nothing can hold the guard up
              between its look at the clock and its pet (memory locked, real-time), else 2
    reset     [δ] from the watchdog's firing until the machine writes nothing more
    renew     [I] from one renewal to the next
    request   [r] what one request to the store may take
    election  etcd's election timeout; the longest election to survive [E] is twice as long
    drift     [ρ] how far a clock may run wrong, as a part of it
    """

    wait: float
    deadline: float
    watchdog: int
    stop: float
    margin: float
    periods: int
    reset: float
    renew: float
    request: float
    election: float
    drift: float = DRIFT

    @property
    def leaderless(self) -> float:
        """[E] the longest time without a leader of the store that stops nobody."""
        return 2 * self.election

    @property
    def heartbeat(self) -> float:
        """etcd's heartbeat interval."""
        return self.election / 10

    @property
    def silent(self) -> float:
        """Between two acknowledged renewals of a healthy holder, at most, over one election.

        One renewal is under way when it ends and gets no answer; what stands is read; the next is sent.
        """
        return self.renew + self.leaderless + 3 * self.request

    @property
    def ended(self) -> float:
        """After its last acknowledged renewal a holder has stopped or was reset by then."""
        return self.deadline + self.periods * self.watchdog + self.reset

    @property
    def surely_waited(self) -> float:
        """What T is at least on the holder's clock, when both clocks are as wrong as they may be."""
        return self.wait * (1 - self.drift) / (1 + self.drift)

    @property
    def failover(self) -> float:
        """From the crash of a holder to the claim of another, at most, while the store has its leader."""
        return self.wait + CLAIM


@dataclass(frozen=True)
class Rule:
    """left ≤ right must hold (<, if strict). `words` say why, `sum` what is added up."""

    words: str
    sum: str
    left: float
    right: float
    strict: bool = False

    @property
    def holds(self) -> bool:
        return self.left < self.right if self.strict else self.left <= self.right + 1e-9

    @property
    def slack(self) -> float:
        return self.right - self.left

    def __str__(self) -> str:
        sign = "less than" if self.strict else "at most"
        return f"{self.words}: {self.sum} is {self.left:.4g} s and must be {sign} {self.right:.4g} s"


PROFILES: Mapping[str, Timing] = MappingProxyType(
    {
        "fast": Timing(7.0, 3.8, 2, 1.0, 1.0, 1, 1.0, 0.5, 0.5, 0.5),
        "default": Timing(18.5, 8.0, 8, 6.5, 1.5, 1, 2.0, 1.5, 1.0, 1.0),
        "conservative": Timing(57.0, 20.0, 16, 14.0, 2.0, 2, 4.0, 4.0, 3.0, 2.0),
    }
)
"""`conservative` does not count on a guard that nothing can hold up."""

_STEPS = ((57.0, 1.0), (18.5, 0.5), (0.0, 0.2))  # T from which on → what D is rounded down to


def written(text: str) -> str | float:
    """As people write it → a profile's name or seconds. Raises ValueError for no such duration."""
    return values.duration(text) if text[:1].isdigit() else text


def derive(failover_time: str | float, granted: int | None = None, locked: bool = True) -> Timing:
    """The times for a profile's name or for seconds from crash to claim.

    granted  the watchdog's timeout as its driver granted it; None: none yet, or no watchdog
    locked   the guard's memory is locked and it runs in real time
    Raises NeedsPerson with every rule that cannot be kept, and what would do.
    """
    made = _planned(failover_time, granted, locked)
    faults = broken(made)
    if not faults:
        return made
    least = _least(made.wait, granted, locked)
    todo = f"choose at least {least:g}s" if least else "no failover_time can be kept so"
    why = [f"a watchdog of {granted} s"] if granted is not None else []
    why += [] if locked else ["a guard that is not locked in memory"]
    given = failover_time if isinstance(failover_time, str) else f"{failover_time:g}s"
    what = f"failover_time {given}" + (f" with {' and '.join(why)}" if why else "")
    raise NeedsPerson("\n    ".join((f"{what} is refused: {todo}", *faults)))


def rules(timing: Timing) -> tuple[Rule, ...]:
    """Every rule with both sides, in seconds."""
    t = timing
    round_trip = t.renew + t.leaderless + 2 * t.request
    return (
        Rule(
            "until it takes over an observer waits longer than a holder can go on",
            "deadline + periods × watchdog + reset",
            t.ended,
            t.surely_waited,
        ),
        Rule(
            "an election of the store's leader stops no healthy holder",
            "renewal interval + election + two requests",
            round_trip,
            t.deadline,
        ),
        Rule("a stop ends before the watchdog does", "stop", t.stop, t.watchdog - t.margin),
        Rule("the watchdog is not cut close", "the least margin", LEAST_MARGIN, t.margin),
        Rule("there is time to stop anything", "the least time for a stop", LEAST_STOP, t.stop),
        Rule(
            "an observer does not take an election for a death",
            "election + renewal interval + two requests",
            round_trip,
            t.wait,
            strict=True,
        ),
        Rule(
            "no time is nothing", "nothing", 0.0, min(t.renew, t.request, t.election, t.reset), strict=True
        ),
        Rule("a watchdog fires at least once", "one period", 1, t.periods),
    )


def broken(timing: Timing) -> tuple[str, ...]:
    """Each rule that does not hold, in words and with both sides."""
    return tuple(str(rule) for rule in rules(timing) if not rule.holds)


def warnings(timing: Timing) -> tuple[str, ...]:
    """What holds but may surprise."""
    t, found = timing, list[str]()
    two = t.renew + 2 * t.leaderless + 2 * t.request
    if t.silent > t.deadline + 1e-9:
        found.append(
            f"an election may stop a healthy holder if each request takes all of {t.request:g} s: "
            f"it may have no renewal acknowledged for {t.silent:.4g} s, and ends after {t.deadline:g} s"
        )
    if two > t.deadline + 1e-9:
        found.append(
            f"two elections in a row may stop a healthy holder: {two:.4g} s are more than {t.deadline:g} s"
        )
    if t.stop < 2:
        found.append(
            f"{t.stop:g} s are left for a stop: a shared filesystem with much unwritten will end in a reset"
        )
    return tuple(found)


def _planned(failover_time: str | float, granted: int | None, locked: bool) -> Timing:
    """As good as it gets; not necessarily good enough."""
    if isinstance(failover_time, str):
        made = PROFILES.get(failover_time)
        if made is None:
            todo = f"write {', '.join(PROFILES)}, or a duration as 30s"
            raise NeedsPerson(f'failover_time "{failover_time}" is unknown: {todo}')
        if not locked and made.periods == 1:
            made = _fitted(made, 2)
    else:
        wait = round(failover_time - CLAIM, 3)
        if not 0 < wait < math.inf:
            raise NeedsPerson(f"failover_time {failover_time:g}s is no such time: write 30s, or default")
        made = _fitted(usual(wait), 1 if locked else 2)
    return made if granted is None else _granted(made, granted)


def usual(wait: float) -> Timing:
    """For a T the intervals of the profiles on both sides of it, in proportion."""
    lower, upper = PROFILES["fast"], PROFILES["fast"]
    for profile in PROFILES.values():
        upper = profile
        if profile.wait >= wait:
            break
        lower = profile
    span = upper.wait - lower.wait
    part = min(1.0, (wait - lower.wait) / span) if span > 0 else 0.0

    def mixed(name: str, step: float, up: bool = False) -> float:
        a, b = getattr(lower, name), getattr(upper, name)
        return _rounded(a + (b - a) * part, step, up)

    return replace(
        lower,
        wait=wait,
        renew=mixed("renew", 0.1),
        request=mixed("request", 0.1),
        election=mixed("election", 0.05),
        reset=mixed("reset", 0.1, up=True),
        margin=mixed("margin", 0.1, up=True),
    )


def _fitted(base: Timing, periods: int) -> Timing:
    """Enough before the deadline for two elections, the rest to the watchdog, in whole seconds."""
    budget = base.surely_waited - base.reset
    need = base.renew + 2 * base.leaderless + 2 * base.request
    need = _rounded(need, _step(base.wait), up=True)
    watchdog = min(max(math.floor((budget - need) / periods + 1e-9), 2), LONGEST_WATCHDOG)
    return _granted(replace(base, periods=periods, deadline=budget), watchdog)


def _granted(timing: Timing, watchdog: int) -> Timing:
    """With this watchdog: a longer one has the holder begin to stop earlier."""
    budget = timing.surely_waited - timing.reset - timing.periods * watchdog
    deadline = min(timing.deadline, _rounded(budget, _step(timing.wait)))
    return replace(timing, watchdog=watchdog, deadline=deadline, stop=round(watchdog - timing.margin, 3))


def _least(wait: float, granted: int | None, locked: bool) -> float:
    """The shortest failover time, in half seconds, that keeps every rule; 0 when there is none."""
    first = math.ceil(2 * max(wait, 1.0, granted or 0, 0 if locked else 2 * (granted or 0)))
    tries = (half / 2 for half in range(first, first + 240))
    return next((seconds for seconds in tries if not broken(_planned(seconds, granted, locked))), 0.0)


def _step(wait: float) -> float:
    return next(step for least, step in _STEPS if wait >= least)


def _rounded(value: float, step: float, up: bool = False) -> float:
    turns = value / step
    return round((math.ceil(turns - 1e-9) if up else math.floor(turns + 1e-9)) * step, 3)
