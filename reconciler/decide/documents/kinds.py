"""Schema files → what may be written about each kind of resource, with validators made once."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator

DEFAULT_TYPES = {"ip": "host", "app": "forking", "task": "host", "sync": "rsync"}
RUN_TIME = frozenset({"exposed_devs", "sub_devs", "base_devs"})
"""What references may read of a running resource, whatever its kind; `x-exposes` adds to it."""


@dataclass(frozen=True)
class Kind:
    """The language of one kind, or of a service's own keywords.

    properties  keyword → its schema, a driver's own and the common ones.
    own         the driver's keywords only.
    aliases     other names → keyword.
    validator   for values without references, durations and sizes still as text.
    """

    name: str
    description: str
    properties: Mapping[str, Mapping[str, Any]]
    own: frozenset[str]
    aliases: Mapping[str, str]
    required: tuple[str, ...]
    exposes: frozenset[str]
    validator: Draft202012Validator

    @property
    def group(self) -> str:
        return self.name.partition(".")[0]


@cache
def schema(name: str) -> Mapping[str, Any]:
    """A schema of this package by file name: `service.json`, `resources/fs.flag.json`."""
    loaded: Mapping[str, Any] = json.loads(files("schemas").joinpath(name).read_text("utf-8"))
    return loaded


@cache
def kinds() -> Mapping[str, Kind]:
    """Every kind that has a schema, by name."""
    found = sorted(entry.name for entry in files("schemas").joinpath("resources").iterdir())
    common = schema("common.json")["properties"]
    return {
        name.removesuffix(".json"): _kind(name.removesuffix(".json"), schema(f"resources/{name}"), common)
        for name in found
        if name.endswith(".json")
    }


@cache
def service_kind() -> Kind:
    """The keywords of a service itself: `spec` of a document."""
    return _kind("service", schema("service.json")["properties"]["spec"], {})


@cache
def frame() -> Draft202012Validator:
    """All of a document but its `spec`."""
    whole = schema("service.json")
    return Draft202012Validator(
        {**whole, "properties": {**whole["properties"], "spec": {"type": "object"}}}
    )


def default(kind: Kind, keyword: str, flavour: str) -> Any:
    """The default as a document of this language would write it; None when there is none."""
    found = kind.properties.get(keyword, {})
    if flavour == "conf" and "x-conf-default" in found:
        return found["x-conf-default"]
    return found.get("default")


def types(found: Mapping[str, Any]) -> tuple[str, ...]:
    """The JSON types a keyword's schema allows."""
    if "type" in found:
        return (found["type"],) if isinstance(found["type"], str) else tuple(found["type"])
    names = {str: "string", bool: "boolean", int: "integer", float: "number"}
    return tuple(dict.fromkeys(names.get(type(value), "string") for value in found.get("enum", ("",))))


def _kind(name: str, written: Mapping[str, Any], common: Mapping[str, Any]) -> Kind:
    own = written.get("properties", {})
    properties = {**common, **own}
    rules = {**written, "type": "object", "properties": properties, "additionalProperties": False}
    return Kind(
        name,
        written.get("description", ""),
        properties,
        frozenset(own),
        dict(_aliases(properties)),
        tuple(written.get("required", ())),
        RUN_TIME | frozenset(written.get("x-exposes", ())),
        Draft202012Validator(rules),
    )


def _aliases(properties: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for keyword, found in properties.items():
        for other in found.get("x-aliases", ()):
            yield other, keyword
