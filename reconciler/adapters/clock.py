"""The system's clocks as the Clock contract."""

import time


class SystemClock:
    def wall(self) -> float:
        """Seconds since the epoch, for people and the store only."""
        return time.time()

    def boottime(self) -> float:
        """Seconds since boot, running on while the machine is suspended."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)
