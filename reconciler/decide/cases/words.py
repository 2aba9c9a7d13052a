"""What a person writes in a case → seconds, the value for one service on one node; or what is wrong."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from reconciler.decide.values import duration

Tree = Mapping[str, Any]


def seconds(value: Any) -> float:
    """`5s`, `2h`, or a plain number."""
    return float(value) if isinstance(value, int | float) else duration(str(value))


def known(where: str, given: Iterable[str], words: Iterable[str]) -> None:
    """Raises ValueError for a word that means nothing here, with the one that was meant."""
    words = list(words)
    for word in given:
        if word not in words:
            near = get_close_matches(word, words, 1)
            hint = f": did you mean {near[0]!r}?" if near else f"; these are: {', '.join(words)}"
            raise ValueError(f"{where}: {word!r} means nothing{hint}")


def at(given: Tree | None, service: str, node: str, place: str) -> Any:
    """Of `{web: …, web@demo2: …}` what is said of a service on one node; without a node: on its place."""
    found = given or {}
    if f"{service}@{node}" in found:
        return found[f"{service}@{node}"]
    return found.get(service) if node == place else None


def listed(value: Any) -> tuple[Any, ...]:
    """One or several."""
    return tuple(value) if isinstance(value, list | tuple) else () if value is None else (value,)
