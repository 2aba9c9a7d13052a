"""An OpenSVC .conf → the YAML document that means the same, on every node."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reconciler.decide import values
from reconciler.decide.documents import kinds, read
from reconciler.decide.documents.build import build
from reconciler.decide.documents.home import Home
from reconciler.decide.documents.kinds import Kind
from reconciler.decide.documents.source import Path, Source
from reconciler.decide.documents.typed import finished, plain
from reconciler.decide.documents.yaml_text import scalar
from reconciler.decide.references import WITHOUT_ESCAPES, escaped
from reconciler.errors import Fault

_PLAIN = re.compile(
    r"[A-Za-z0-9/_.][A-Za-z0-9/_.@+%=,#:-]*( [A-Za-z0-9/_.@+%=,(-][A-Za-z0-9/_.@+%=,()-]*)*"
)

_OLD_BOOLEANS = frozenset({"yes", "no", "on", "off", "y", "n"})
"""Text in YAML 1.2, yet truth values to many other programs: quoted for their sake."""


def convert(
    content: bytes, path: str, key: str, home: Home
) -> tuple[str, tuple[Fault, ...], tuple[Fault, ...]]:
    """The YAML text, "" with faults when the .conf is not in order, and its lints."""
    source = read(content, path, key, "conf")
    if source.tree is not None:
        build(source, key, home, "")
        for node in _named_nodes(source.tree) - {home.node}:
            there = read(content, path, key, "conf")
            build(there, key, replace(home, node=node), "")
            for where, texts in there.literal.items():
                source.literal.setdefault(where, set()).update(texts)
    text = "" if source.faults else _document(source)
    return text, tuple(sorted(set(source.faults))), tuple(sorted(set(source.lints)))


def _named_nodes(tree: Any) -> set[str]:
    """Names that a scope or `nodes` may mean: what stays text has to be known for each of them."""
    if not isinstance(tree, Mapping):
        return set()
    scopes = {scope for key in tree for _, at, scope in [key.partition("@")] if scope}
    words = str(tree.get("nodes", "")).split()
    return scopes.union(words, *(_named_nodes(inner) for inner in tree.values()))


def _document(source: Source) -> str:
    tree = source.tree
    spec = dict(tree["spec"])
    resources = spec.pop("resources")
    variables, subsets = spec.pop("vars", {}), spec.pop("subsets", {})
    text = _Converter(source)
    mine = text.section(("spec",), spec, kinds.service_kind())
    if variables:
        path = ("spec", "vars")
        mine["vars"] = {name: text.value((*path, name), value) for name, value in variables.items()}
    if subsets:
        mine["subsets"] = subsets
    mine["resources"] = {rid: text.resource(rid, written) for rid, written in resources.items()}
    top = {
        "apiVersion": tree["apiVersion"],
        "kind": tree["kind"],
        "metadata": tree["metadata"],
        "spec": mine,
    }
    return "\n".join([f"# Converted from {source.file}.", *_lines(top, 0)]) + "\n"


class _Converter:
    def __init__(self, source: Source) -> None:
        self.source = source

    def resource(self, rid: str, written: Mapping[str, Any]) -> dict[str, Any]:
        group = rid.partition("#")[0]
        named = written.get("type", kinds.DEFAULT_TYPES.get(group, ""))
        kind = kinds.kinds()[f"{group}.{named}"]
        return {"type": named, **self.section(("spec", "resources", rid), written, kind)}

    def section(self, path: Path, written: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
        """Keywords under their own names, in their own types, with the defaults a .conf has."""
        result: dict[str, Any] = {}
        for key, value in written.items():
            word, at, scope = key.partition("@")
            keyword = kind.aliases.get(word, word)
            result[keyword + at + scope] = self.keyword((*path, keyword), value, kind.properties[keyword])
        for keyword, found in kind.properties.items():
            if (
                "x-conf-default" in found
                and keyword not in result
                and found["x-conf-default"] != found.get("default")
            ):
                result[keyword] = found["x-conf-default"]
            if keyword == "provision" and result.get(keyword) is True:
                result[keyword] = "command"
        return result

    def keyword(self, path: Path, value: Any, found: Mapping[str, Any]) -> Any:
        if isinstance(value, Mapping):
            inner = found.get("properties", {})
            return {
                key: self.keyword((*path, key), item, inner.get(key.partition("@")[0], {}))
                for key, item in value.items()
            }
        if isinstance(value, str) and WITHOUT_ESCAPES.search(value):
            return self.value(path, value)
        typed = plain(value, found, "conf", True)
        if isinstance(typed, list):
            return [escaped(item) if isinstance(item, str) else item for item in typed]
        if not isinstance(typed, str):
            return typed
        if found.get("format") == "duration" and values.is_bare(typed):
            return values.duration_text(finished(typed, found))
        if found.get("format") == "size" and values.is_bare(typed):
            return f"{typed}B"
        return escaped(typed)

    def value(self, path: Path, text: str) -> str:
        """Text with references: those that resolve stay, every other brace is escaped."""
        literal = self.source.literal
        keep_as_text = {part for length in (3, 4, 5) for part in literal.get(path[:length], ())}
        keep_as_text |= literal.get(path, set())
        result, end = "", 0
        for found in WITHOUT_ESCAPES.finditer(text):
            result += escaped(text[end : found.start()])
            result += escaped(found[0]) if found[0] in keep_as_text else found[0]
            end = found.end()
        return result + escaped(text[end:])


def _lines(value: Mapping[str, Any], depth: int) -> list[str]:
    indent, out = "  " * depth, []
    for key, item in value.items():
        name = _text(key)
        if isinstance(item, Mapping) and item:
            out += [f"{indent}{name}:", *_lines(item, depth + 1)]
        elif isinstance(item, Mapping):
            out.append(f"{indent}{name}: {{}}")
        elif isinstance(item, (list, tuple)):
            out.append(f"{indent}{name}: [{', '.join(_text(part, inside=True) for part in item)}]")
        else:
            out.append(f"{indent}{name}: {_text(item)}")
    return out


def _text(value: Any, inside: bool = False) -> str:
    """A scalar, quoted wherever it would not be read as the same text."""
    if not isinstance(value, str):
        return json.dumps(value)
    odd = value.endswith(":") or ": " in value or " #" in value or (inside and "," in value)
    if (
        _PLAIN.fullmatch(value)
        and scalar(value) == value
        and not odd
        and value.lower() not in _OLD_BOOLEANS
    ):
        return value
    return json.dumps(value, ensure_ascii=False)
