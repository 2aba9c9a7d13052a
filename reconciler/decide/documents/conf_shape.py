"""Sections of an OpenSVC .conf → the tree a YAML document of the same meaning has.

Values stay text; keywords of [DEFAULT] that belong to resources are handed down to each of them.
"""

import re
from collections.abc import Iterator
from typing import Any

from reconciler.decide.documents import kinds
from reconciler.decide.documents.conf_text import Entry, Section
from reconciler.decide.documents.kinds import Kind
from reconciler.decide.documents.source import Mark, Path, Source
from reconciler.decide.documents.typed import words
from reconciler.decide.documents.unsupported import TAGS, Unsupported, of_resource, of_service
from reconciler.decide.documents.verdicts import suggestion
from reconciler.errors import Fault

_MAPS = frozenset({"timeouts", "triggers", "requires", "flex", "vars", "subsets", "resources"})
_TRIGGER = re.compile(r"(blocking_)?(pre|post)_(start|stop|provision|unprovision)")
_TIMEOUT = re.compile(r"(start|stop|provision|unprovision)_timeout")
_REQUIRES = re.compile(r"(start|stop|provision|unprovision)_requires")
_FLEX = re.compile(r"flex_(min|max|target)")
_SUBSET = re.compile(r"subset#([a-z]+:[A-Za-z0-9_.-]+)")


def shaped(sections: dict[str, Section], faults: list[Fault], file: str, key: str) -> Source:
    """The source of a .conf; identity is the path's."""
    source = Source(file, "conf", faults=list(faults))
    if not sections and not faults:
        source.faults.append(
            Fault(file, 0, "", "is empty.", "Remove the file, or write a document into it.")
        )
    if not sections:
        return source
    namespace, _, name = key.rpartition("/")
    spec: dict[str, Any] = {"resources": {}}
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    source.tree = {"apiVersion": "standfast/v1", "kind": "Service", "metadata": metadata, "spec": spec}
    shaper = _Shaper(source, spec)
    inherited = shaper.head(sections["DEFAULT"]) if "DEFAULT" in sections else []
    for section in sections.values():
        if section.name != "DEFAULT":
            shaper.section(section, inherited)
    return source


