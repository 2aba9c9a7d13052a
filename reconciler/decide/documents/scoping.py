"""Keywords as written, with `keyword@scope` and other names → the one value of each for this node."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.decide.documents.kinds import Kind
from reconciler.decide.documents.source import Path, Source

NEVER = ("drpnodes", "encapnodes", "drp_flex_primary")
"""Scopes of OpenSVC that match no node here; see docs/not-supported.md."""


@dataclass(frozen=True)
class Place:
    """Where a document is read: this node's name, and the nodes of the service as written."""

    node: str
    nodes: tuple[str, ...]

    def rank(self, scope: str) -> int:
        """How near a scope is: smaller wins, 0 does not match."""
        if scope == self.node:
            return 1
        if scope == "nodes":
            return 2 if self.node in self.nodes or not self.nodes else 0
        if scope == "flex_primary":
            return 3 if self.nodes[:1] == (self.node,) else 0
        return 4 if not scope else 0


@dataclass
class Selected:
    """`values` by keyword; `others` are those of other nodes, which must be in order as well."""

    values: dict[str, Any] = field(default_factory=dict)
    others: list[tuple[Path, str, Any]] = field(default_factory=list)


def select(
    source: Source, path: Path, written: Mapping[str, Any], kind: Kind | None, place: Place
) -> Selected:
    """The value of each keyword on this node; marks are moved to the keyword it is found under."""
    if not any("@" in key or (kind and key in kind.aliases) for key in written):
        return Selected(_inner_all(source, path, written, kind, place))
    result, best = Selected(), dict[str, tuple[int, str]]()
    for key, value in written.items():
        name, at, scope = key.partition("@")
        keyword = (kind.aliases.get(name, name) if kind else name) if scope or not at else key
        rank = place.rank(scope)
        if not rank:
            result.others.append(((*path, key), keyword, value))
            if scope in NEVER:
                source.lint(
                    (*path, key), f'scope "{scope}" matches no node.', "Name the nodes it is meant for."
                )
            continue
        held = best.get(keyword)
        if held and held[0] == rank:
            source.fault((*path, key), f"says the same as {held[1]}.", "Remove one of them.")
        elif not held or rank < held[0]:
            if held:
                result.others.append(((*path, held[1]), keyword, result.values[keyword]))
            best[keyword] = (rank, key)
            result.values[keyword] = value
        else:
            result.others.append(((*path, key), keyword, value))
    for keyword, mark in [(word, source.marks.get((*path, key))) for word, (_, key) in best.items()]:
        if mark:
            source.marks[*path, keyword] = mark
    result.values = _inner_all(source, path, result.values, kind, place)
    return result


def _inner_all(
    source: Source, path: Path, written: Mapping[str, Any], kind: Kind | None, place: Place
) -> dict[str, Any]:
    """Scopes may also stand inside a map of keywords (timeouts, triggers, flex)."""
    if kind is None:
        return dict(written)
    return {
        key: select(source, (*path, key), value, None, place).values
        if isinstance(value, dict) and "properties" in kind.properties.get(key, {})
        else value
        for key, value in written.items()
    }
