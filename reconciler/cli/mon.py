"""`standfast mon` → agent, hosts and services at a glance: a row each, a cell for each host.

Cells are OpenSVC's: O up, S stdby up, X down, s stdby down, ! warn, / not there, ? unknown; behind
it ! overall warn, ^ first in placement, * frozen, P not provisioned, and what is being done.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from reconciler.cli import client, live, output, tree

HELP = "Watch agent, hosts and services at a glance, a cell for each host."

ICONS = {
    "up": "O",
    "stdby up": "S",
    "down": "X",
    "stdby down": "s",
    "warn": "!",
    "n/a": "/",
    "unknown": "?",
    "elsewhere": "X",
}
DETAIL, LONGEST = 2, 50
"""The column of reasons, and its characters: a longer one would push the hosts out of sight."""
UNDER_WAY = ("pending", "under way")
QUIET = {"down": "grey", "stdby down": "grey"}
"""A host where a service is down as it should be is no news: only the service's own state is red."""

Words = tree.Words
Line = tuple[list[Words], list[list[Words]]]
"""Columns on the left, and for each host its cell."""


def arguments(parser: Any) -> None:
    parser.add_argument("selectors", nargs="*", metavar="SELECTOR", help="name, namespace/name, globs")
    parser.add_argument("-w", "--watch", action="store_true", help="go on showing what changes")
    client.options(parser)


def run(args: Any) -> int:
    if args.watch:
        return live.live(args, lambda node, services: _show(args, node, services, live.clear()))
    node = client.get(args, "/v1/node")
    found = client.get(args, "/v1/services", {"selector": args.selectors})
    _show(args, node, found["items"])
    return client.OK


def _show(args: Any, node: Mapping[str, Any], services: Sequence[Any], before: str = "") -> None:
    value = {"node": node, "items": list(services)}
    output.show(args, value, lambda: before + render(node, services, output.colour()))


def render(
    node: Mapping[str, Any],
    services: Iterable[Mapping[str, Any]],
    colour: bool = False,
    now: float | None = None,
) -> str:
    """The three sections, without a line break at the end. `now`: wall-clock time, for ages."""
    listed = sorted(services, key=lambda one: tree.natural(tree.full_name(one)))
    me = node["name"]
    others = {*node.get("cluster_nodes", ()), *(n for one in listed for n in one["status"]["instances"])}
    others |= set((node.get("cluster") or {}).get("nodes", ()))
    nodes = [me, *sorted(others - {me}, key=tree.natural)]
    sections = [
        ("Agent", [me], _agent(node, time.time() if now is None else now)),
        ("Nodes", nodes, _nodes(node, nodes)),
        ("Services", nodes, [_service(one, nodes) for one in listed]),
    ]
    lines = [line for _, _, rows in sections for line in rows]
    widths = [max(len(_beside(left)[n][0]) for left, _ in lines) for n in range(4)]
    # A cell may hold words ("starting"): hosts' columns grow with them.
    wide = [
        max([len(name), *(_length(c[n]) for _, c in lines if n < len(c))]) for n, name in enumerate(nodes)
    ]
    drawn = []
    for title, heads, rows in sections:
        margin = sum(widths) + 2 * len(widths) + 2
        names = " ".join(_padded([(name, "bold")], wide[n], colour) for n, name in enumerate(heads))
        drawn += ["", _padded([(title, "bold")], margin, colour) + names.rstrip()]
        for left, cells in rows:
            detail = left[DETAIL][0]
            below = [f"   {detail}"] if len(detail) > LONGEST else []
            drawn += [_drawn(_beside(left), cells, widths, wide, colour), *below]
    return "\n".join(drawn[1:])


def _beside(left: list[Words]) -> list[Words]:
    """Without a reason that has a line of its own."""
    return [("", "") if n == DETAIL and len(one[0]) > LONGEST else one for n, one in enumerate(left)]


def _drawn(
    left: list[Words], cells: list[list[Words]], widths: list[int], wide: list[int], colour: bool
) -> str:
    columns = "  ".join(_padded([w], wide_, colour) for w, wide_ in zip(left, widths, strict=True))
    row = " ".join(_padded(cell, wide[n], colour) for n, cell in enumerate(cells))
    return f" {columns} | {row}".rstrip()


def _length(words: Sequence[Words]) -> int:
    return sum(len(text) for text, _ in words)


def _padded(words: Sequence[Words], width: int, colour: bool) -> str:
    text = "".join(tree.painted(text, paint, colour) for text, paint in words)
    return text + " " * (width - _length(words))


# --- sections ------------------------------------------------------------------------------


def _row(name: str, state: Words, detail: str, *cells: list[Words]) -> Line:
    return [(name, "bold"), state, (tree.clean(detail), ""), ("", "")], list(cells)


def _agent(node: Mapping[str, Any], now: float) -> list[Line]:
    """The agent's parts; the ones that may fail say why."""
    good: list[Words] = [("O", "green")]
    running = tree.ago(now - node["started"])
    rows = [_row("daemon", ("running", "green"), f"for {running}", good)]
    rows += _membership(node.get("cluster"), good)
    for name, trouble in (
        ("store", node["store"]["trouble"]),
        ("journal", node["journal"]["trouble"]),
        *((source, seen["why"]) for source, seen in sorted(node["sources"].items()) if not seen["ok"]),
    ):
        state = ("failing", "red") if trouble else ("running", "green")
        rows.append(_row(name, state, trouble, [("!", "red")] if trouble else good))
    if held := node["prune_held"]:
        detail = f"{len(held)} removals wait for standfast prune --confirm"
        rows.append(_row("prune", ("held", "yellow"), detail, [("!", "yellow")]))
    return rows


