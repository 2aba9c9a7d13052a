"""`standfast timings` → the times a failover is made of, and what they mean for who runs it."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from reconciler.cli import client, output

if TYPE_CHECKING:
    from reconciler.decide.timing import Timing

HELP = "show what a failover time means: waits, deadlines, the watchdog, what a stop may take"

WORDS = (
    ("wait", "T", "an observer waits before it takes over"),
    ("deadline", "D", "a holder that cannot renew begins to stop after"),
    ("watchdog", "W", "the watchdog resets the host after"),
    ("stop", "G+F", "of which a stop may take"),
    ("margin", "m", "of which is kept free"),
    ("periods", "κ", "watchdog periods that may pass"),
    ("reset", "δ", "a reset takes"),
    ("renew", "I", "a session is renewed every"),
    ("request", "r", "a request to the store may take"),
    ("heartbeat", "", "etcd --heartbeat-interval"),
    ("election", "", "etcd --election-timeout"),
)
IN_MILLISECONDS = ("heartbeat", "election")  # as etcd's options are
MEANINGS = (
    ("claimed", "host dies: its services are claimed elsewhere after, at most"),
    ("election_free", "store elects a leader: stops nobody if done within"),
    ("store_away", "store away: stops nobody if back within"),
    ("stopped", "host cut off: its services are stopped after, at most"),
    ("ended", "or else the host was reset after, at most"),
    ("unmount", "umount and all else of a stop may take"),
)


def arguments(parser: Any) -> None:
    parser.add_argument(
        "--failover-time",
        metavar="TIME",
        help="fast, default, conservative, or a duration from crash to claim (30s); all three without",
    )
    parser.add_argument(
        "--watchdog", metavar="SECONDS", type=int, help="what the watchdog's driver granted, if other"
    )
    parser.add_argument(
        "--unlocked", action="store_true", help="as with a guard that cannot lock its memory"
    )
    parser.add_argument(
        "-o", "--output", choices=("table", "json", "yaml"), default="table", help="default: table"
    )


def run(args: Any) -> int:
    from reconciler.decide.timing import PROFILES
    from reconciler.errors import NeedsPerson

    wanted = (args.failover_time,) if args.failover_time else tuple(PROFILES)
    made: dict[str, Timing] = {}
    refused: dict[str, str] = {}
    for name in wanted:
        try:
            made[name] = _derived(name, args)
        except NeedsPerson as fault:
            refused[name] = str(fault)
    if args.failover_time and refused:
        raise client.Failed(client.FAILED, refused[args.failover_time])
    value = {"items": [_item(name, timing) for name, timing in made.items()]}
    output.show(args, value, lambda: "\n".join(_table(made)))
    for text in refused.values():
        output.complain(text)
    return client.FAILED if refused else client.OK


def _derived(name: str, args: Any) -> "Timing":
    from reconciler.decide import timing

    try:
        wanted = timing.written(name)
    except ValueError as fault:
        raise client.Failed(client.USAGE, " ".join(str(fault).split("\n"))) from None
    return timing.derive(wanted, args.watchdog, not args.unlocked)


def meanings(timing: "Timing") -> Mapping[str, float]:
    """Seconds that an operator asks for, by the names of MEANINGS."""
    return {
        "claimed": timing.failover,
        "election_free": timing.leaderless,
        "store_away": timing.deadline - timing.renew - 2 * timing.request,
        "stopped": timing.deadline + timing.stop,
        "ended": timing.ended,
        "unmount": timing.stop,
    }


def _item(name: str, timing: "Timing") -> dict[str, Any]:
    from reconciler.decide.timing import warnings

    return {
        "failover_time": name,
        "times": {field: getattr(timing, field) for field, _, _ in WORDS},
        "means": {field: round(seconds, 3) for field, seconds in meanings(timing).items()},
        "warnings": list(warnings(timing)),
    }


def _table(made: Mapping[str, "Timing"]) -> Iterator[str]:
    from reconciler.decide.timing import warnings

    if not made:
        return
    lines = [["", "", *made]]
    for field, symbol, words in WORDS:
        lines.append([symbol, words, *(_cell(field, getattr(timing, field)) for timing in made.values())])
    lines.append(["", ""])
    for field, words in MEANINGS:
        lines.append(["", words, *(_cell(field, meanings(timing)[field]) for timing in made.values())])
    widths = [
        max(len(line[column]) for line in lines if column < len(line)) for column in range(2 + len(made))
    ]
    for symbol, words, *cells in lines:
        columns = [f"{cell:>{width}}" for cell, width in zip(cells, widths[2:], strict=False)]
        yield "  ".join((f"{symbol:<{widths[0]}}", f"{words:<{widths[1]}}", *columns)).rstrip()
    for name, timing in made.items():
        yield from (f"\n{name}: {text}" for text in warnings(timing))


def _cell(field: str, value: float) -> str:
    if field == "periods":
        return str(value)
    return f"{value * 1000:g} ms" if field in IN_MILLISECONDS else f"{round(value, 3):g} s"
