"""True time, which is the loop's → the two clocks of one boot of a made-up host, which run wrong."""

import asyncio


class SimClock:
    """contracts.Clock of one boot of a host: runs wrong by `rate`; `step`: somebody set the wall clock."""

    step = 0.0

    def __init__(self, rate: float) -> None:
        self._true = asyncio.get_running_loop().time
        self.rate, self._began = rate, self._true()

    def wall(self) -> float:
        return 1e9 + self.step + self._true()

    def boottime(self) -> float:
        return 100.0 + self.rate * (self._true() - self._began)

    def until(self, instant: float) -> float:
        """True seconds, at least 0."""
        return max((instant - self.boottime()) / self.rate, 0.0)
