"""What jsonschema found → sentences that say what is wrong and what to write instead."""

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from jsonschema.exceptions import ValidationError

from reconciler.decide.documents.source import Path, Source
from reconciler.decide.documents.typed import truth
from reconciler.decide.references import REFERENCE

_NAMES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a map",
    "null": "nothing",
}


def report(source: Source, path: Path, errors: Iterable[ValidationError], context: str = "") -> None:
    """Each error becomes faults of the source, `path` being where the checked value stands."""
    for error in errors:
        where = (*path, *error.absolute_path)
        schema: Any = error.schema
        if error.validator == "additionalProperties":
            known = schema.get("properties", {})
            instance: Any = error.instance
            for key in instance:
                if key not in known:
                    source.fault((*where, key), *unknown(key, known, context))
        elif error.validator == "required":
            for key in _missing(error):
                source.fault(where, f"{key} is missing.", _help(schema.get("properties", {}).get(key, {})))
        elif "propertyNames" in error.absolute_schema_path:
            source.fault((*where, str(error.instance)), "is not a name that can stand here.", _help(schema))
        else:
            source.fault(where, *_said(error, source.written(where)))


def unquoted(value: Any) -> str:
    """The reference that `{name}` without quotes was meant to be, "" for anything else."""
    if isinstance(value, dict) and len(value) == 1:
        ((name, empty),) = value.items()
        if empty is None and REFERENCE.fullmatch(f"{{{name}}}"):
            return str(name)
    return ""


def quote(name: str) -> tuple[str, str]:
    """What and todo for a reference without quotes."""
    return f"{{{name}}} without quotes is a map.", f'Quote it: "{{{name}}}"'


def unknown(key: str, known: Iterable[str], context: str = "") -> tuple[str, str]:
    """What and todo for a key that means nothing here."""
    names = list(known)
    of = f" of {context}" if context else ""
    if close := suggestion(key, names):
        return f'"{key}" is no keyword{of}.', f'Did you mean "{close}"?'
    if not names:
        return f'"{key}" is no keyword{of}.', "Remove it."
    listed = ", ".join(sorted(names)[:30])
    return f'"{key}" is no keyword{of}.', f"There are: {listed}."


def suggestion(word: str, names: Iterable[str]) -> str:
    """The name that was probably meant, "" when none is near. camelCase and dashes become snake_case."""
    names = list(names)
    snake = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", word).replace("-", "_").lower()
    if snake in names:
        return snake
    close = difflib.get_close_matches(snake, names, 1, 0.6)
    return close[0] if close else ""


def _missing(error: ValidationError) -> Iterator[str]:
    """jsonschema reports each missing name by itself; its message starts with the quoted name."""
    names: Any = error.validator_value
    yield from (key for key in names if error.message.startswith(f"{key!r} "))


def _help(schema: Any) -> str:
    return schema.get("description", "") or "Write it."


def _said(error: ValidationError, written: str | None) -> tuple[str, str]:
    value: Any = error.instance
    wanted: Any = error.validator_value
    schema: Any = error.schema
    described = schema.get("description", "")
    shown = _shown(value)
    match error.validator:
        case "type":
            return _type(value, wanted, schema, written)
        case "enum":
            words = [_shown(word) for word in wanted]
            close = suggestion(str(value), [str(word) for word in wanted])
            todo = f'Did you mean "{close}"?' if close else described or "Write one of these."
            return f"{shown} is none of {', '.join(words)}.", todo
        case "const":
            return f"{shown} is not {_shown(wanted)}.", f"Write {wanted}."
        case "pattern" if wanted in ("^/", "^(/|\\{)"):
            return f"{shown} is not an absolute path.", "Write the path from / on."
        case "pattern":
            return f"{shown} does not have the right form.", described or f"It must match {wanted}"
        case "minimum" | "exclusiveMinimum":
            return f"{shown} is too small.", f"The least is {wanted}."
        case "maximum" | "exclusiveMaximum":
            return f"{shown} is too large.", f"The most is {wanted}."
        case "minLength" | "minItems":
            return "is empty or too short.", described or f"At least {wanted}."
        case "maxLength":
            return f"{shown} is too long.", f"At most {wanted} characters."
        case "uniqueItems":
            return f"{shown} names something twice.", "Name each once."
    return f"{error.message[:200]}.", described


def _type(value: Any, wanted: Any, schema: Any, written: str | None) -> tuple[str, str]:
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    what = " or ".join(_NAMES.get(name, str(name)) for name in names)
    if value is None:
        return f"is empty; {what} is wanted.", _help(schema)
    if name := unquoted(value):
        return quote(name)
    said = f"{_shown(value, written)} is {_kind(value)}; {what} is wanted."
    if "string" in names and not isinstance(value, (dict, list)):
        return said, f'Quote it: "{_shown(value, written)}"'
    if isinstance(value, str) and re.fullmatch(r"true|false|[-+]?\d+(\.\d+)?", value):
        return said, f"Write it without quotes: {value}"
    if names == ["boolean"] and (word := truth(str(value))) is not None:
        return said, f"Write {'true' if word else 'false'}"
    return said, _help(schema)


def _kind(value: Any) -> str:
    names = {
        str: "text",
        bool: "a truth value",
        int: "a number",
        float: "a number",
        dict: "a map",
        list: "a list",
    }
    return names.get(type(value), "something else")


def _shown(value: Any, written: str | None = None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value[:80]}"'
    if isinstance(value, dict):
        return "a map" if len(value) > 1 else "{" + ", ".join(map(str, value))[:80] + "}"
    return written or str(value)[:80]
