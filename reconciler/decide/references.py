"""`{rid.keyword[n]}` in text → its parts at load, its value at run time.

At load every reference is resolved but those to what only a running resource knows
(`{disk#1.exposed_devs[0]}`): they stay in the spec as text, and `bind` fills them in before a
driver sees the spec.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler.model import Resource

Exposed = Mapping[str, Mapping[str, tuple[str, ...]]]
"""What is exposed now, by rid and name: {"disk#1": {"exposed_devs": ("/dev/vg/app",)}}."""

_SHAPE = r"\{(?P<count>#)?(?P<name>[A-Za-z_][\w#-]*(?:\.[\w-]+)*)(?:\[(?P<index>\d{1,6}|#)\])?\}"
REFERENCE = re.compile(_SHAPE, re.ASCII)
WITH_ESCAPES = re.compile(rf"\$\{{[^}}]*\}}|\{{\{{|\}}\}}|{_SHAPE}|\{{|\}}", re.ASCII)
WITHOUT_ESCAPES = re.compile(rf"\$\{{[^}}]*\}}|{_SHAPE}", re.ASCII)
"""In .conf a doubled brace is just text."""


@dataclass(frozen=True)
class Reference:
    """One reference taken apart. `section` is "" for the nearest, "env", "node" or a rid."""

    text: str
    section: str
    keyword: str
    index: int | None
    count: bool

    @property
    def rid(self) -> str:
        return self.section if "#" in self.section else ""


def parse(found: re.Match[str]) -> Reference:
    """The parts of a match of one of the patterns above."""
    head, dot, rest = found["name"].partition(".")
    named = dot and ("#" in head or head in ("env", "node", "DEFAULT"))
    section, keyword = (head.replace("DEFAULT", ""), rest) if named else ("", found["name"])
    if "#" in keyword and not section:
        section, keyword = keyword, ""
    index = found["index"]
    count = bool(found["count"]) or index == "#"
    return Reference(found[0], section, keyword, int(index) if index and index != "#" else None, count)


def escaped(text: str) -> str:
    """Text that means itself in a YAML document: braces doubled, `${…}` left alone."""
    parts = re.split(r"(\$\{[^}]*\})", text)
    return "".join(
        part if number % 2 else part.replace("{", "{{").replace("}", "}}")
        for number, part in enumerate(parts)
    )


def bind(spec: Mapping[str, Any], exposed: Exposed) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The spec with its run-time references filled in, and those that have no value yet.

    One without a value stays as its text, so that a plan can print it. A list item that is nothing
    but a reference to several words becomes several items. Ask `Resource.late` first: a spec
    without such references need not come here.
    """
    missing: dict[str, None] = {}
    bound = {keyword: _bound(value, exposed, missing) for keyword, value in spec.items()}
    return bound, tuple(missing)


def bind_resource(resource: Resource, exposed: Exposed) -> tuple[Resource, tuple[str, ...]]:
    """The same for a resource's spec and triggers; costs nothing when it has no such reference."""
    if not resource.late:
        return resource, ()
    missing: dict[str, None] = {}
    spec = {keyword: _bound(value, exposed, missing) for keyword, value in resource.spec.items()}
    triggers = tuple(
        replace(trigger, command=_bound(trigger.command, exposed, missing))
        for trigger in resource.common.triggers
    )
    bound = replace(resource, spec=spec, common=replace(resource.common, triggers=triggers))
    return bound, tuple(missing)


def _bound(value: Any, exposed: Exposed, missing: dict[str, None]) -> Any:
    if isinstance(value, str):
        return (
            REFERENCE.sub(lambda found: _filled(found, exposed, missing), value) if "{" in value else value
        )
    if isinstance(value, tuple):
        return tuple(part for item in value for part in _items(item, exposed, missing))
    if isinstance(value, Mapping):
        return {key: _bound(item, exposed, missing) for key, item in value.items()}
    return value


def _items(item: Any, exposed: Exposed, missing: dict[str, None]) -> tuple[Any, ...]:
    if isinstance(item, str) and (found := REFERENCE.fullmatch(item)):
        reference = parse(found)
        words = exposed.get(reference.section, {}).get(reference.keyword)
        if words is not None and reference.index is None and not reference.count:
            return tuple(words)
    return (_bound(item, exposed, missing),)


def _filled(found: re.Match[str], exposed: Exposed, missing: dict[str, None]) -> str:
    reference = parse(found)
    if not (reference.rid and reference.keyword):
        return found[0]
    words = exposed.get(reference.rid, {}).get(reference.keyword)
    if words is None or (reference.index is not None and reference.index >= len(words)):
        missing[found[0]] = None
        return found[0]
    if reference.count:
        return str(len(words))
    return " ".join(words) if reference.index is None else words[reference.index]
