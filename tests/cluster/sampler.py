"""Hosts looked at every 5 ms → which address, mount, program was on which of them, and from when to when.

with Sampler(programs=["web"]) as sampler:
    sampler.watch(host); ...
sampler.history().assert_never_twice("address 10.77.0.50", "mount /mnt/self/data", "program web")
"""

import json
import select
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from tests.cluster.host import Host

SLOWEST = 0.010
"""Seconds between two looks at one host, of 99 in 100."""
_MAIN = Path(__file__).with_name("sampler_main.py")
_PATIENCE = 10.0


class Interval(NamedTuple):
    """The thing was there from the look that began at `since` to the one that ended at `until`."""

    host: str
    thing: str
    since: float
    until: float


class Overlap(NamedTuple):
    thing: str
    hosts: tuple[str, str]
    since: float
    seconds: float


class History:
    """What was seen; times are those of time.monotonic()."""

    def __init__(
        self, intervals: Sequence[Interval], periods: Sequence[tuple[int, int]], began: float
    ) -> None:
        self.intervals = sorted(intervals, key=lambda interval: interval.since)
        self._periods, self._began = periods, began

    def of(self, thing: str, host: str = "") -> list[Interval]:
        return [i for i in self.intervals if i.thing == thing and host in ("", i.host)]

    def overlaps(self, thing: str) -> list[Overlap]:
        """Where two hosts had it at once. Two boots of one host are one host."""
        found = []
        for one, other in combinations(self.of(thing), 2):
            since, until = max(one.since, other.since), min(one.until, other.until)
            if one.host != other.host and since <= until:
                found.append(Overlap(thing, (one.host, other.host), since - self._began, until - since))
        return found

    def assert_never_twice(self, *things: str) -> None:
        """Each was seen, never on two hosts at once, and looked for often enough to say so."""
        self.assert_quick()
        for thing in things:
            assert self.of(thing), f"{thing} was never seen on any host\n{self.told()}"
            found = self.overlaps(thing)
            lines = [
                f"{thing} was on {' and '.join(o.hosts)} at once: at {o.since:.3f} s, for {o.seconds:.3f} s"
                for o in found
            ]
            assert not found, "\n".join([*lines, self.told(thing)])

    def assert_quick(self) -> None:
        slow = self.period(95)
        assert slow <= SLOWEST, (
            f"looked every {slow * 1e3:.1f} ms only (95th percentile): no proof of anything"
        )

    def period(self, percent: float) -> float:
        """Seconds between two looks, at most, in so many of a hundred."""
        total = sum(count for _, count in self._periods)
        seen = 0
        for tenths, count in self._periods:
            seen += count
            if seen >= total * percent / 100:
                return tenths / 1e4
        return float("inf")

    def told(self, thing: str = "") -> str:
        """One line for each interval, of one thing or of all that did not stand all the time."""
        by_thing: dict[str, list[Interval]] = defaultdict(list)
        for interval in self.intervals:
            by_thing[interval.thing].append(interval)
        shown = [thing] if thing else [name for name in by_thing if name.startswith(("address", "program"))]
        lines = [
            f"  {i.since - self._began:8.3f} … {i.until - self._began:8.3f} s  {i.host:4}  {i.thing}"
            for i in sorted(i for name in shown for i in by_thing[name])
        ]
        return "\n".join(lines) or "  nothing was seen"


class Sampler:
    """A process of its own, ahead of all others where that is allowed; it ends with us at the latest."""

    def __init__(self, programs: Sequence[str] = ()) -> None:
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_MAIN), *programs],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    def __enter__(self) -> "Sampler":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def watch(self, host: Host) -> None:
        """From now to its crash; each boot anew."""
        self._send({"add": host.name, "pid": host.machine.pid})

    def history(self) -> History:
        """All that was seen so far; it goes on."""
        self._send({"tell": True})
        assert self._process.stdout
        ready, _, _ = select.select([self._process.stdout], [], [], _PATIENCE)
        line = self._process.stdout.readline() if ready else ""
        assert line, "the sampler has ended, or hangs"
        said = json.loads(line)
        return History([Interval(*words) for words in said["intervals"]], said["periods"], self._began)

    def until(self, holds: Callable[[History], object], within: float = _PATIENCE) -> History:
        """The history in which it holds for the first time."""
        end = time.monotonic() + within
        while True:
            history = self.history()
            if holds(history):
                return history
            assert time.monotonic() < end, f"not seen within {within:g} s\n{history.told()}"
            time.sleep(0.02)

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _send(self, words: dict[str, object]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(words) + "\n")
