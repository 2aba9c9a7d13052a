"""What a case says was seen, remembered and counted on one node → the look and the counts of a pass.

A resource of which nothing is said is down, never failed, and was applied as it is wanted.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reconciler.asks.programs import ProgramSeen
from reconciler.decide.backoff import Budget
from reconciler.decide.cases.packing import unplain
from reconciler.decide.cases.words import Tree, known, seconds
from reconciler.decide.frames import unpacked
from reconciler.decide.holds import Counted
from reconciler.decide.order import order
from reconciler.decide.references import bind_resource
from reconciler.decide.situations import Look, Memories, Seen, roster
from reconciler.model import Level, Note, Observed, Resource, Service, State, warning

SEEN = (
    *("state", "label", "notes", "note", "provisioned", "blocked", "holder", "exposes", "identity", "data"),
    *("left", "may_mark", "again_in", "missing", "by_check", "bound", "stale"),
)
COUNTED = (
    *("coming_up", "checked", "conflict", "conflict_for", "refused", "refused_for", "forced"),
    *("settling", "handed_over", "activated", "failures", "stuck", "now"),
)
PROGRAM = ProgramSeen(4242, 99, True)
PRESENT = (State.UP, State.WARN, State.UNKNOWN)


def look(service: Service, deleted: bool, said: Any, applied: Tree | None, more: Tree) -> Look:
    """said: `up`, or by rid; `all` for those of which nothing is said. more: memory, running, attempt."""
    words: Mapping[str, Any] = {"all": said} if isinstance(said, str) else said or {}
    last = _applied(service, words, applied)
    who = roster(service, deleted, last)
    line = order(who.resources)
    by_rid = {resource.rid: resource for resource in who.resources}
    known("seen", [rid for rid in words if rid != "all"], by_rid)
    exposed: dict[str, Mapping[str, tuple[str, ...]]] = {}
    seen: dict[str, Seen] = {}
    stale: set[str] = set()
    for rid in line.rids:
        bound, missing = bind_resource(by_rid[rid], exposed)
        one = words.get(rid, words.get("all", "down"))
        one = {"state": one} if isinstance(one, str) else one
        observed = _observed(one, bound)
        stale |= {rid} if one.get("stale") else set()
        if "bound" in one:
            bound = unpacked(rid, one["bound"])
        missing = tuple(one["missing"]) if "missing" in one else missing
        if observed.state is not State.UNKNOWN:
            exposed[rid] = observed.exposes
        seen[rid] = Seen(bound, observed, missing, bool(one.get("by_check", False)))
    return Look(
        seen,
        last,
        Memories({rid: _held(kept) for rid, kept in (more.get("memory") or {}).items()}),
        frozenset(more.get("running") or ()),
        frozenset((more.get("attempt") or {}).get("activated") or ()),
        frozenset(stale),
    )


def _held(kept: Tree) -> dict[str, tuple[str, str]]:
    return {name: (str(value), "") for name, value in kept.items()}


def _observed(said: Tree, resource: Resource) -> Observed:
    known(f"seen: {resource.rid}", said, SEEN)
    if resource.common.disable or "nostatus" in resource.common.tags:
        return Observed(State.NA, label=resource.kind)
    notes = tuple(Note(Level(note["level"]), note["text"]) for note in said.get("notes", ()))
    notes += (warning(said["note"]),) if "note" in said else ()
    exposes = {name: tuple(words) for name, words in (said.get("exposes") or {}).items()}
    return Observed(
        State(said.get("state", "down")),
        str(said.get("label", "")),
        notes,
        said.get("provisioned"),
        str(said.get("blocked", "")),
        str(said.get("holder", "")),
        exposes,
        str(said.get("identity", "")),
        bool(said.get("left", False)),
        bool(said.get("may_mark", True)),
        unplain(said["data"]) if "data" in said else _typical(resource, said),
        said.get("again_in"),
    )


def _typical(resource: Resource, said: Tree) -> Mapping[str, Any]:
    """What drivers find besides the state, where nothing is wrong."""
    down = said.get("state", "down") == "down"
    match resource.kind:
        case "ip.host":
            return {"link": "up"}
        case "app.simple" if not down:
            return {"program": PROGRAM}
        case "fs.ext4" if "{" not in resource.spec["dev"]:
            return {"path": resource.spec["dev"]}
    return {}


def _applied(service: Service, words: Tree, said: Tree | None) -> dict[str, Resource]:
    """What is seen there was applied as it is wanted now, unless something else is said.

    `{fs#0: {mnt: /old}}` differs in these keywords; with `kind` and `spec` it is all of it.
    """
    wanted = {resource.rid: resource for resource in service.resources}
    there = {rid: words.get(rid, words.get("all", "down")) for rid in wanted}
    states = {rid: State(one if isinstance(one, str) else one["state"]) for rid, one in there.items()}
    last = {rid: wanted[rid] for rid, state in states.items() if state in PRESENT}
    for rid, one in (said or {}).items():
        if one is None:
            last.pop(rid, None)
        elif "kind" in one:
            last[rid] = unpacked(rid, one)
        else:
            last[rid] = _replaced(wanted[rid], one)
    return last


def _replaced(resource: Resource, keywords: Tree) -> Resource:
    known(f"applied: {resource.rid}", keywords, resource.spec)
    spec = {**resource.spec, **{word: _tuple(value) for word, value in keywords.items()}}
    return replace(resource, spec=spec)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def counted(said: Tree, coming_up: bool) -> Counted:
    """`coming_up`: where nothing is said of it. Instants are relative to now, which is 0 where not said."""
    known("attempt", said, COUNTED)
    now = float(said.get("now", 0.0))
    return Counted(
        now,
        {rid: _budget(one, now) for rid, one in (said.get("failures") or {}).items()},
        {rid: _budget(one, now) for rid, one in (said.get("stuck") or {}).items()},
        dict(said.get("settling") or {}),
        frozenset(said.get("forced") or ()),
        str(said.get("refused", "")),
        now + seconds(said.get("refused_for", 0)),
        str(said.get("conflict", "")),
        now + seconds(said.get("conflict_for", 0)),
        bool(said.get("coming_up", coming_up)),
        frozenset(said.get("checked") or ()),
        bool(said.get("handed_over", False)),
    )


def _budget(said: Tree, now: float) -> Budget:
    known("failures", said, ("count", "last", "again_in", "up_for"))
    up = now - seconds(said["up_for"]) if "up_for" in said else None
    later = now + seconds(said["again_in"]) if "again_in" in said else 0.0
    return Budget(int(said.get("count", 1)), later, up, str(said.get("last", "it failed")))
