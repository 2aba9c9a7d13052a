"""What a node tells of itself and of its services → the candidates' view of it, and back.

Told on change only: a load that moves is told when it is another figure to a person.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.model import State, nothing


@dataclass(frozen=True)
class Host:
    """As `hosts/N`. load: 15-minute average. memory, swap: percent available. frozen, drained: by whom."""

    env: str = "TST"
    version: str = ""
    labels: Mapping[str, str] = field(default_factory=nothing)
    load: float = 0.0
    score: float = 0.0
    memory: float = 100.0
    swap: float | None = None
    frozen: str = ""
    drained: str = ""


@dataclass(frozen=True)
class Told:
    """As `statuses/N/SERVICE`.

    instance  of the service there, as the API shows it
    failed    why a start failed there a short while ago; cannot: why it cannot run it at all
    loose     something of it is up there though no claim is held
    started   wall-clock time of its last start there, 0 for none
    """

    instance: Mapping[str, Any] = field(default_factory=nothing)
    generation: str = ""
    failed: str = ""
    cannot: str = ""
    loose: bool = False
    started: float = 0.0


def written(told: Host | Told) -> str:
    return json.dumps(told, sort_keys=True, default=_plain)


def _plain(thing: Any) -> Mapping[str, Any]:
    return dict(thing) if isinstance(thing, Mapping) else vars(thing)


def host(text: str) -> Host:
    """The reverse; what a later version says otherwise is left out."""
    return Host(**_known(text, Host))


def told(text: str) -> Told:
    return Told(**_known(text, Told))


def states(told: Told) -> dict[str, State]:
    """Of its resources there, as a driver sees them; what is not understood is unknown."""
    parts = told.instance.get("resources", {})
    return {rid: _STATES.get(part.get("state"), State.UNKNOWN) for rid, part in parts.items()}


_STATES: Mapping[str, State] = {
    **{state.value: state for state in State},
    State.STANDBY_UP.value: State.UP,
    State.STANDBY_DOWN.value: State.DOWN,
}


def _known(text: str, kind: type) -> dict[str, Any]:
    try:
        kept: Any = json.loads(text)
    except ValueError:
        return {}
    names = kind.__dataclass_fields__  # type: ignore[attr-defined]  # a dataclass has them
    return {name: value for name, value in kept.items() if name in names} if isinstance(kept, dict) else {}
