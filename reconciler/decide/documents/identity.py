"""A file's path in the watched directory → the key of its service and its language, or a fault."""

import re
from typing import Literal

from reconciler.errors import Fault

Flavour = Literal["yaml", "conf"]

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")
_IGNORED_ENDINGS = ("~", ".swp", ".tmp")


def identity(relative_path: str) -> tuple[str, Flavour] | Fault | None:
    """`web/shop.yaml` → ("web/shop", "yaml"); None for a name that is no document's.

    Editors' leavings, hidden files, other endings and what lies in a directory called `NAME.d`
    (a service's scripts) are no documents.
    """
    parts = [part for part in relative_path.split("/") if part not in ("", ".")]
    if not parts or any(part.startswith(".") for part in parts) or parts[-1].endswith(_IGNORED_ENDINGS):
        return None
    name, dot, ending = parts[-1].rpartition(".")
    if not dot or ending not in ("yaml", "conf", "yml") or any(part.endswith(".d") for part in parts[:-1]):
        return None
    if len(parts) > 2:
        where = "/".join(parts[-2:])
        return Fault(relative_path, 0, "", "lies too deep.", f"Put it at NAMESPACE/NAME: {where}")
    if ending == "yml":
        return Fault(relative_path, 0, "", "ends in .yml.", f"Rename it to {name}.yaml")
    namespace = parts[0] if len(parts) == 2 else "root"
    for word, what in ((namespace, "namespace"), (name, "name")):
        if not NAME.fullmatch(word):
            todo = "Letters, digits, dots and dashes, at most 63, first and last a letter or digit."
            return Fault(relative_path, 0, "", f'"{word}" cannot be a {what}.', todo)
    return f"{namespace}/{name}", "yaml" if ending == "yaml" else "conf"
