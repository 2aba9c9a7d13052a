"""Keywords as written, with `{references}` → their values, what they refer to, and what is wrong."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.decide.references import REFERENCE, WITH_ESCAPES, WITHOUT_ESCAPES, Reference, parse

LONGEST = 65536  # characters of a resolved text
MOST_ITEMS = 1000  # of a resolved list
DEEPEST = 40  # references through references


@dataclass(frozen=True)
class Problem:
    """A reference that cannot be resolved. `unknown`: in .conf it merely stays text.

    A `circle` is told at every keyword that leads into it, anything else only where it stands.
    `text` is the reference as written.
    """

    what: str
    todo: str
    unknown: bool = False
    circle: bool = False
    text: str = ""


@dataclass
class Resolved:
    """A keyword's value.

    refs     rids it refers to, directly or through others.
    late     it still holds a reference that only a running resource can answer.
    derived  its text came out of a reference, and is to be read as if written in place.
    """

    value: Any
    refs: set[str] = field(default_factory=set)
    late: bool = False
    derived: bool = False
    problems: list[Problem] = field(default_factory=list)

    def take(self, other: "Resolved") -> None:
        self.refs |= other.refs
        self.late = self.late or other.late


@dataclass(frozen=True)
class World:
    """What references may name.

    sections  "" the service's keywords, "env" its vars, "node" the node's, and each rid's.
    constants reserved names, of the service; `{rid}` and `{rindex}` are added per resource.
    default   (section, keyword) → its default as a document writes it, None if there is none.
    keywords  section → names it might have, for suggestions.
    exposes   rid → names that only the running resource knows; None: its kind is not known.
    """

    sections: Mapping[str, Mapping[str, Any]]
    constants: Mapping[str, str]
    default: Callable[[str, str], Any]
    keywords: Callable[[str], Iterable[str]]
    exposes: Callable[[str], frozenset[str] | None]
    escapes: bool = True


class Dereferencer:
    """Resolves keywords on demand and remembers them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._done: dict[tuple[str, str], Resolved] = {}
        self._open: list[tuple[str, str]] = []

    def keyword(self, section: str, keyword: str) -> Resolved | None:
        """The keyword of a section as it will be, None when it is neither written nor has a default."""
        place = (section, keyword)
        if place in self._done:
            return self._done[place]
        written = self.world.sections.get(section, {}).get(keyword)
        if written is None and (written := self.world.default(section, keyword)) is None:
            return None
        if place in self._open:
            circle = [*self._open[self._open.index(place) :], place]
            chain = " → ".join(f"{{{where}.{what}}}" if where else f"{{{what}}}" for where, what in circle)
            todo = "Write one of these values without a reference."
            return Resolved("", problems=[Problem(f"refers to itself: {chain}.", todo, circle=True)])
        if len(self._open) > DEEPEST:
            what = f"refers through more than {DEEPEST} others."
            return Resolved("", problems=[Problem(what, "Refer to the value itself.", circle=True)])
        self._open.append(place)
        resolved = self.value(section, written)
        self._open.pop()
        self._done[place] = resolved
        return resolved

    def value(self, section: str, written: Any) -> Resolved:
        """Any value as written in a section: text, lists and maps of text; others are themselves."""
        if isinstance(written, str):
            return self._text(section, written)
        result = Resolved(written)
        if isinstance(written, (list, tuple)):
            result.value = []
            for item in written:
                part = self.value(section, item)
                result.take(part)
                result.problems += part.problems
                splice = isinstance(part.value, list) and isinstance(item, str)
                result.value += part.value if splice else [part.value]
            if len(result.value) > MOST_ITEMS:
                result.value = result.value[:MOST_ITEMS]
                result.problems.append(
                    Problem("becomes too long by its references.", "Shorten what it refers to.")
                )
        elif isinstance(written, Mapping):
            result.value = {}
            for key, item in written.items():
                part = self.value(section, item)
                result.take(part)
                result.problems += part.problems
                result.value[key] = part.value
        return result

    def _text(self, section: str, text: str) -> Resolved:
        if "{" not in text and "}" not in text:
            return Resolved(text)
        whole = REFERENCE.fullmatch(text)
        if whole and not (reference := parse(whole)).count and reference.index is None:
            return self._reference(section, reference)
        result, pieces, braces, end = Resolved(text), [], "", 0
        pattern = WITH_ESCAPES if self.world.escapes else WITHOUT_ESCAPES
        while found := pattern.search(text, end):
            pieces.append(text[end : found.start()])
            end = found.end()
            if found["name"]:
                part = self._reference(section, parse(found))
                result.take(part)
                result.problems += part.problems
                result.derived = True
                pieces.append(textual(part.value))
                continue
            if found[0] == "}}" and braces.endswith("{"):
                end -= 1  # it closes a single one, as in JSON; look at the other by itself
            piece, braces = _brace(text[found.start() : end], braces)
            pieces.append(piece)
        result.value = "".join([*pieces, text[end:]])
        if len(result.value) > LONGEST:
            result.problems.append(
                Problem("becomes too long by its references.", "Shorten what it refers to.")
            )
            result.value = result.value[:LONGEST]
        return result

    def _reference(self, section: str, reference: Reference) -> Resolved:
        target = self._target(section, reference)
        if target.problems or not (reference.count or reference.index is not None):
            return target
        words = [str(word) for word in target.value] if isinstance(target.value, list) else None
        words = textual(target.value).split() if words is None else words
        late = REFERENCE.fullmatch(words[0]) if target.late and len(words) == 1 else None
        if late and parse(late).index is None and not parse(late).count:
            inner = late[0][1:-1]
            text = f"{{#{inner}}}" if reference.count else f"{{{inner}[{reference.index}]}}"
            return Resolved(text, target.refs, True, True)
        if reference.count:
            return Resolved(str(len(words)), target.refs, derived=True)
        assert reference.index is not None
        if reference.index >= len(words):
            what = f"{reference.text} asks for word {reference.index} of {len(words)}; the first is [0]."
            return _wrong(reference, Problem(what, "Correct the number in brackets."))
        return Resolved(words[reference.index], target.refs, target.late, True)

    def _target(self, section: str, reference: Reference) -> Resolved:
        """What a reference names, before [n] and # are applied."""
        world, name = self.world, reference.keyword
        if reference.rid:
            return self._of_resource(section, reference)
        if reference.section:
            found = self.keyword(reference.section, name)
        elif name in world.constants:
            return Resolved(world.constants[name], derived=True)
        elif name in ("rid", "rindex") and "#" in section:
            return Resolved(section if name == "rid" else section.partition("#")[2], derived=True)
        else:
            found = (self.keyword(section, name) if section != "env" else None) or self.keyword("", name)
        return self._passed(found) if found else self._unknown(section, reference)

    def _of_resource(self, section: str, reference: Reference) -> Resolved:
        rid, name = reference.rid, reference.keyword
        if rid not in self.world.sections:
            return _wrong(reference, _missing(reference, f"there is no resource {rid}", self._rids(), rid))
        if not name:
            what = f"{reference.text} names a resource, not one of its keywords."
            return _wrong(reference, Problem(what, f"Write {{{rid}.KEYWORD}}.", True, text=reference.text))
        if found := self.keyword(rid, name):
            found = self._passed(found)
            return Resolved(found.value, found.refs | {rid}, found.late, True, found.problems)
        exposes = self.world.exposes(rid)
        if exposes is None or name in exposes:
            if rid == section:
                what = f"{reference.text} is known only once {rid} itself is up."
                return _wrong(reference, Problem(what, "Refer to another resource, or write the value."))
            return Resolved(reference.text, {rid}, late=True, derived=True)
        known = list(self.world.keywords(rid))
        why = f"{rid} has no {name} written" if name in known else f"{rid} has no keyword {name}"
        return _wrong(
            reference, _missing(reference, why, [f"{rid}.{word}" for word in known], f"{rid}.{name}")
        )

    def _passed(self, found: Resolved) -> Resolved:
        """A value handed on to where it is referred to."""
        problems = [problem for problem in found.problems if problem.circle]
        return Resolved(found.value, set(found.refs), found.late, True, problems)

    def _unknown(self, section: str, reference: Reference) -> Resolved:
        world, name = self.world, reference.keyword
        if reference.section:
            prefix = f"{reference.section}."
            names = [prefix + word for word in world.sections.get(reference.section, {})]
            why = "vars has no such name" if reference.section == "env" else "the node has no such name"
            return _wrong(reference, _missing(reference, why, names, prefix + name))
        names = [*world.constants, "rid", "rindex", *world.sections.get(section, {}), *world.keywords("")]
        names += [f"env.{word}" for word in world.sections.get("env", {})]
        names += [f"{rid}.{word}" for rid in self._rids() for word in world.keywords(rid)]
        why = "nothing of that name is known here"
        return _wrong(reference, _missing(reference, why, names, name))

    def _rids(self) -> list[str]:
        return [section for section in self.world.sections if "#" in section]


