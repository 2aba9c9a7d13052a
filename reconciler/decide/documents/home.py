"""What of the node a document may refer to, and which nodes its selectors name."""

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Home:
    """The node a document is read on.

    services, state, run  its directories, as {etc}, {var} and {run}.
    root  whether the agent runs as root.
    """

    node: str
    env: str = "TST"
    labels: Mapping[str, str] = field(default_factory=dict)
    cluster_nodes: tuple[str, ...] = ()
    services: str = "/etc/standfast/services"
    state: str = "/var/lib/standfast"
    run: str = "/run/standfast"
    root: bool = True


def resolve_nodes(words: Iterable[str] | None, home: Home) -> tuple[str, ...]:
    """Node names in placement order; not written at all: this node.

    A name stands for itself, known or not. A glob is matched against the nodes of the cluster, in
    natural order; a label selector (zone=a) against this node, whose labels are known. What
    matches nothing leaves nothing: () is no node at all.
    """
    if words is None:
        return (home.node,)
    known = sorted({*home.cluster_nodes, home.node}, key=_natural)
    found: dict[str, None] = {}
    for word in words:
        if "=" in word:
            label, _, value = word.partition("=")
            matching = [home.node] if home.labels.get(label) == value else []
        elif any(letter in word for letter in "*?["):
            matching = [name for name in known if fnmatch.fnmatchcase(name, word)]
        else:
            matching = [word]
        found |= dict.fromkeys(matching)
    return tuple(found)


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name) if part]
