"""/proc → how much room this host has: load, memory and swap, rounded to what matters to a person."""

import os
from pathlib import Path
from typing import NamedTuple

MEMORY = Path("/proc/meminfo")


class Room(NamedTuple):
    """load: 15-minute average. memory, swap: percent available; swap None: there is none."""

    load: float
    memory: float
    swap: float | None


def room() -> Room:
    """Rounded, for what is told to all hosts is told on change: load to 0.1, the rest to 5 %."""
    figures = {}
    for line in MEMORY.read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        figures[name] = int(rest.split()[0])
    memory = _percent(figures.get("MemAvailable", 0), figures["MemTotal"])
    total = figures.get("SwapTotal", 0)
    swap = _percent(figures.get("SwapFree", 0), total) if total else None
    return Room(round(os.getloadavg()[2], 1), memory, swap)


def _percent(part: int, whole: int) -> float:
    """Small figures as they are: below ten percent every one counts."""
    percent = 100.0 * part / max(whole, 1)
    return float(round(percent) if percent < 10 else 5 * round(percent / 5))
