"""JSON-able values → text for a person or a program, as the terminal and -o want it."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

SAFE_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/_")
SAFE = SAFE_FIRST | frozenset("0123456789.-+@")
WORDS = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n"))


def show(args: Any, value: Any, text: Callable[[], str]) -> None:
    """Print the value as JSON or YAML, or else the text made for people."""
    if args.output == "json":
        say(json.dumps(value, indent=2, ensure_ascii=False))
    elif args.output == "yaml":
        say(yaml_text(value))
    else:
        say(text())


def say(text: str) -> None:
    """One write, so that a reader never sees half of it."""
    if text:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def complain(text: str) -> None:
    print(f"standfast: {text}", file=sys.stderr)


def colour() -> bool:
    """Only on a terminal, and never against NO_COLOR."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width() -> int:
    """Columns of the terminal; 0 when there is none."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else 0
    except (OSError, ValueError):
        return 0


def confirmed(question: str, word: str = "y") -> bool:
    """Ask on the terminal; anything but the word is a no, and so is having nobody to ask."""
    if not sys.stdin.isatty():
        return False
    try:
        return input(question).strip() == word
    except EOFError:
        return False


def duration(text: str) -> float:
    """Seconds of `2h`, for argparse."""
    from argparse import ArgumentTypeError

    from reconciler.decide import values

    try:
        seconds = values.duration(text)
    except ValueError as fault:
        raise ArgumentTypeError(" ".join(str(fault).split("\n"))) from None
    if seconds <= 0:
        raise ArgumentTypeError(f"{text!r} is not longer than nothing")
    return seconds


def yaml_text(value: Any) -> str:
    """YAML 1.2 of a JSON-able value; JSON strings are YAML, so odd ones are written so."""
    return "\n".join(_yaml(value, ""))


def _yaml(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from _yaml_item(f"{indent}{_scalar(key)}:", one, indent)
    elif isinstance(value, list) and value:
        for one in value:
            if isinstance(one, dict | list) and one:
                first, *rest = _yaml(one, indent + "  ")
                yield f"{indent}- {first.lstrip()}"
                yield from rest
            else:
                yield f"{indent}- {_scalar(one)}"
    else:
        yield indent + _scalar(value)


def _yaml_item(head: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        yield head
        yield from _yaml(value, indent + ("  " if isinstance(value, dict) else ""))
    else:
        yield f"{head} {_scalar(value)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str) and value and value[0] in SAFE_FIRST:
        plain = SAFE.issuperset(value) and value.lower() not in WORDS
        return value if plain else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)
