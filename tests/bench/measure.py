"""Pairs of timings → rows of the table: ours, the yardstick, their ratio, the target, reached or not."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

Pairs = list[tuple[float, float]]
"""(ours, yardstick), taken one right after the other."""


@dataclass(frozen=True)
class Size:
    """How much is measured.

    idle  seconds of looking at an agent that has nothing to do: several of its periodic looks, which are
          nearly all it does.
    """

    pairs: int = 9
    load: int = 100
    loads: int = 7
    failovers: int = 3
    some: int = 100
    many: int = 1000
    idle: float = 120.0


QUICK = Size(pairs=3, load=10, loads=1, failovers=1, some=20, many=50, idle=5.0)


@dataclass(frozen=True)
class Row:
    """`ours` and `yardstick` in `unit`; the latter is None where the target is an absolute one.

    `n` pairs, of which these are the medians; `low` and `high` are the extremes of ours.
    """

    name: str
    what: str
    ours: float
    yardstick: float | None
    unit: str
    ratio: float | None
    target: str
    ok: bool | None  # None: not measured, `why` says why
    n: int = 1
    low: float = 0.0
    high: float = 0.0
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def pairs(count: int, ours: Callable[[int], float], yardstick: Callable[[int], float]) -> Pairs:
    """Each is called with the number of its pair and returns what it measured. One goes first unused."""
    ours(0), yardstick(0)
    return [(ours(number), yardstick(number)) for number in range(1, count + 1)]


def by_ratio(name: str, what: str, found: Pairs, most: float, unit: str = "ms") -> Row:
    """Reached when ours takes at most `most` times as long: the median of the pairs' ratios."""
    ratio = statistics.median(mine / theirs for mine, theirs in found)
    return _row(name, what, found, unit, ratio, f"≤ {most:g}×", ratio <= most)


def by_excess(name: str, what: str, found: Pairs, most: float) -> Row:
    """Reached when ours takes at most `most` seconds longer."""
    excess = statistics.median(mine - theirs for mine, theirs in found)
    ratio = statistics.median(mine / theirs for mine, theirs in found)
    return _row(name, what, found, "ms", ratio, f"≤ + {most * 1000:g} ms", excess <= most)


def by_limit(name: str, what: str, values: list[float], most: float, unit: str) -> Row:
    """Reached when the median is at most `most`."""
    mine = statistics.median(values)
    scale = _SCALE[unit]
    low, high = min(values) * scale, max(values) * scale
    target = f"≤ {most * scale:g} {unit}"
    return Row(name, what, mine * scale, None, unit, None, target, mine <= most, len(values), low, high)


def skipped(name: str, what: str, why: str) -> Row:
    return Row(name, what, 0.0, None, "", None, "", None, 0, why=why)


_SCALE = {"ms": 1000.0, "s": 1.0, "%": 100.0, "MiB": 1.0}


def _row(name: str, what: str, found: Pairs, unit: str, ratio: float, target: str, ok: bool) -> Row:
    scale = _SCALE[unit]
    mine = [ours * scale for ours, _ in found]
    theirs = statistics.median(yardstick for _, yardstick in found) * scale
    return Row(
        name,
        what,
        statistics.median(mine),
        theirs,
        unit,
        ratio,
        target,
        ok,
        len(found),
        min(mine),
        max(mine),
    )
