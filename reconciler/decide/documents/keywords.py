"""One section's keywords as written → values as their driver gets them, each fault on its line."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from reconciler.decide import values
from reconciler.decide.documents import kinds, verdicts
from reconciler.decide.documents.dereference import Dereferencer, Resolved
from reconciler.decide.documents.kinds import Kind
from reconciler.decide.documents.scoping import Selected
from reconciler.decide.documents.source import Path, Source
from reconciler.decide.documents.typed import finished, plain
from reconciler.decide.documents.unsupported import of_resource, of_service

RAW = frozenset({"resources", "vars", "subsets"})
"""Keywords of a service that are sections of their own."""


@dataclass
class Keywords:
    """`values` finished and with defaults; what could not be read is left out (and is a fault)."""

    values: dict[str, Any] = field(default_factory=dict)
    refs: set[str] = field(default_factory=set)
    late: bool = False


def read(
    source: Source, kind: Kind, section: str, path: Path, selected: Selected, deref: Dereferencer
) -> Keywords:
    """Resolve, type, check and finish every keyword of a section."""
    result, checked, faulty = Keywords(), dict[str, Any](), set[str]()
    late = set[str]()
    for keyword, written in selected.values.items():
        where = (*path, keyword)
        if (found := kind.properties.get(keyword)) is None:
            _unknown(source, where, keyword, kind)
            continue
        resolved = (
            Resolved(written)
            if keyword in RAW
            else _resolve(source, where, section, keyword, written, deref)
        )
        checked[keyword] = resolved.value if resolved else None
        if resolved is None:
            faulty.add(keyword)
            continue
        checked[keyword] = value = plain(resolved.value, found, source.flavour, resolved.derived)
        result.refs |= resolved.refs
        if resolved.late:
            late.add(keyword)
        if not _suits(source, where, value, found, resolved.late):
            faulty.add(keyword)
    wrong = set(faulty)
    for error in kind.validator.iter_errors(checked):
        top = error.absolute_path[0] if error.absolute_path else None
        if top not in faulty and not (top in late and error.validator in ("pattern", "enum", "maxLength")):
            verdicts.report(source, path, [error], kind.name)
            wrong.add(str(top))
    for keyword, value in checked.items():
        if keyword not in wrong:
            _finish(source, (*path, keyword), keyword, value, kind.properties[keyword], result)
    _check_others(source, kind, selected)
    result.late = bool(late)
    _fill(source, kind, section, path, deref, result, wrong)
    return result


def _resolve(
    source: Source, where: Path, section: str, keyword: str, written: Any, deref: Dereferencer
) -> Resolved | None:
    """None when a reference in it is a fault."""
    if name := verdicts.unquoted(written):
        source.fault(where, *verdicts.quote(name))
        return None
    if written is None:
        return Resolved(None)
    resolved = deref.keyword(section, keyword) or Resolved(written)
    return resolved if sound(source, where, resolved) else None


def sound(source: Source, where: Path, resolved: Resolved) -> bool:
    """Tell of references that do not resolve; False when one of them is a fault."""
    result = True
    for problem in resolved.problems:
        if problem.unknown and source.flavour == "conf":
            source.lint(where, problem.what, problem.todo.partition(" For the text itself")[0])
            source.literal.setdefault(where, set()).add(problem.text)
        else:
            result = False
            source.fault(where, problem.what, problem.todo)
    return result


def _unknown(source: Source, where: Path, keyword: str, kind: Kind) -> None:
    why = of_service(keyword) if kind.name == "service" else of_resource(keyword)
    if why and why.why:
        source.fault(where, "is not supported.", f"{why.why[0].upper()}{why.why[1:]}.")
    else:
        nested = _nested(keyword)
        known = [word for word in kind.properties if word != "type"]
        what, todo = verdicts.unknown(keyword, known, kind.name if "." in kind.name else "a service")
        source.fault(where, what, nested or todo)


def _nested(keyword: str) -> str:
    """How a keyword of .conf is written in YAML, where some stand together in a map."""
    actions = ("start", "stop", "provision", "unprovision")
    action, _, last = keyword.rpartition("_")
    if last in ("timeout", "requires") and action in actions:
        return f"Write {last if last == 'requires' else 'timeouts'}: {{{action}: …}}"
    if action.removeprefix("blocking_") in ("pre", "post") and last in actions:
        return f"Write triggers: {{{keyword}: …}}"
    return f"Write flex: {{{last}: …}}" if action == "flex" else ""


def _suits(source: Source, where: Path, value: Any, found: Mapping[str, Any], late: bool) -> bool:
    """What a schema cannot say well: bare numbers, unquoted modes, late values that must be known now."""
    form = found.get("format")
    if form in ("mode", "umask") and isinstance(value, int) and not isinstance(value, bool):
        text = source.written(where) or str(value)
        source.fault(where, f"{text} without quotes is a number, not a mode.", f'Write "{text}"')
        return False
    if late and not {"string", "array", "object"} & set(kinds.types(found)):
        source.fault(
            where, "cannot wait for a value that is known only at run time.", "Write the value itself."
        )
        return False
    if source.flavour == "yaml":
        _lint_bare(source, where, value, found)
    return True


def _lint_bare(source: Source, where: Path, value: Any, found: Mapping[str, Any]) -> None:
    """A number without its unit, also inside a map such as timeouts."""
    form = found.get("format")
    if form in ("duration", "size") and isinstance(value, str) and values.is_bare(value):
        said, unit = ("seconds", "s") if form == "duration" else ("bytes", "B")
        source.lint(where, f"{value} has no unit and means {said}.", f"Write {value}{unit}")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _lint_bare(source, (*where, key), inner, found.get("properties", {}).get(key, {}))


def _finish(
    source: Source, where: Path, keyword: str, value: Any, found: Mapping[str, Any], result: Keywords
) -> None:
    try:
        result.values[keyword] = finished(value, found)
    except ValueError as error:
        what, _, todo = str(error).partition("\n")
        source.fault(where, what, todo)


def _check_others(source: Source, kind: Kind, selected: Selected) -> None:
    """What other nodes will read must be right too, as far as it can be told without being there."""
    for where, keyword, written in selected.others:
        if (found := kind.properties.get(keyword)) is None:
            _unknown(source, where, keyword, kind)
        elif "{" not in str(written):
            value = plain(written, found, source.flavour, False)
            errors = list(Draft202012Validator(found).iter_errors(value))
            verdicts.report(source, where, errors, kind.name)
            if not errors:
                _finish(source, where, keyword, value, found, Keywords())


def _fill(
    source: Source,
    kind: Kind,
    section: str,
    path: Path,
    deref: Dereferencer,
    result: Keywords,
    wrong: Set[str],
) -> None:
    """Defaults of what is not written."""
    for keyword, value in _fixed_defaults(kind.name, source.flavour).items():
        result.values.setdefault(keyword, value)
    for keyword in _moving_defaults(kind.name, source.flavour):
        if (
            keyword in result.values
            or keyword in wrong
            or not (resolved := deref.keyword(section, keyword))
        ):
            continue
        found = kind.properties[keyword]
        result.refs |= resolved.refs
        result.late = result.late or resolved.late
        for problem in resolved.problems:
            source.fault((*path, keyword), f"(by default) {problem.what}", f"Write {keyword}.")
        _finish(
            source, (*path, keyword), keyword, plain(resolved.value, found, "yaml", True), found, result
        )


@cache
def _fixed_defaults(name: str, flavour: str) -> Mapping[str, Any]:
    """Defaults that are the same in every document, finished."""
    kind = kinds.service_kind() if name == "service" else kinds.kinds()[name]
    written = {keyword: kinds.default(kind, keyword, flavour) for keyword in kind.properties}
    moving = _moving_defaults(name, flavour)
    return {
        keyword: finished(value, kind.properties[keyword])
        for keyword, value in written.items()
        if value is not None and keyword not in moving
    }


@cache
def _moving_defaults(name: str, flavour: str) -> tuple[str, ...]:
    """Keywords whose default holds references."""
    kind = kinds.service_kind() if name == "service" else kinds.kinds()[name]
    return tuple(
        keyword
        for keyword in kind.properties
        if "{" in str(kinds.default(kind, keyword, flavour) or "")
        and kinds.default(kind, keyword, flavour) != {}
    )
