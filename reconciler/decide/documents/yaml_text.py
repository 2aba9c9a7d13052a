"""YAML 1.2 text → a plain tree with the line of every part, or faults.

Built from ruamel.yaml's parse events: one reading gives values and lines, scalars follow the YAML
1.2 core schema (`yes` and `0755` mean what they look like: text and a number), and what a document
has no use for (tags, recursion, merge keys, several documents) is said rather than guessed.
"""

import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from reconciler.decide.documents.source import Mark, Path, Source
from reconciler.errors import Fault

DEEPEST = 24
MOST_NODES = 100_000
CORE_TAG = "tag:yaml.org,2002:"

_INTEGER = re.compile(r"[-+]?[0-9]{1,30}")
_OCTAL = re.compile(r"0o[0-7]{1,30}")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,30}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,30}|[0-9]{1,30}(?:\.[0-9]{0,30})?)(?:[eE][-+]?[0-9]{1,3})?")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_UNQUOTED = re.compile(r"[:\-,\[]\s+\{#?[A-Za-z_][\w.#-]*(?:\[[\d#]*\])?\}")


class _Stop(Exception):
    """The document cannot be read on: (line, what, todo)."""

    def __init__(self, line: int, what: str, todo: str = "") -> None:
        super().__init__(what)
        self.line, self.what, self.todo = line, what, todo


def scalar(text: str) -> Any:
    """A plain scalar's value by the core schema; .inf and .nan stay text, nothing wants them."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "0123456789+-.":
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            number = float(text)
            return text if number in (float("inf"), float("-inf")) else number
        if _OCTAL.fullmatch(text):
            return int(text[2:], 8)
        if _HEX.fullmatch(text):
            return int(text[2:], 16)
    return text


def read(text: str, file: str) -> Source:
    """Never raises: what cannot be read is a fault of the source, and its tree is None."""
    source = Source(file, "yaml")
    builder = _Builder(source)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            builder.take(event)
    except _Stop as stop:
        source.faults.append(Fault(file, stop.line, "", stop.what, stop.todo))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = min(mark.line + 1, text.count("\n") + 1) if mark else 0
        what = ", ".join(str(part) for part in (error.context, error.problem) if part)
        source.faults.append(Fault(file, line, "", f"is not YAML: {what}.", _syntax_hint(text, line)))
    except (
        YAMLError,
        ValueError,
        IndexError,
        AssertionError,
        TypeError,
        AttributeError,
        OverflowError,
    ) as error:
        # ruamel's scanner trips over some malformed input with errors that are not its own.
        what = str(error).partition("\n")[0] or type(error).__name__
        source.faults.append(
            Fault(file, 0, "", f"is not YAML: {what}.", "Compare it with a document that works.")
        )
    else:
        source.tree = builder.tree
        if source.tree is None:
            source.faults.append(
                Fault(file, 0, "", "is empty.", "Remove the file, or write a document into it.")
            )
    source.marks = builder.marks
    return source


def _syntax_hint(text: str, line: int) -> str:
    lines = text.split("\n")
    for number in (line, line - 1):
        if 1 <= number <= len(lines) and _UNQUOTED.search(lines[number - 1]):
            return 'A value that starts with a reference must be quoted: "{name}/data"'
    if any("\t" in part[: len(part) - len(part.lstrip())] for part in lines[max(0, line - 2) : line]):
        return "Indent with spaces: YAML knows no tabs there."
    return "Look at this line and the one before it: indentation, colons, quotes."


class _Builder:
    """Takes events one by one; `tree` is whole when the last was taken."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tree: Any = None
        self.marks: dict[Path, Mark] = {}
        self.documents = 0
        self._stack: list[
            tuple[Any, Path, str | None, int]
        ] = []  # container, its path, anchor, nodes before
        self._keys: list[str | None] = []  # the key that waits for its value, in a mapping
        self._anchors: dict[str, tuple[Any, int] | None] = {}  # None: still being read
        self._nodes = 0

    def take(self, event: Any) -> None:
        if isinstance(event, ScalarEvent):
            self._scalar(event)
        elif isinstance(event, (MappingStartEvent, SequenceStartEvent)):
            self._open(event)
        elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
            container, _, anchor, before = self._stack.pop()
            self._keys.pop()
            if anchor:
                self._anchors[anchor] = (container, self._nodes - before)
        elif isinstance(event, AliasEvent):
            self._alias(event)
        elif isinstance(event, DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                todo = "Put each into a file of its own."
                raise _Stop(_line(event), "holds more than one document.", todo)

    def _scalar(self, event: Any) -> None:
        text = event.value
        plain = event.style is None or event.style == ""
        value = self._tagged(event, text, plain)
        if event.anchor:
            self._anchors[event.anchor] = (value, 1)
        self._put(event, value, text if plain else None)

    def _tagged(self, event: Any, text: str, plain: bool) -> Any:
        tag = str(event.tag) if event.tag else ""
        if not tag:
            return scalar(text) if plain else text
        if tag in ("!", f"{CORE_TAG}str"):
            return text
        raise _Stop(_line(event), f"uses the tag {tag}.", "Write the value without a tag.")

    def _open(self, event: Any) -> None:
        tag = str(event.tag) if event.tag else ""
        if tag not in ("", "!", f"{CORE_TAG}map", f"{CORE_TAG}seq"):
            raise _Stop(_line(event), f"uses the tag {tag}.", "Write the value without a tag.")
        if len(self._stack) >= DEEPEST:
            raise _Stop(_line(event), f"is nested more than {DEEPEST} deep.", "No document needs that.")
        container: Any = {} if isinstance(event, MappingStartEvent) else []
        before = self._nodes
        path = self._put(event, container, None)
        if event.anchor:
            self._anchors[event.anchor] = None
        self._stack.append((container, path, event.anchor, before))
        self._keys.append(None)

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            raise _Stop(
                _line(event), f"*{event.anchor} names no anchor.", f"Write &{event.anchor} before it."
            )
        found = self._anchors[event.anchor]
        if found is None:
            raise _Stop(_line(event), f"*{event.anchor} contains itself.", "Write the value out.")
        self._nodes += found[1]  # what it expands to counts: a few lines must not become millions
        self._put(event, found[0], None)

    def _put(self, event: Any, value: Any, written: str | None) -> Path:
        """Place a value where the reading stands; returns its path."""
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise _Stop(_line(event), f"holds more than {MOST_NODES} values.", "No document needs that.")
        if not self._stack:
            self.tree = value
            self.marks[()] = Mark(_line(event), written)
            return ()
        container, path, _, _ = self._stack[-1]
        if isinstance(container, list):
            path = (*path, len(container))
            container.append(value)
            self.marks[path] = Mark(_line(event), written)
            return path
        key = self._keys[-1]
        if key is None:
            self._keys[-1] = self._key(event, value, written, container, path)
            return path
        path = (*path, key)
        self._keys[-1] = None
        if key not in container:
            container[key] = value
            self.marks[path] = Mark(self.marks[path].line, written)
        return path

    def _key(
        self, event: Any, value: Any, written: str | None, container: dict[str, Any], path: Path
    ) -> str:
        if isinstance(value, (dict, list)):
            todo = 'Is it a reference? Then quote it: "{name}"'
            raise _Stop(_line(event), "has a map or list where a key is wanted.", todo)
        key = value if isinstance(value, str) else written or str(value)
        if key == "<<":
            raise _Stop(_line(event), "<< (merge) is not part of YAML 1.2.", "Write the keys out.")
        where = (*path, key)
        if key in container:
            line = _line(event)
            what = f"is written twice, first in line {self.marks[where].line}."
            fault = Fault(self.source.file, line, self.source.shown(where), what, "Remove one of them.")
            self.source.faults.append(fault)
        else:
            self.marks[where] = Mark(_line(event))
        return key


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
