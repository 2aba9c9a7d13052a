"""Selectors (`svc1`, `prod/web`, `prod/*`) → the services that they mean."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any


def key_of(service: dict[str, Any]) -> str:
    meta = service["metadata"]
    return f"{meta['namespace']}/{meta['name']}"


def matches(selector: str, key: str) -> bool:
    """A selector without a namespace means root: a plain name never acts on two services."""
    return fnmatchcase(key, selector if "/" in selector else f"root/{selector}")


def select(services: Iterable[dict[str, Any]], selectors: Sequence[str]) -> list[dict[str, Any]]:
    """Those that any of the selectors means, in their order; all when there is no selector."""
    if not selectors:
        return list(services)
    return [service for service in services if any(matches(one, key_of(service)) for one in selectors)]


def unmatched(services: Iterable[dict[str, Any]], selectors: Sequence[str]) -> tuple[str, str] | None:
    """The first selector that means nothing, and what may have been meant."""
    keys = [key_of(service) for service in services]
    for selector in selectors:
        if not any(matches(selector, key) for key in keys):
            near = [key for key in keys if key.endswith(f"/{selector}")]
            near = near or get_close_matches(selector if "/" in selector else f"root/{selector}", keys, 1)
            hint = f"did you mean {near[0]}?" if near else "`standfast ls` lists them"
            return selector, hint
    return None
