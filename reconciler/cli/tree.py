"""The API's Service object → the status tree as OpenSVC prints it, and a table of several.

Standard library only, and little of it: a person waits for every import.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

GROUPS = ("ip", "volume", "disk", "fs", "share", "container", "app", "sync", "task")
"""As in `reconciler.model`, whose import would cost more than all of this."""

STATE_COLUMN = 10
ENDLESS = float("inf")  # words after numbers
NARROW = 24  # a column of text narrower than this is not wrapped
CODES = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "blue": "34", "grey": "90"}
STATES = {
    "up": "green",
    "stdby up": "green",
    "down": "red",
    "stdby down": "red",
    "warn": "yellow",
    "unknown": "yellow",
    "n/a": "grey",
    "elsewhere": "grey",
}
LEVELS = {"warn": "yellow", "error": "red", "waits": "grey"}
ACTIVITIES = {"idle": "grey"}
STAND = ("start", "stop")  # what was asked for and stays so; all else is over once it is fulfilled
NOTICES = {"not provisioned": "red", "part provisioned": "red"}

Words = tuple[str, str]
"""Text and the name of its colour, or ""."""


class Row:
    """One line of the tree, its words in columns, and the lines that hang below it.

    `branch` is drawn before this line, `stem` before those that continue it. A `wide` row keeps to
    no columns: its words follow the branch.
    """

    def __init__(
        self,
        branch: str,
        name: str = "",
        flags: str = "",
        state: str = "",
        text: Sequence[Words] = (),
        *,
        stem: str = "",
        below: Sequence[Words] = (),
        wide: bool = False,
    ) -> None:
        self.branch, self.name, self.flags, self.state = branch, name, flags, state
        self.text, self.stem, self.below, self.wide = text, stem, below, wide


def render(
    service: Mapping[str, Any],
    colour: bool = False,
    width: int = 0,
    me: str = "",
    now: float | None = None,
) -> str:
    """The tree of one service, without a line break at its end.

    width  columns of the terminal; 0: as long as it gets.
    me     this host: its instance is shown whole, peers in one line. "" shows all whole.
    now    wall-clock time, for ages.
    """
    rows = list(_rows(service, me, time.time() if now is None else now))
    left = max(len(row.branch) + len(row.name) for row in rows)
    middle = max(STATE_COLUMN, *(len(row.state) for row in rows))
    return "\n".join(line for row in rows for line in _lines(row, left, middle, width, colour))


def table(
    services: Iterable[Mapping[str, Any]], colour: bool = False, width: int = 0, now: float | None = None
) -> str:
    """One line for each service, by name: states, what is wanted, where it is up, what is special."""
    at = time.time() if now is None else now
    rows: list[tuple[Words, ...]] = []
    for service in sorted(services, key=lambda one: natural(full_name(one))):
        status = service["status"]
        up = sorted(node for node, here in status["instances"].items() if here["avail"] == "up")
        rows.append(
            (
                (full_name(service), "bold"),
                (status["avail"], STATES.get(status["avail"], "")),
                (status["overall"], STATES.get(status["overall"], "")),
                (status["goal"], ""),
                (" ".join(up) or "-", ""),
                ("; ".join(text for text, _ in _remarks(status, at)), ""),
            )
        )
    return columns(("NAME", "AVAIL", "OVERALL", "WANTED", "UP ON", "REMARKS"), rows, colour, width)


def columns(
    head: Sequence[str], rows: Sequence[Sequence[Words]], colour: bool = False, width: int = 0
) -> str:
    """Aligned columns under a head; what is longer than the terminal is cut."""
    every = [[(word, "bold") for word in head], *rows]
    widths = [max(len(row[n][0]) for row in every) for n in range(len(head))]
    lines = []
    for row in every:
        room, cells = width or 10**9, []
        for (text, paint), wide in zip(row, widths, strict=True):
            text = clean(text)[: max(room, 0)]
            cells.append(painted(text, paint, colour) + " " * (wide - len(text)))
            room -= wide + 2
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


# --- words ---------------------------------------------------------------------------------


def full_name(service: Mapping[str, Any]) -> str:
    """`name`, or `namespace/name` outside of root."""
    meta = service["metadata"]
    root = meta.get("namespace", "root") == "root"
    return str(meta["name"] if root else f"{meta['namespace']}/{meta['name']}")


def natural(text: str) -> list[tuple[float, str]]:
    """A sort key that puts app#2 before app#10."""
    parts: list[str] = []
    for char in text:
        if parts and parts[-1][-1].isdecimal() == char.isdecimal():
            parts[-1] += char
        else:
            parts.append(char)
    return [(int(part), "") if part.isdecimal() else (ENDLESS, part) for part in parts]


