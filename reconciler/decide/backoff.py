"""Failures so far → how long to wait, how much of the budget is left."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Budget:
    """What a resource has used up. Instants are the loop's clock, in seconds.

    failures  losses and failed starts in a row; forgotten after a stable time up.
    not_before no new attempt earlier than this.
    """

    failures: int = 0
    not_before: float = 0.0
    up_since: float | None = None
    last: str = ""  # what went wrong, in words

    def left(self, restart: int) -> int:
        """Restarts that remain, for the flags column."""
        return max(0, restart - self.failures)

    def spent(self, restart: int) -> bool:
        return self.failures > restart


def delay(failures: int, base: float, most: float, jitter: float) -> float:
    """Seconds before the attempt after the n-th failure: base, doubled each time, ± a tenth.

    `jitter` is in [0, 1): many services that failed together do not come back together.
    """
    if failures <= 0:
        return 0.0
    grown = base * 2.0 ** min(failures - 1, 40)
    return float(min(grown, most) * (0.9 + 0.2 * jitter))


def failed(budget: Budget, why: str, now: float, base: float, most: float, jitter: float) -> Budget:
    """A start that failed: the command just ran, so never again at once."""
    count = budget.failures + 1
    wait = delay(count, max(base, 0.1), most, jitter)
    return Budget(count, now + wait, None, why)


def lost(budget: Budget, why: str, now: float, base: float, most: float, jitter: float) -> Budget:
    """A thing that was up and is not: the first repair is immediate."""
    count = budget.failures + 1
    wait = delay(count - 1, max(base, 0.1), most, jitter)
    return Budget(count, now + wait, None, why)


def stable(budget: Budget, now: float, after: float) -> Budget:
    """Seen up now: after a stable time the budget is whole again."""
    if budget.up_since is None:
        return replace(budget, up_since=now)
    if budget.failures and now - budget.up_since >= after:
        return Budget(up_since=budget.up_since)
    return budget