def textual(value: Any) -> str:
    """A value as it stands inside other text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return " ".join(textual(item) for item in value)
    if isinstance(value, Mapping):
        return " ".join(f"{key}={textual(item)}" for key, item in value.items())
    return "" if value is None else str(value)


def _wrong(reference: Reference, problem: Problem) -> Resolved:
    return Resolved(reference.text, problems=[problem])


def _missing(reference: Reference, why: str, names: Iterable[str], wanted: str) -> Problem:
    close = difflib.get_close_matches(wanted, list(dict.fromkeys(names)), 1)
    todo = f"Did you mean {{{close[0]}}}? " if close else ""
    todo += f"For the text itself write {{{reference.text}}}."
    return Problem(f"{reference.text} cannot be resolved: {why}.", todo, unknown=True, text=reference.text)


def _brace(found: str, braces: str) -> tuple[str, str]:
    """What a brace that is no reference stands for, and the braces open after it.

    `{{` and `}}` are one brace each; `D` marks a doubled one that is open.
    """
    match found:
        case "{{":
            return "{", braces + "D"
        case "{":
            return "{", braces + "{"
        case "}}":
            return "}", braces[:-1]
        case "}":
            return "}", braces[:-1] if braces.endswith("{") else braces
        case _:
            return found, braces
