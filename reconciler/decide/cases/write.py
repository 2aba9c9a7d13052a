"""What a pass decided on → a case as plain data, from which the same is decided again.

What the node knew is said exactly: nothing of it is left to the defaults of a case written by hand.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reconciler.decide import asked, sessions
from reconciler.decide.asked import Frozen
from reconciler.decide.backoff import Budget
from reconciler.decide.cases import services
from reconciler.decide.cases.packing import parts, plain
from reconciler.decide.documents import Home
from reconciler.decide.frames import packed
from reconciler.decide.holds import Counted
from reconciler.decide.inputs import Inputs
from reconciler.decide.situations import Look, Seen
from reconciler.decide.turn import Situation
from reconciler.model import Service


def written(given: Inputs, home: Home) -> dict[str, Any]:
    """`home`: where its document is read; that of another node gives the service as a value instead."""
    service, here, node = given.service, given.here, given.here.node
    name = services.shown(service.key)
    there = f"{name}@{node}"
    nodes: dict[str, dict[str, Any]] = {node: {}}
    tree: dict[str, Any] = {"now": here.now, "look": {name: [node]}, **_document(given, name, home)}
    if given.deleted:
        tree["deleted"] = [name]
    tree["alone"], tree["nodes"] = given.near is None, nodes
    if given.near:
        tree |= _near(given.near, name, there, nodes)
    if here.start_failed:
        nodes[node]["gives_away" if here.gives_away else "failed"] = {name: here.start_failed}
    if here.leaving:
        nodes[node]["leaving"] = here.leaving
    if here.frozen:
        said = _frozen(here.frozen, here.now)
        if here.frozen.scope == "cluster":
            tree["frozen"] = said
        else:
            nodes[node]["frozen"] = said
    if given.asked != asked.NOBODY:
        tree["asked"] = {name: asked.written(given.asked)}
    tree["seen"] = {
        there: {rid: _seen(one, rid in given.look.stale) for rid, one in given.look.seen.items()}
    }
    tree["applied"] = {there: _applied(given.look, service)}
    if remembered := {rid: dict(held) for rid in given.look.memories.kept if (held := _held(given, rid))}:
        tree["memory"] = {there: remembered}
    if given.look.running:
        tree["running"] = {there: sorted(given.look.running)}
    tree["attempt"] = {there: _counted(given.counted, given.look)}
    return tree


def _held(given: Inputs, rid: str) -> Mapping[str, str]:
    return given.look.memories.of(rid)


def _document(given: Inputs, name: str, home: Home) -> dict[str, Any]:
    service = given.service
    if given.document:
        said = (service.source, service.line, service.generation)
        try:
            again = services.exact(service.key, given.document, home, *said)
        except ValueError:
            again = None
        if again and _unplaced(again) == _unplaced(service):
            exact = dict(zip(("source", "line", "generation"), said, strict=True))
            where = {
                "env": home.env,
                "labels": dict(home.labels),
                "cluster_nodes": list(home.cluster_nodes),
                "hosts": home.hosts and {name: dict(labels) for name, labels in home.hosts.items()},
                "services": home.services,
                "state": home.state,
                "run": home.run,
                "root": home.root,
            }
            return {"documents": {name: {"tree": dict(given.document), **exact, "home": where}}}
    return {"services": {name: services.framed(service)}}


def _unplaced(service: Service) -> Service:
    """Without the lines of its file."""
    return replace(service, resources=tuple(replace(r, line=0) for r in service.resources))


def _near(near: Situation, name: str, there: str, nodes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for node, peer in near.peers.items():
        nodes.setdefault(node, {})["peer"] = {n: one for n, one in parts(peer).items() if n != "name"}
    for node, session in near.sessions.items():
        kept = json.loads(sessions.written(session)) if session else None
        nodes.setdefault(node, {})["session"] = kept
    mine = nodes[near.node]
    if near.no_session:
        mine["no_session"] = near.no_session
    if near.drained:
        mine["drained_here"] = near.drained
    slots: dict[int, Any] = {}
    for slot, claim in near.claims.items():
        slots[slot] = claim and {"node": claim.node, "epoch": claim.epoch, "things": list(claim.things)}
        if claim and claim == near.mine and not near.sure:
            slots[slot]["sure"] = False
    if slots:
        tree["claims"] = {name: slots}
    if near.waited:
        tree["waited"] = {there: {word: round(span, 3) for word, span in near.waited.items()}}
    tree["answers"] = {there: near.refused}
    if near.stays:
        tree["stays"] = {there: near.stays}
    return tree


def _frozen(frozen: Frozen, now: float) -> dict[str, Any]:
    said: dict[str, Any] = {"by": frozen.who, "ago": round(now - frozen.at, 3)}
    if frozen.reason:
        said["reason"] = frozen.reason
    if frozen.until:
        said["for"] = round(frozen.until - frozen.at, 3)
    return said


def _seen(one: Seen, stale: bool) -> dict[str, Any]:
    observed = one.observed
    said = {
        name: value for name, value in parts(observed).items() if name not in ("state", "notes", "data")
    }
    if observed.notes:
        said["notes"] = [{"level": note.level.value, "text": note.text} for note in observed.notes]
    said = {"state": observed.state.value, **said, "data": plain(observed.data)}
    if stale:
        said["stale"] = True
    if one.missing or one.resource.late:
        said |= {"missing": list(one.missing), "bound": packed(one.resource)}
    return {**said, "by_check": True} if one.by_check else said


def _applied(look: Look, service: Service) -> dict[str, Any]:
    """What was not applied is said, too: in a case written by hand what is up was."""
    known: dict[str, Any] = {rid: packed(resource) for rid, resource in look.applied.items()}
    return {**{r.rid: None for r in service.resources if r.rid not in known}, **known}


def _counted(counted: Counted, look: Look) -> dict[str, Any]:
    now = counted.now
    said: dict[str, Any] = {"coming_up": counted.coming_up}
    for word in ("conflict", "refused", "handed_over"):
        if value := getattr(counted, word):
            said[word] = value
    for word in ("conflict", "refused"):
        if (left := getattr(counted, f"{word}_until") - now) > 0:
            said[f"{word}_for"] = left
    for word, rids in (
        ("checked", counted.checked),
        ("forced", counted.forced),
        ("activated", look.activated),
    ):
        if rids:
            said[word] = sorted(rids)
    if counted.settling:
        said["settling"] = dict(counted.settling)
    for word, budgets in (("failures", counted.budgets), ("stuck", counted.stops)):
        if budgets:
            said[word] = {rid: _budget(budget, now) for rid, budget in budgets.items()}
    return said


def _budget(budget: Budget, now: float) -> dict[str, Any]:
    said: dict[str, Any] = {"count": budget.failures, "last": budget.last}
    if budget.not_before > now:
        said["again_in"] = budget.not_before - now
    if budget.up_since is not None:
        said["up_for"] = now - budget.up_since
    return said