def _membership(cluster: Mapping[str, Any] | None, good: list[Words]) -> list[Line]:
    """This node's session, and its view of what all share."""
    if cluster is None:
        return []
    session, trouble = cluster["session"], cluster["trouble"]
    state = ("open", "green") if session["open"] else ("none", "red")
    detail = session["why"] or f"epoch {session['epoch']}, {session['level']}"
    rows = [_row("session", state, detail, good if session["open"] else [("X", "red")])]
    seen = ("failing", "red") if trouble else ("running", "green")
    rows.append(_row("cluster", seen, trouble, [("!", "red")] if trouble else good))
    return [*rows, *(_row("promise", ("weak", "yellow"), text) for text in cluster["outside"])]


def _nodes(node: Mapping[str, Any], nodes: Sequence[str]) -> list[Line]:
    """What is known of each host; of one that was never heard of, nothing."""
    frozen, cluster = node.get("frozen"), node.get("cluster")
    if cluster is None:
        cells: list[list[Words]] = [
            [("*", "blue")] if name == node["name"] and frozen else [] for name in nodes
        ]
        who = f"frozen by {frozen['who']}" if frozen else ""
        return [_row("env", (node["env"], ""), ""), _row("state", ("", ""), who, *cells)]
    known = [cluster["nodes"].get(name) for name in nodes]

    def row(title: str, of: Callable[[Mapping[str, Any]], str]) -> Line:
        return _row(title, ("", ""), "", *([(of(one), "")] if one else [] for one in known))

    rows = [
        row("env", lambda one: str(one["env"])),
        row("score", lambda one: f"{one['score']:.0f}"),
        row("load 15m", lambda one: f"{one['load']:.1f}"),
        row("mem", lambda one: f"{one['memory']:.0f}% free"),
        row("swap", lambda one: "-" if one["swap"] is None else f"{one['swap']:.0f}% free"),
        row("seen", lambda one: "-" if one["age"] is None else f"{one['age']:.1f}s ago"),
    ]
    if len({one["version"] for one in known if one}) > 1:
        rows.append(row("version", lambda one: str(one["version"])))
    return [*rows, _row("state", ("", ""), "", *(_life(one) for one in known))]


def _life(one: Mapping[str, Any] | None) -> list[Words]:
    """O alive, X its session is closed; * frozen, and what else is out of the ordinary."""
    if one is None:
        return [("?", "yellow")]
    cell: list[Words] = [("O", "green") if one["alive"] else ("X", "red")]
    cell += [("*", "blue")] if one["frozen"] else []
    cell += [(" drained", "yellow")] if one["drained"] else []
    return cell + ([(" maintenance", "yellow")] if one["maintenance"] else [])


def _service(service: Mapping[str, Any], nodes: Sequence[str]) -> Line:
    now, spec = service["status"], service["spec"]
    marks = ("!" if now["overall"] == "warn" and now["avail"] != "warn" else "") + (
        "^" if now["placement"] == "non-optimal" else ""
    )
    here = now["instances"]
    default = "no" if service["metadata"]["source"].endswith(".conf") else "ha"
    up = sum(one["avail"] == "up" for one in here.values())
    leader = _leader(spec, here)
    left = [
        (tree.full_name(service), "bold"),
        (now["avail"] + marks, tree.STATES.get(now["avail"], "")),
        (str(spec.get("orchestrate", default)), ""),
        (f"{up}/{_target(spec)}", ""),
    ]
    return left, [_cell(here.get(name), name == leader, now) for name in nodes]


def _cell(here: Mapping[str, Any] | None, leader: bool, now: Mapping[str, Any]) -> list[Words]:
    if here is None:
        return []
    avail = here["avail"]
    cell = [(ICONS[avail], QUIET.get(avail) or tree.STATES[avail])]
    if here["overall"] == "warn" and avail != "warn":
        cell.append(("!", "yellow"))
    if leader:
        cell.append(("^", ""))
    if here["frozen"]:
        cell.append(("*", "blue"))
    if here["provisioned"] in ("false", "mixed"):
        cell.append(("P", "red"))
    if here["state"] != "idle":
        cell.append((f" {here['state']}", ""))
    if (wish := now["wish"]) and wish["state"] in UNDER_WAY:
        cell.append((f" >{wish['verb']}", ""))
    return cell


def _leader(spec: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """The first of `nodes` that has an instance; globs and labels name none."""
    wanted = spec.get("nodes") or ()
    names = wanted.split() if isinstance(wanted, str) else wanted
    return next((str(name) for name in names if name in here), next(iter(here), ""))


def _target(spec: Mapping[str, Any]) -> int:
    flex = spec.get("flex")
    if spec.get("topology") != "flex" or not isinstance(flex, Mapping):
        return 1
    return int(flex.get("target", flex.get("min", 1)))
