"""The spec last applied and the spec wanted now → which keywords changed, and what that calls for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from reconciler.decide.documents.kinds import kinds, schema

Effect = Literal["none", "update", "replace"]


@dataclass(frozen=True)
class Change:
    """One keyword that differs. `str` of it is what a plan prints."""

    keyword: str
    effect: Effect
    old: Any = None
    new: Any = None

    def __str__(self) -> str:
        return f"{self.keyword}: {_shown(self.old)} → {_shown(self.new)} ({self.effect})"


def effect(kind: str, keyword: str) -> Effect:
    """What a change of this keyword calls for.

    "none" touches nothing, "update" leaves the resource up and lets its driver close the gap,
    "replace" takes the old one down before the new one goes up. No mark, or a keyword or kind
    that is not known (any more), means replace.
    """
    known = kinds().get(kind)
    found = known.properties.get(keyword) if known else schema("common.json")["properties"].get(keyword)
    mark = (found or {}).get("x-change", "replace")
    return mark if mark in ("none", "update") else "replace"


def compare(kind: str, old_spec: Mapping[str, Any], new_spec: Mapping[str, Any]) -> tuple[Change, ...]:
    """Every keyword that differs, those that replace first; () when the specs are equal.

    Lists and tuples of the same items are equal: an applied spec may come back from a store.
    """
    changes = [
        Change(keyword, effect(kind, keyword), old_spec.get(keyword), new_spec.get(keyword))
        for keyword in sorted({*old_spec, *new_spec})
        if _plain(old_spec.get(keyword)) != _plain(new_spec.get(keyword))
    ]
    order = ("replace", "update", "none")
    return tuple(sorted(changes, key=lambda change: order.index(change.effect)))


def overall(changes: tuple[Change, ...]) -> Effect:
    """The strongest effect of them."""
    return changes[0].effect if changes else "none"


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "empty"
    return str(value) if value != "" else "empty"
