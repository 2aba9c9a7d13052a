"""ip.route: a route of the kernel's tables → up while the kernel lists it as wanted.

Another route to the same place with the same metric is not ours: it is never replaced.
"""

from dataclasses import replace
from typing import Any, NotRequired, TypedDict

from reconciler.asks import AddressHeld, Ask, Facts, Links, Route, Routes
from reconciler.model import Goal, Observed, State, settled
from reconciler.operations import AddRoute, DeleteRoute, Operation
from resources.addressing import canonical, is_v6, network

KIND = "ip.route"
MAIN = 254
V6_METRIC = 1024  # what the kernel makes of no metric


class Spec(TypedDict):
    to: str
    via: NotRequired[str]
    dev: NotRequired[str]
    table: int
    metric: int
    src: NotRequired[str]


def asks(spec: Spec) -> tuple[Ask[Any], ...]:
    src = canonical(spec.get("src", ""))
    return (Links(), Routes(spec["table"]), *((AddressHeld(src),) if src else ()))


def observe(spec: Spec, facts: Facts) -> Observed:
    """Up when the table holds the route with all that the document names of it."""
    wanted = _route(spec)
    seen = Observed(State.DOWN, label=_label(spec))
    if wanted is None:
        return replace(seen, blocked=f"{_label(spec)}: not an address or network")
    if not wanted.via and (not wanted.dev or (is_v6(spec["to"]) and wanted.to == "default")):
        return replace(seen, blocked=f"route to {spec['to']}: name via" + ("" if wanted.dev else " or dev"))
    rivals = [route for route in facts.of(Routes(spec["table"])) if _same_key(route, wanted)]
    if found := next((route for route in rivals if _fits(route, wanted)), None):
        return replace(seen, state=State.UP, data={"route": found})
    if rivals:
        other = AddRoute(
            rivals[0].to, rivals[0].via, rivals[0].dev, wanted.table, rivals[0].metric, rivals[0].src
        )
        words = str(other).partition(" replace ")[2]
        return replace(seen, blocked=f"another route is in its place ({words}): give this one a metric")
    return replace(seen, blocked=_cannot(wanted, facts))


def operations(spec: Spec, seen: Observed, goal: Goal) -> tuple[Operation, ...]:
    if settled(goal, seen):
        return ()
    wanted = _route(spec) or Route(spec["to"], spec.get("via", ""), spec.get("dev", ""))
    words = (wanted.to, wanted.via, wanted.dev, spec["table"], spec["metric"], wanted.src)
    # Repeated blindly while unknown: a route that is not there is no error.
    return (DeleteRoute(*words),) if goal is Goal.DOWN else (AddRoute(*words),)


def exclusive(spec: Spec) -> tuple[str, ...]:
    wanted = _route(spec)
    if wanted is None:
        return ()
    family = "IPv6 " if _v6(wanted) else ""
    return (f"{family}route to {wanted.to} table {wanted.table} metric {_metric(wanted)}",)


def _route(spec: Spec) -> Route | None:
    """The wanted route in the kernel's spelling; None while one of its words is not an address."""
    via, src = canonical(spec.get("via", "")), canonical(spec.get("src", ""))
    to = network(spec["to"])
    if not to or bool(via) != bool(spec.get("via")) or bool(src) != bool(spec.get("src")):
        return None
    return Route(to, via, spec.get("dev", ""), spec["table"], spec["metric"], src)


def _same_key(route: Route, wanted: Route) -> bool:
    return route.to == wanted.to and _v6(route) is _v6(wanted) and _metric(route) == _metric(wanted)


def _fits(route: Route, wanted: Route) -> bool:
    return all(
        not getattr(wanted, word) or getattr(wanted, word) == getattr(route, word)
        for word in ("via", "dev", "src")
    )


def _cannot(wanted: Route, facts: Facts) -> str:
    links = facts.of(Links())
    if wanted.dev and wanted.dev not in links:
        return f"device {wanted.dev} does not exist"
    if wanted.dev and not links[wanted.dev].up:
        return f"device {wanted.dev} is administratively down"
    if wanted.src and not facts.of(AddressHeld(wanted.src)):
        return f"its source address {wanted.src} is not on this host"
    return ""


def _v6(route: Route) -> bool:
    return is_v6(route.to + route.via + route.src)


def _metric(route: Route) -> int:
    return route.metric or (V6_METRIC if _v6(route) else 0)


def _label(spec: Spec) -> str:
    words = [spec["to"]]
    named = (("via", spec.get("via")), ("dev", spec.get("dev")), ("src", spec.get("src")))
    words += [word for name, value in named if value for word in (name, value)]
    words += ["metric", str(spec["metric"])] if spec["metric"] else []
    words += ["table", str(spec["table"])] if spec["table"] != MAIN else []
    return " ".join(words)
