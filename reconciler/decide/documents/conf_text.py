"""OpenSVC's INI text → its sections, keys and lines, with every duplicate and stray line as a fault."""

import re
from dataclasses import dataclass

from reconciler.errors import Fault

_SECTION = re.compile(r"\[([^\]]*)\]\s*$")
_DELIMITER = re.compile(r"\s*[=:]\s*")


@dataclass
class Entry:
    """One `key@scope = value`; a value's continuation lines are joined by line breaks."""

    key: str
    value: str
    line: int


@dataclass
class Section:
    name: str
    line: int
    entries: dict[str, Entry]


def read(text: str, file: str) -> tuple[dict[str, Section], list[Fault]]:
    """Sections by name in the order of the file. Never raises."""
    reader = _Reader(file)
    for number, line in enumerate(text.split("\n"), 1):
        reader.take(number, line.rstrip("\r"))
    return reader.sections, reader.faults


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file
        self.sections: dict[str, Section] = {}
        self.faults: list[Fault] = []
        self._section: Section | None = None
        self._entry: Entry | None = None
        self._indent = 0  # of the entry: deeper lines continue its value

    def take(self, number: int, line: str) -> None:
        text = line.strip()
        if not text or text[0] in "#;":
            return
        indent = len(line) - len(line.lstrip())
        if self._entry and indent > self._indent:
            self._entry.value = f"{self._entry.value}\n{text}".strip()
            return
        if found := _SECTION.fullmatch(text):
            self._open(number, found[1].strip())
            return
        delimiter = _DELIMITER.search(text)
        if not delimiter or not delimiter.start():
            self._fault(
                number, "", f'"{text[:40]}" is neither a [section] nor a key = value.', "Correct it."
            )
            return
        self._indent = indent
        self._add(Entry(text[: delimiter.start()], text[delimiter.end() :], number))

    def _open(self, number: int, name: str) -> None:
        self._entry = None
        if name in self.sections:
            first = self.sections[name].line
            self._fault(
                number, name, f"is written twice, first in line {first}.", "Put all its keys in one."
            )
        self._section = self.sections.setdefault(name, Section(name, number, {}))

    def _add(self, entry: Entry) -> None:
        self._entry = entry
        if self._section is None:
            self._fault(
                entry.line, entry.key, "stands before the first section.", "Write [DEFAULT] above it."
            )
            return
        if first := self._section.entries.get(entry.key):
            where = f"{self._section.name}.{entry.key}"
            self._fault(
                entry.line, where, f"is written twice, first in line {first.line}.", "Remove one of them."
            )
            return
        self._section.entries[entry.key] = entry

    def _fault(self, line: int, path: str, what: str, todo: str) -> None:
        self.faults.append(Fault(self.file, line, path, what, todo))