class _Shaper:
    def __init__(self, source: Source, spec: dict[str, Any]) -> None:
        self.source, self.spec = source, spec

    def head(self, section: Section) -> list[Entry]:
        """[DEFAULT]: the service's keywords are placed; those of resources are returned."""
        self._mark(("spec",), section.line)
        kind, inherited = kinds.service_kind(), []
        resource_keywords = _resource_keywords()
        for entry in section.entries.values():
            word, scope = _parts(entry)
            word = kind.aliases.get(word, word)
            if found := _FLEX.fullmatch(word):
                self._put(("spec", "flex"), found[1] + scope, entry, entry.value)
            elif word in _MAPS:
                self._map(("spec", entry.key), entry)
            elif word in kind.properties:
                self._put(("spec",), word + scope, entry, entry.value)
            elif word in resource_keywords or _TIMEOUT.fullmatch(word):
                inherited.append(entry)
            elif why := of_service(word):
                self._unsupported(("spec", entry.key), entry, why)
            else:
                self._put(("spec",), entry.key, entry, entry.value)
        return inherited

    def section(self, section: Section, inherited: list[Entry]) -> None:
        if section.name == "env":
            self.spec.setdefault("vars", {})
            for entry in section.entries.values():
                self._put(("spec", "vars"), entry.key, entry, entry.value)
        elif found := _SUBSET.fullmatch(section.name):
            path: Path = ("spec", "subsets", found[1])
            self._mark(path, section.line)
            for entry in section.entries.values():
                text = entry.value.strip().lower()
                value: Any = {"true": True, "false": False}.get(text, entry.value)
                self._put(path, entry.key, entry, value)
        elif "#" in section.name:
            self._resource(section, inherited)
        else:
            close = "DEFAULT" if section.name.upper() == "DEFAULT" else suggestion(section.name, ["env"])
            todo = (
                f"Did you mean [{close}]?" if close else "Sections are [DEFAULT], [env] and [group#index]."
            )
            self._mark((section.name,), section.line)
            self.source.fault((section.name,), f"[{section.name}] is no section that is known.", todo)

    def _resource(self, section: Section, inherited: list[Entry]) -> None:
        rid = section.name
        path: Path = ("spec", "resources", rid)
        self._mark(path, section.line)
        self.spec["resources"].setdefault(rid, {})
        group = rid.partition("#")[0]
        named = (
            section.entries["type"].value if "type" in section.entries else kinds.DEFAULT_TYPES.get(group)
        )
        kind = kinds.kinds().get(f"{group}.{named}")
        own = {_canonical(entry, kind) for entry in section.entries.values()}
        handed = [entry for entry in inherited if _inherits(entry, kind, own)]
        for entry in [*section.entries.values(), *handed]:
            self._keyword(path, entry, kind)

    def _keyword(self, path: Path, entry: Entry, kind: Kind | None) -> None:
        word, scope = _parts(entry)
        if word in _MAPS:
            self._map((*path, entry.key), entry)
        elif kind is not None and kind.aliases.get(word, word) in kind.properties:
            self._put(path, entry.key, entry, entry.value)
            if word == "tags":
                self._tags((*path, entry.key), entry)
        elif _TRIGGER.fullmatch(word):
            self._put((*path, "triggers"), entry.key, entry, entry.value)
        elif found := _TIMEOUT.fullmatch(word):
            self._put((*path, "timeouts"), found[1] + scope, entry, entry.value)
        elif found := _REQUIRES.fullmatch(word):
            self._put((*path, "requires"), found[1] + scope, entry, entry.value)
        elif why := of_resource(word):
            self._unsupported((*path, entry.key), entry, why)
        else:
            self._put(path, entry.key, entry, entry.value)

    def _map(self, path: Path, entry: Entry) -> None:
        """What is one map in YAML is several keywords in .conf."""
        self._mark(path, entry.line)
        todo = (
            "Write its parts as keywords of their own: start_timeout, pre_start, stop_requires, flex_min."
        )
        self.source.fault(path, "is no keyword of a .conf.", todo)

    def _tags(self, path: Path, entry: Entry) -> None:
        """Words that mean something to OpenSVC, and nothing here."""
        for word in words(entry.value):
            if why := TAGS.get(word):
                say = self.source.fault if why.refused else self.source.lint
                say(path, f'the tag "{word}" is not supported.', f"{why.why[0].upper()}{why.why[1:]}.")

    def _unsupported(self, path: Path, entry: Entry, why: Unsupported) -> None:
        self._mark(path, entry.line)
        if why.refused:
            self.source.fault(path, "is not supported.", f"{why.why[0].upper()}{why.why[1:]}.")
        elif why.why:
            self.source.lint(path, "is ignored.", f"{why.why[0].upper()}{why.why[1:]}.")

    def _put(self, path: Path, keyword: str, entry: Entry, value: Any) -> None:
        container: Any = self.source.tree
        for part in path:
            container = container.setdefault(part, {})
        if keyword in container:
            first = self.source.line((*path, keyword))
            fault = Fault(
                self.source.file,
                entry.line,
                self.source.shown((*path, keyword)),
                f"is written twice, first in line {first}.",
                "Remove one of them.",
            )
            self.source.faults.append(fault)
            return
        container[keyword] = value
        self.source.marks[*path, keyword] = Mark(entry.line, entry.value)

    def _mark(self, path: Path, line: int) -> None:
        self.source.marks.setdefault(path, Mark(line))


def _parts(entry: Entry) -> tuple[str, str]:
    """Keyword and scope, the latter with its @."""
    word, at, scope = entry.key.partition("@")
    return word, at + scope


def _canonical(entry: Entry, kind: Kind | None) -> str:
    word, scope = _parts(entry)
    return (kind.aliases.get(word, word) if kind else word) + scope


def _inherits(entry: Entry, kind: Kind | None, own: set[str]) -> bool:
    """A resource takes over what it knows and does not say itself."""
    if kind is None:
        return False
    name = _canonical(entry, kind)
    word = name.partition("@")[0]
    known = word in kind.properties or _TIMEOUT.fullmatch(word) is not None
    return known and word not in own and name not in own


def _resource_keywords() -> frozenset[str]:
    return frozenset(_all_keywords()) - _MAPS - kinds.service_kind().properties.keys()


def _all_keywords() -> Iterator[str]:
    for kind in kinds.kinds().values():
        yield from kind.properties
        yield from kind.aliases
