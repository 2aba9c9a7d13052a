"""A value as written and its schema → the value to check, and the value a driver gets.

YAML values have types of their own; text from .conf, or from a reference, takes the type its
keyword has. Between the two steps durations and sizes are text, as the schemas describe them.
"""

import re
import shlex
from collections.abc import Mapping
from typing import Any

from reconciler.decide import values
from reconciler.decide.documents.kinds import types

Found = Mapping[str, Any]
TRUE = frozenset({"true", "t", "yes", "y", "1"})
FALSE = frozenset({"false", "f", "no", "n", "0"})
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?[0-9]{1,18}(\.[0-9]{1,18})?")


def plain(value: Any, found: Found, flavour: str, from_text: bool) -> Any:
    """The value in the type of its keyword where that is possible; else unchanged, for the check."""
    allowed = types(found)
    if isinstance(value, str):
        if from_text or flavour == "conf":
            return _from_text(value, found, allowed, flavour)
        return words(value) if "array" in allowed and "string" not in allowed else value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value) if found.get("format") in ("duration", "size") else value
    if isinstance(value, list):
        items = found.get("items", {})
        return [plain(item, items, flavour, from_text) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item, _inner(found, key), flavour, from_text) for key, item in value.items()}
    return value


def finished(value: Any, found: Found) -> Any:
    """Seconds, bytes, tuples. Raises ValueError with what is wrong and what to write."""
    if isinstance(value, str):
        match found.get("format"):
            case "duration":
                return values.duration(value)
            case "size":
                return values.size(value)
            case "words":
                return tuple(words(value))
        return value
    if isinstance(value, (list, tuple)):
        items = found.get("items", {})
        return tuple(finished(item, items) for item in value)
    if isinstance(value, Mapping):
        return {key: finished(item, _inner(found, key)) for key, item in value.items()}
    return value


def words(text: str) -> list[str]:
    """Split at white space; quotes that pair up, and parentheses, hold words together."""
    if "(" in text:
        return re.findall(r"[^\s(]+\([^)]*\)|\S+", text)
    if '"' in text or "'" in text or "\\" in text:
        try:
            return shlex.split(text)
        except ValueError:
            return text.split()
    return text.split()


def truth(text: str) -> bool | None:
    """OpenSVC's words for true and false; None for any other."""
    word = text.strip().lower()
    return True if word in TRUE else False if word in FALSE else None


def _from_text(text: str, found: Found, allowed: tuple[str, ...], flavour: str) -> Any:
    if "boolean" in allowed:
        value = truth(text)
        if value is not None and ("string" not in allowed or text.strip().lower() in ("true", "false")):
            return value
    if "integer" in allowed and _INTEGER.fullmatch(text.strip()):
        return int(text)
    if "number" in allowed and _NUMBER.fullmatch(text.strip()):
        return float(text)
    if "string" in allowed:
        if found.get("format") == "size" and flavour == "conf":
            return _size(text)
        return text
    if "array" in allowed:
        items = found.get("items", {})
        return [plain(word, items, flavour, True) for word in words(text)]
    if "object" in allowed:
        pairs = [word.partition("=") for word in words(text)]
        return {name: value for name, equals, value in pairs} if all(pair[1] for pair in pairs) else text
    return text


def _size(text: str) -> str:
    try:
        return values.size_text(values.conf_size(text.strip()))
    except ValueError:
        return text


def _inner(found: Found, key: str) -> Found:
    inner = found.get("properties", {}).get(key, found.get("additionalProperties", {}))
    return inner if isinstance(inner, Mapping) else {}
