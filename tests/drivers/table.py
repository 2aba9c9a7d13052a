"""A driver's cases as a table: what was asked and answered, what it makes of that, what it would do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.asks import Ask
from reconciler.model import State, nothing


@dataclass(frozen=True)
class Case:
    """One situation. Lists hold the operations as printed; None means: not looked at here.

    `answers` maps asks to answers (a value, or Failed). `notes` are parts of the notes' texts,
    all of which must be found; () demands that there are none.
    """

    name: str
    spec: Mapping[str, Any]
    answers: Mapping[Ask[Any], Any]
    state: State
    up: list[str] | None = None
    down: list[str] | None = None
    standby: list[str] | None = None
    preflight: list[str] | None = None
    create: list[str] | None = None
    destroy: list[str] | None = None
    label: str | None = None
    notes: tuple[str, ...] | None = None
    blocked: str | None = None  # part of it; "" demands that it is not
    provisioned: bool | None = None
    holder: str | None = None
    left: bool = False
    exposes: Mapping[str, tuple[str, ...]] = field(default_factory=nothing)
