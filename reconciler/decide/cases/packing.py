"""Values of the model ↔ plain data: defaults are left out, classes are named."""

import importlib
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any

IS = "is"
"""Key that names the class of a value: `reconciler.asks.programs:ProgramSeen`."""
KNOWN = ("reconciler.asks", "reconciler.model", "reconciler.operations", "resources")
"""Packages whose classes may be named in a case: it may come from anywhere."""


def plain(value: Any) -> Any:
    """Any value of an observation as JSON would have it; the reverse is `unplain`."""
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        return {IS: f"{kind.__module__}:{kind.__qualname__}", **parts(value)}
    if isinstance(value, Enum):
        return {IS: f"{type(value).__module__}:{type(value).__qualname__}", "value": value.value}
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, set | frozenset):
        return {IS: "set", "items": [plain(one) for one in sorted(value, key=str)]}
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{type(value).__name__} cannot be kept in a case")


def parts(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that are not as by default."""
    told: dict[str, Any] = {}
    for field in fields(value):
        one = getattr(value, field.name)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if default is MISSING or one != default:
            told[field.name] = plain(one)
    return told


def unplain(value: Any) -> Any:
    """Lists come back as tuples, as the model has them. Raises ValueError for a foreign class."""
    if isinstance(value, list | tuple):
        return tuple(unplain(one) for one in value)
    if not isinstance(value, Mapping):
        return value
    if IS not in value:
        return {name: unplain(one) for name, one in value.items()}
    rest = {name: unplain(one) for name, one in value.items() if name != IS}
    if value[IS] == "set":
        return frozenset(rest["items"])
    module, _, name = str(value[IS]).partition(":")
    if not any(module == known or module.startswith(f"{known}.") for known in KNOWN):
        raise ValueError(f"{value[IS]} is no kind of value that a case may have")
    kind = getattr(importlib.import_module(module), name)
    if not (isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, Enum))):
        raise ValueError(f"{value[IS]} is no kind of value that a case may have")
    return kind(**rest) if is_dataclass(kind) else kind(rest["value"])