def rid_order(rid: str) -> tuple[int, list[tuple[float, str]]]:
    """Groups as they start, then natural order."""
    if rid not in _ORDERS:  # a hundred services have the same few
        group = rid.partition("#")[0]
        _ORDERS[rid] = (GROUPS.index(group) if group in GROUPS else len(GROUPS), natural(rid))
    return _ORDERS[rid]


_ORDERS: dict[str, tuple[int, list[tuple[float, str]]]] = {}


def painted(text: str, paint: str, colour: bool) -> str:
    return f"\x1b[{CODES[paint]}m{text}\x1b[0m" if colour and paint and text else text


def clean(text: str) -> str:
    """Whatever would move the cursor is shown as its escape: labels come from documents and hosts."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def ago(seconds: float) -> str:
    """About how long: 40 s, 3 min, 2 h, 5 days."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size * (2 if unit == "days" else 1):
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def when(instant: float, now: float) -> str:
    """Local time; with its date unless that is today's."""
    then = time.localtime(instant)
    today = then[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M" if today else "%Y-%m-%d %H:%M", then)


# --- rows ----------------------------------------------------------------------------------


def _rows(service: Mapping[str, Any], me: str, now: float) -> Iterator[Row]:
    status = service["status"]
    notices: list[Words] = [("warn", "yellow")] if status["overall"] == "warn" else []
    if status.get("placement") == "non-optimal":
        notices.append(("non-optimal placement", "red"))
    yield Row("", full_name(service), "", status["avail"], notices)
    for remark in _remarks(status, now):
        yield Row("|- ", text=[remark], stem="|  ", wide=True)
    yield Row("`- ", "instances")
    instances = status["instances"]
    for node, last in _with_last(sorted(instances, key=natural)):
        here = instances[node]
        yield Row(_branch("   ", last), node, "", here["avail"], _notices(here, status))
        if me in ("", node) or me not in instances:
            yield from _resources(here["resources"], _stem("   ", last))


def _resources(resources: Mapping[str, Mapping[str, Any]], outer: str) -> Iterator[Row]:
    for rid, last in _with_last(sorted(resources, key=rid_order)):
        one = resources[rid]
        below = [(f"{line['level']}: {line['text']}", LEVELS.get(line["level"], "")) for line in one["log"]]
        if one["waiting"] and all(line["text"] != one["waiting"] for line in one["log"]):
            below.append((f"waits: {one['waiting']}", LEVELS["waits"]))
        yield Row(
            _branch(outer, last),
            clean(rid),
            one["flags"],
            one["state"],
            [(one["label"], "")],
            stem=_stem(outer, last),
            below=below,
        )


def _notices(here: Mapping[str, Any], status: Mapping[str, Any]) -> list[Words]:
    """What is to be said of an instance, in OpenSVC's order."""
    texts = ["warn"] if here["overall"] == "warn" else []
    if here["frozen"]:
        texts.append(_scoped(status.get("frozen") or {}))
    if here["provisioned"] in ("false", "mixed"):
        texts.append("not provisioned" if here["provisioned"] == "false" else "part provisioned")
    texts += [text for text in (here["state"], here["expect"]) if text]
    return [(text, _notice_colour(text)) for text in texts]


def _notice_colour(text: str) -> str:
    if text.endswith(("failed", "stuck")):
        return "red"
    if text.endswith("frozen"):
        return "blue"
    return NOTICES.get(text) or ACTIVITIES.get(text) or ("yellow" if text == "warn" else "")


def _remarks(status: Mapping[str, Any], now: float) -> list[Words]:
    """Who asked for what, who froze it, what it stalls on: of the service as a whole."""
    said: list[Words] = []
    if (wish := status.get("wish")) and (wish["verb"] in STAND or wish.get("state") != "fulfilled"):
        what = " ".join((wish["verb"], *(wish.get("rids") or ())))
        ended = f", {wish['state']}" if wish.get("state") in ("refused", "expired", "failed") else ""
        ended += f": {wish['message']}" if ended and wish.get("message") else ""
        text = f"asked by {wish['who']}: {what}, {ago(now - wish['since'])} ago"
        said.append((text + _because(wish) + ended, "red" if ended else ""))
    elif status["goal"] not in ("up", "untouched") and status.get("reason"):
        said.append((f"wanted {status['goal']}: {status['reason']}", ""))
    if frozen := status.get("frozen"):
        until = f", until {when(frozen['until'], now)}" if frozen.get("until") else ""
        text = f"{_scoped(frozen)} by {frozen['who']}, {ago(now - frozen['since'])} ago{until}"
        said.append((text + _because(frozen), "blue"))
    said.extend(
        (f"stalled: {condition['reason']}: {condition['message']}", "red")
        for condition in status["conditions"]
        if condition["type"] == "Stalled" and condition["status"] == "True"
    )
    return said


def _scoped(frozen: Mapping[str, Any]) -> str:
    scope = frozen.get("scope", "service")
    return "frozen" if scope == "service" else f"{scope} frozen"


def _because(asked: Mapping[str, Any]) -> str:
    return f" ({asked['reason']})" if asked.get("reason") else ""


def _with_last(names: Sequence[str]) -> Iterator[tuple[str, bool]]:
    return ((name, place == len(names)) for place, name in enumerate(names, 1))


def _branch(outer: str, last: bool) -> str:
    return outer + ("`- " if last else "|- ")


def _stem(outer: str, last: bool) -> str:
    return outer + ("   " if last else "|  ")


# --- lines ---------------------------------------------------------------------------------


def _lines(row: Row, left: int, middle: int, width: int, colour: bool) -> Iterator[str]:
    """The row as lines of at most `width` columns, colours not counted."""
    if row.wide:
        indent, head, rest = len(row.branch), row.branch, row.stem
    else:
        indent = left + middle + 11  # two blanks, eight flags, a blank
        bold = "bold" if row.state and not row.flags else ""
        name = painted(row.name, bold, colour) + " " * (left - len(row.branch) - len(row.name))
        state = painted(row.state, STATES.get(row.state, ""), colour) + " " * (middle - len(row.state))
        head, rest = f"{row.branch}{name} {row.flags:<8} {state} ", row.stem.ljust(indent)
    room = width - indent
    first = ", ".join(clean(text) for text, _ in row.text)
    if len(row.text) == 1:
        wrapped = _wrap(first, room)
        yield (head + painted(wrapped[0], row.text[0][1], colour)).rstrip()
        for line in wrapped[1:]:
            yield rest + painted(line, row.text[0][1], colour)
    else:
        yield (head + ", ".join(painted(clean(text), paint, colour) for text, paint in row.text)).rstrip()
    for text, paint in row.below:
        for line in text.split("\n"):
            for part in _wrap(clean(line), room):
                yield rest + painted(part, paint, colour)


def _wrap(text: str, room: int) -> list[str]:
    """At blanks, and inside of a word only where it is longer than a line."""
    if room < NARROW or len(text) <= room:
        return [text]
    lines, rest = [], text
    while len(rest) > room:
        cut = rest.rfind(" ", 1, room + 1)
        cut = room if cut <= 0 else cut
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*lines, rest] if rest else lines
