"""True time, which is the loop's → the two clocks of one boot of a made-up host, which run wrong."""

from reconciler.testing.simloop import true_time


class SimClock:
    """contracts.Clock of one boot of a host: runs wrong by `rate`; `step`: somebody set the wall clock."""

    step = 0.0

    def __init__(self, rate: float) -> None:
        self.rate, self._began = rate, true_time()

    def wall(self) -> float:
        return 1e9 + self.step + true_time()

    def boottime(self) -> float:
        return 100.0 + self.rate * (true_time() - self._began)

    def until(self, instant: float) -> float:
        """True seconds, at least 0."""
        return max((instant - self.boottime()) / self.rate, 0.0)
