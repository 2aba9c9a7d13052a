"""A resource as applied ↔ the JSON the store keeps, so that it can be stopped without its document."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from reconciler.model import Common, Resource, State, Trigger


def packed(resource: Resource) -> dict[str, Any]:
    """JSON-able, complete: order and triggers of a stop must not need the document."""
    common = ((name, getattr(resource.common, name), default) for name, default in _DEFAULTS)
    return {
        "kind": resource.kind,
        "spec": _plain(resource.spec),
        "common": {name: _plain(value) for name, value, default in common if value != default},
        "refs": sorted(resource.refs),
    }


def unpacked(rid: str, frame: Mapping[str, Any]) -> Resource:
    """The reverse of `packed`; lists come back as tuples, as drivers have them."""
    common = dict(frame.get("common", {}))
    if "tags" in common:
        common["tags"] = frozenset(common["tags"])
    if "after" in common:
        common["after"] = tuple(common["after"])
    if "triggers" in common:
        common["triggers"] = tuple(Trigger(**t) for t in common["triggers"])
    if "requires" in common:
        common["requires"] = {
            action: tuple((name, frozenset(State(s) for s in states)) for name, states in needs)
            for action, needs in common["requires"].items()
        }
    return Resource(
        rid, frame["kind"], _tuples(frame["spec"]), Common(**common), frozenset(frame.get("refs", ()))
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(_plain(v) for v in value)
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, Trigger):
        return {f.name: getattr(value, f.name) for f in fields(Trigger)}
    return value


def _tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


_DEFAULTS = tuple((f.name, getattr(Common(), f.name)) for f in fields(Common))
