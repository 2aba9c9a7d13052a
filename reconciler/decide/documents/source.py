"""What both readers make of a document's text: a plain tree, where each part stands, what is wrong."""

from dataclasses import dataclass, field
from typing import Any

from reconciler.errors import Fault

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Mark:
    """Line (from 1) of a key or item, and the text of its value as written when it is a scalar."""

    line: int
    written: str | None = None


@dataclass
class Source:
    """A document read. `tree` has the shape of the YAML language, whichever it was written in.

    `literal` collects, by keyword, references of a .conf that did not resolve and so are text.
    """

    file: str
    flavour: str
    tree: Any = None
    marks: dict[Path, Mark] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    lints: list[Fault] = field(default_factory=list)
    literal: dict[Path, set[str]] = field(default_factory=dict)

    def line(self, path: Path) -> int:
        """Of the path, or of the nearest thing around it that was written down."""
        for length in range(len(path), -1, -1):
            if found := self.marks.get(path[:length]):
                return found.line
        return 0

    def written(self, path: Path) -> str | None:
        mark = self.marks.get(path)
        return mark.written if mark else None

    def fault(self, path: Path, what: str, todo: str = "") -> None:
        self.faults.append(Fault(self.file, self.line(path), self.shown(path), what, todo))

    def lint(self, path: Path, what: str, todo: str = "") -> None:
        self.lints.append(Fault(self.file, self.line(path), self.shown(path), what, todo))

    def shown(self, path: Path) -> str:
        """The path as a person reads it: `spec.resources.fs#app.mnt`, in .conf `fs#app.mnt`."""
        if self.flavour == "conf":
            match path:
                case ("spec", "resources", *rest):
                    path = tuple(rest)
                case ("spec", "vars", *rest):
                    path = ("env", *rest)
                case ("spec", *rest):
                    path = ("DEFAULT", *rest)
        text = ""
        for part in path:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
        return text
