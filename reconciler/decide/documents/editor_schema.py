"""The schemas of frame, common keywords and kinds → one schema file for editors, `if/then` on `type`.

What an editor can know: a value that is not text may also be a reference in quotes, any keyword may
carry a scope, and a duration or size may be a bare number.
"""

from collections.abc import Mapping
from typing import Any

from reconciler.decide.documents import kinds
from reconciler.decide.documents.kinds import Kind, types

_REFERENCE = {"type": "string", "pattern": r"\{#?[A-Za-z_]"}
_SHAPED = ("pattern", "enum", "maxLength", "minLength", "format")


def editor_schema() -> dict[str, Any]:
    """A JSON Schema of whole documents."""
    whole = kinds.schema("service.json")
    defs: dict[str, Any] = {}
    spec = _section(kinds.service_kind(), defs)
    resources = dict(spec["properties"]["resources"])
    resources["additionalProperties"] = {
        "type": "object",
        "properties": {"type": {"type": "string"}},
    }
    resources["patternProperties"] = {
        f"^{group}#": _group(group, defs)
        for group in sorted({kind.group for kind in kinds.kinds().values()})
    }
    spec["properties"]["resources"] = resources
    for name in ("vars", "subsets"):
        spec["properties"][name] = whole["properties"]["spec"]["properties"][name]
    return {**whole, "properties": {**whole["properties"], "spec": spec}, "$defs": defs}


def _group(group: str, defs: dict[str, Any]) -> dict[str, Any]:
    """The kinds of one group: which one follows from `type`, or is the group's default."""
    found = [kind for kind in kinds.kinds().values() if kind.group == group]
    by_default = kinds.DEFAULT_TYPES.get(group)
    names = [kind.name.partition(".")[2] for kind in found]
    rules = []
    for kind, name in zip(found, names, strict=True):
        condition: dict[str, Any] = {"properties": {"type": {"const": name}}}
        if name != by_default:
            condition["required"] = ["type"]
        rules.append({"if": condition, "then": _section(kind, defs)})
    required = {} if by_default in names else {"required": ["type"]}
    return {"type": "object", "properties": {"type": {"enum": names}}, **required, "allOf": rules}


def _section(kind: Kind, defs: dict[str, Any]) -> dict[str, Any]:
    """The keywords of one section, each also under its other names and with scopes.

    `defs` collects what each of them may be, the common ones once for all kinds.
    """
    properties = {}
    for keyword, found in kind.properties.items():
        name = f"{kind.name if keyword in kind.own else 'common'}.{keyword}"
        defs[name] = _loose(found)
        properties[keyword] = {"$ref": f"#/$defs/{name}"}
    named = {**properties, **{other: properties[keyword] for other, keyword in kind.aliases.items()}}
    rules = [
        {"anyOf": [{"required": [word]} for word in (keyword, *_others(kind, keyword))]}
        if _others(kind, keyword)
        else {"required": [keyword]}
        for keyword in kind.required
    ]
    return {
        "type": "object",
        "description": kind.description,
        "properties": named,
        "patternProperties": {f"^{word}@.": found for word, found in named.items()},
        "additionalProperties": False,
        **({"allOf": rules} if rules else {}),
    }


def _others(kind: Kind, keyword: str) -> list[str]:
    return [other for other, real in kind.aliases.items() if real == keyword]


def _loose(found: Mapping[str, Any]) -> dict[str, Any]:
    """A keyword's schema as an editor should see it."""
    described = {key: found[key] for key in ("description", "default") if key in found}
    rule = {key: value for key, value in found.items() if not key.startswith("x-")}
    if "properties" in rule:
        rule["properties"] = {key: _loose(inner) for key, inner in rule["properties"].items()}
        rule["patternProperties"] = {f"^{key}@.": inner for key, inner in rule["properties"].items()}
        return rule
    if found.get("format") in ("duration", "size"):
        return {**described, "anyOf": [{**rule, "type": "string"}, {"type": "number"}]}
    if "array" in types(found):
        return {**described, "anyOf": [rule, {"type": "string"}]}
    if "string" in types(found) and not any(key in found for key in _SHAPED):
        return rule
    return {**described, "anyOf": [rule, _REFERENCE]}
