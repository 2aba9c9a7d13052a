"""disk.raw: devices that something else makes; there is nothing to start or stop, only to wait for.

All there is n/a, which blocks nobody and is settled for every goal; one missing is down, and what
stands on it waits.
"""

from typing import Any, TypedDict

from reconciler.asks import Ask, BlockDevice, Facts
from reconciler.model import Goal, Observed, State, warning
from reconciler.operations import Operation

KIND = "disk.raw"


class Spec(TypedDict):
    devs: tuple[str, ...]


def asks(spec: Spec) -> tuple[Ask[Any], ...]:
    return tuple(BlockDevice(dev) for dev in spec["devs"])


def observe(spec: Spec, facts: Facts) -> Observed:
    """Exposes paths as they are written (LABEL= and UUID= by the path they stand for)."""
    label = f"raw {' '.join(spec['devs'])}"
    found = {dev: facts.of(BlockDevice(dev)) for dev in spec["devs"]}
    missing = [dev for dev, block in found.items() if block is None]
    if missing:
        return Observed(State.DOWN, label, blocked=f"device {', '.join(missing)} does not exist")
    blocks = {dev: block for dev, block in found.items() if block is not None}
    exposed = tuple(dev if dev.startswith("/") else block.path for dev, block in blocks.items())
    return Observed(
        State.NA,
        label,
        notes=tuple(warning(f"{dev} is read-only") for dev, block in blocks.items() if block.readonly),
        exposes={"exposed_devs": exposed, "sub_devs": exposed},
        identity=" ".join(block.number for block in blocks.values()),
    )


def operations(spec: Spec, seen: Observed, goal: Goal) -> tuple[Operation, ...]:
    """None: missing is the only state that is not settled, and no step makes a device appear."""
    return ()


def exclusive(spec: Spec) -> tuple[str, ...]:
    return tuple(f"raw device {dev}" for dev in spec["devs"])
