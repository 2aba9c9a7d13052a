"""Documents of one kind, made one by one → what they say in the same words is one value in memory."""

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from reconciler.model import Common, Resource, Service

MOST = 2000
"""Values remembered; then they are learned anew: what is rare must not be kept for being rare."""

T = TypeVar("T")
H = TypeVar("H", bound=Hashable)


class Alike:
    """Words, sets of rids and common keywords as they were first met."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Any] = {}

    def service(self, service: Service) -> Service:
        """The same, of parts that others have as well."""
        words = {name: self._one(getattr(service, name)) for name in _WORDS}
        return replace(service, resources=tuple(map(self._resource, service.resources)), **words)

    def tree(self, value: T) -> T:
        """A document as written: its keys and words."""
        if isinstance(value, str):
            return self._one(value)
        if isinstance(value, dict):
            return {self._one(key): self.tree(below) for key, below in value.items()}  # type: ignore[return-value]
        if isinstance(value, list):
            return [self.tree(below) for below in value]  # type: ignore[return-value]
        return value

    def common(self, common: Common) -> Common:
        key = (
            *(getattr(common, name) for name in _PLAIN),
            tuple(common.timeouts.items()),
            tuple(common.requires.items()),
        )
        return self._first(key, common)

    def _resource(self, resource: Resource) -> Resource:
        return Resource(
            self._one(resource.rid),
            self._one(resource.kind),
            self._spec(resource.spec),
            self.common(resource.common),
            self._one(resource.refs),
            resource.line,
            resource.late,
        )

    def _spec(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        words = {key: self._one(value) if isinstance(value, str) else value for key, value in spec.items()}
        return {self._one(key): value for key, value in words.items()}

    def _one(self, value: H) -> H:
        return self._first(value, value)

    def _first(self, key: Hashable, value: T) -> T:
        if len(self._known) >= MOST:
            self._known.clear()
        return self._known.setdefault(key, value)  # type: ignore[no-any-return]  # equal keys, equal values


_WORDS = (
    "namespace",
    "app",
    "env",
    "nodes",
    "topology",
    "flex",
    "orchestrate",
    "placement",
    "failback",
    "state",
    "on_delete",
    "monitor_action",
    "requires_safety",
)
_PLAIN = tuple(name for name in Common.__dataclass_fields__ if name not in ("timeouts", "requires"))
