"""What of the node a document may refer to, and which nodes its selectors name."""

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Home:
    """The node a document is read on.

    cluster_nodes  other names that node.yaml knows of, for a host alone.
    hosts          labels by name of all hosts of the cluster, as the store has them; None: alone, or not
                   told yet.
    services, state, run  its directories, as {etc}, {var} and {run}.
    root           whether the agent runs as root.
    """

    node: str
    env: str = "TST"
    labels: Mapping[str, str] = field(default_factory=dict)
    cluster_nodes: tuple[str, ...] = ()
    hosts: Mapping[str, Mapping[str, str]] | None = None
    services: str = "/etc/standfast/services"
    state: str = "/var/lib/standfast"
    run: str = "/run/standfast"
    root: bool = True

    def labels_of(self) -> Mapping[str, Mapping[str, str]]:
        """Every node that is known, in natural order; it knows itself best."""
        others = {name: {} for name in self.cluster_nodes} if self.hosts is None else self.hosts
        known = {**others, self.node: self.labels}
        return {name: known[name] for name in sorted(known, key=_natural)}


def resolve_nodes(words: Iterable[str] | None, home: Home) -> tuple[str, ...]:
    """Node names in placement order; not written at all: this node.

    A name stands for itself, known or not. A glob (db*) and a label selector (zone=a) stand for all
    known nodes that match, in natural order. What matches nothing leaves nothing: () is no node at all.
    """
    if words is None:
        return (home.node,)
    known, found = home.labels_of(), dict[str, None]()
    for word in words:
        if "=" in word:
            label, _, value = word.partition("=")
            matching = [name for name, labels in known.items() if labels.get(label) == value]
        elif selects(word):
            matching = [name for name in known if fnmatch.fnmatchcase(name, word)]
        else:
            matching = [word]
        found |= dict.fromkeys(matching)
    return tuple(found)


def selects(word: str) -> bool:
    """It stands for whatever nodes match it, and not for the one of that name."""
    return any(letter in word for letter in "=*?[")


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name) if part]
