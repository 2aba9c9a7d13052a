"""A document's bytes → the Service it wants on this node, or every fault in it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.decide.documents import conf_text, yaml_text
from reconciler.decide.documents.build import build
from reconciler.decide.documents.conf_shape import shaped
from reconciler.decide.documents.home import Home, resolve_nodes
from reconciler.decide.documents.identity import Flavour, identity
from reconciler.decide.documents.lints import lint_alone, lint_together
from reconciler.decide.documents.source import Source
from reconciler.errors import Fault
from reconciler.model import Service

__all__ = [
    "Checked",
    "Flavour",
    "Home",
    "check",
    "generation_of",
    "identity",
    "lint_together",
    "read",
    "resolve_nodes",
]

LARGEST = 1 << 20


@dataclass(frozen=True)
class Checked:
    """A document looked through.

    service   None exactly when there are faults.
    document  the tree as written (a .conf in the shape of YAML), JSON-able.
    lints     legal but surely wrong, or ignored.
    """

    service: Service | None
    document: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    lints: tuple[Fault, ...] = ()
    generation: str = ""


def check(content: bytes, path: str, key: str, flavour: Flavour, home: Home) -> Checked:
    """Check one document. Never raises, whatever the bytes.

    `key` is what `identity` made of its path; with an empty namespace (`/shop`) the document says
    the namespace itself. `path` is how faults name the file.
    """
    generation = generation_of(content)
    source = read(content, path, key, flavour)
    service = build(source, key, home, generation) if source.tree is not None else None
    if service and not source.faults:
        lint_alone(source, service)
    faults = _in_order(source.faults)
    document = source.tree if isinstance(source.tree, dict) else {}
    return Checked(None if faults else service, document, faults, _in_order(source.lints), generation)


def generation_of(content: bytes) -> str:
    """A short name of a document's content."""
    return hashlib.sha256(content).hexdigest()[:12]


def read(content: bytes, path: str, key: str, flavour: Flavour) -> Source:
    """Text of either language → its tree in the shape of YAML."""
    source = Source(path, flavour)
    if len(content) > LARGEST:
        source.faults.append(Fault(path, 0, "", "is larger than 1 MiB.", "No document needs that."))
        return source
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        source.faults.append(Fault(path, line, "", "is not UTF-8 text.", "Save it as UTF-8."))
        return source
    if flavour == "yaml":
        return yaml_text.read(text, path)
    return shaped(*conf_text.read(text, path), path, key)


def _in_order(faults: list[Fault]) -> tuple[Fault, ...]:
    return tuple(sorted(set(faults)))
