"""`standfast explain fs.ext4 [keyword]` → help on kinds and keywords, from their schemas."""

import argparse
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

HELP = "explain a kind of resource, the service's own keywords, or one keyword"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "kind", nargs="?", metavar="KIND", help="fs.ext4, service or common; none lists them all"
    )
    parser.add_argument("keyword", nargs="?", metavar="KEYWORD")


def run(args: argparse.Namespace) -> int:
    from reconciler.cli.client import USAGE, Failed
    from reconciler.decide.documents import kinds
    from reconciler.decide.documents.verdicts import suggestion

    if not args.kind:
        print("\n".join(_overview(kinds)))
        return 0
    table = _tables(kinds).get(args.kind)
    if table is None:
        close = suggestion(args.kind, _tables(kinds))
        hint = f": did you mean {close}?" if close else "; `standfast explain` lists them"
        raise Failed(USAGE, f"there is no kind {args.kind!r}{hint}")
    described, properties, required = table
    if not args.keyword:
        print("\n".join(_kind(args.kind, described, properties, required)))
        return 0
    common = kinds.schema("common.json")["properties"] if "." in args.kind else {}
    everything = {**common, **properties}
    if args.keyword not in everything:
        close = suggestion(args.keyword, everything)
        hint = f": did you mean {close}?" if close else f"; `standfast explain {args.kind}` lists them"
        raise Failed(USAGE, f"{args.kind} has no keyword {args.keyword!r}{hint}")
    print("\n".join(_keyword(args.keyword, everything[args.keyword], args.keyword in required)))
    return 0


def _tables(kinds: Any) -> dict[str, tuple[str, Mapping[str, Any], tuple[str, ...]]]:
    service, common = kinds.service_kind(), kinds.schema("common.json")
    return {
        "service": ("A service's own keywords, in `spec`.", service.properties, service.required),
        "common": (common["description"], common["properties"], ()),
        **{
            name: (
                kind.description,
                {word: kind.properties[word] for word in kind.properties if word in kind.own},
                kind.required,
            )
            for name, kind in kinds.kinds().items()
        },
    }


def _overview(kinds: Any) -> Iterator[str]:
    tables = _tables(kinds)
    width = max(map(len, tables)) + 2
    for name, (described, _, _) in tables.items():
        first = described.partition(". ")[0].rstrip(".")
        yield f"{name:<{width}}{textwrap.shorten(first, 100 - width, placeholder='…')}"


def _kind(
    name: str, described: str, properties: Mapping[str, Any], required: tuple[str, ...]
) -> Iterator[str]:
    yield f"{name}: {described}"
    yield ""
    for keyword, found in properties.items():
        yield from _keyword(keyword, found, keyword in required)
        yield ""
    if "." in name:
        yield "Every kind also has the keywords of `standfast explain common`."


def _keyword(name: str, found: Mapping[str, Any], required: bool) -> Iterator[str]:
    facts = [_type(found), "required" if required else _default(found)]
    change = found.get("x-change", "replace" if "x-change" in found else "")
    facts.append(
        {
            "none": "a change touches nothing",
            "update": "a change is made in place",
            "replace": "a change stops and starts it",
        }.get(change, "")
    )
    if others := found.get("x-aliases"):
        facts.append(f"also {', '.join(others)}")
    yield f"{name}  ({'; '.join(fact for fact in facts if fact)})"
    yield from textwrap.wrap(
        found.get("description", ""), 92, initial_indent="    ", subsequent_indent="    "
    )


def _type(found: Mapping[str, Any]) -> str:
    from reconciler.decide.documents.kinds import types

    if "enum" in found:
        return " | ".join(
            str(word).lower() if isinstance(word, bool) else str(word) for word in found["enum"]
        )
    form = found.get("format")
    if form:
        return {"words": "words", "mode": "octal mode", "umask": "octal mask"}.get(form, str(form))
    names = {"string": "text", "array": "list", "object": "map", "boolean": "true | false"}
    return " or ".join(names.get(name, name) for name in types(found))


def _default(found: Mapping[str, Any]) -> str:
    def shown(value: Any) -> str:
        return (
            str(value).lower()
            if isinstance(value, bool)
            else str(value)
            if value not in ("", [], {})
            else "empty"
        )

    text = f"default {shown(found['default'])}" if "default" in found else ""
    if "x-conf-default" in found and found["x-conf-default"] != found.get("default"):
        text += f"{', ' if text else 'default '}{shown(found['x-conf-default'])} in .conf"
    return text
