"""`make sim`: seeds → days of made-up clusters, how fast they went, what befell them, and what was wrong.

make sim SEEDS=1000 START=0      make sim SEED=17      LAST=200 for more of its history
make sim SEED=17 MINIMISE=1      the least of that day that goes wrong in the same way
"""

import argparse
import gc
import os
import sys
import time
from collections import Counter
from dataclasses import replace
from multiprocessing import get_context

from reconciler.testing.days import Day, again, day
from reconciler.testing.minimise import minimised


def main() -> int:
    parser = argparse.ArgumentParser(prog="make sim")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--minimise", action="store_true")
    parser.add_argument("--last", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    if given.seed is not None:
        made = day(given.seed, last=given.last)
        return least(made, given.last) if given.minimise and made.wrong else one(made)
    began, days, wrong = time.perf_counter(), [], []
    # A process ends before what it leaves is much, which costs less than to collect it.
    with get_context("fork").Pool(given.jobs, gc.disable, maxtasksperchild=1) as pool:
        for made in pool.imap(figures, range(given.start, given.start + given.seeds), chunksize=25):
            days.append(made)
            if made.wrong:
                wrong.append(made.seed)
                print(f"seed {made.seed}: {made.wrong.splitlines()[0]}", flush=True)
    report(days, time.perf_counter() - began)
    for seed in wrong[:10]:
        print(f"again: make sim SEED={seed}; the least of it: make sim SEED={seed} MINIMISE=1")
    return 1 if wrong else 0


def figures(seed: int) -> Day:
    """A day without its schedule, which no other process needs: the seed makes it again."""
    return replace(day(seed), schedule=None)


def one(made: Day) -> int:
    print(made.history)
    print(made.wrong or f"seed {made.seed} is well")
    print(f"{made.seconds:.1f} s simulated, history {made.digest[:16]}")
    return 1 if made.wrong else 0


def least(made: Day, last: int) -> int:
    found = minimised(made)
    assert made.schedule
    print(
        f"{len(made.schedule.happens)} faults before, {len(found.schedule.happens)} are left "
        f"after {found.days} days; {found.rule} is broken by"
    )
    print(found.schedule)
    return one(again(found.schedule, last))


def report(days: list[Day], seconds: float) -> None:
    faults = Counter[str]()
    for made in days:
        faults.update(made.faults)
    simulated, healed = sum(d.seconds for d in days), sorted(d.healed for d in days)
    print(
        f"{len(days)} clusters in {seconds:.1f} s: {len(days) / seconds:.1f} a second, "
        f"{simulated / 3600:.1f} h simulated, {simulated / seconds:.0f} times as fast"
    )
    print(f"{sum(d.failovers for d in days)} failovers, {sum(d.operations for d in days)} operations")
    print("faults: " + ", ".join(f"{kind} {n}" for kind, n in sorted(faults.items())))
    print(f"healed in {healed[len(healed) // 2]:.1f} s (half), {healed[-1]:.1f} s (longest)")


if __name__ == "__main__":
    sys.exit(main())
