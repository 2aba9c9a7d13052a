"""`standfast cluster status` → members, leader, voters, sessions, which store it is, and what is wrong."""

import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.adapters import etcd_care, etcd_members, pki
from reconciler.adapters.etcd_care import Status
from reconciler.adapters.etcd_unit import SERVICE
from reconciler.cli import client, cluster_place, output
from reconciler.cli.cluster_place import Host, reached
from reconciler.decide import keys, sessions
from reconciler.decide.timing import DRIFT, derive
from reconciler.decide.voters import Member, losses, voters, warnings
from reconciler.engine.membership import another
from reconciler.errors import MayHeal, NeedsPerson

HALF = 0.5  # of the quota: a full store stops every holder
SOON = 60 * 86400.0  # seconds before a certificate's end
MIB = 1 << 20
OUTSIDE = (
    "Outside the promise: a machine that is paused and goes on, a watchdog that does not reset, "
    f"clocks that run more than {DRIFT:.1%} apart, an untrue --confirmed-off."
)


async def status(host: Host, args: Any) -> int:
    value = await seen(host)
    output.show(args, value, lambda: _table(value))
    return client.OK if value["well"] else client.FAILED


def of(file: str, name: str, place: Mapping[str, str]) -> dict[str, Any]:
    """For `doctor`; `place`: the state and the run directory. Raises client.Failed."""
    found: dict[str, Any] = {}

    async def look() -> int:
        found.update(await seen(cluster_place.of(Namespace(node=file, name=name, detached=False, **place))))
        return client.OK

    cluster_place.act(look())
    return found


async def seen(host: Host) -> dict[str, Any]:
    """Everything, as far as it can be seen; `well` when nothing of it needs anybody now."""
    found: tuple[Member, ...] = ()
    trouble = ""
    async with reached(host) as (_, gateway):
        try:
            found = await etcd_members.members(gateway)
        except MayHeal as fault:
            trouble = str(fault)
    etcd = host.etcd
    assert etcd is not None
    everywhere = tuple(dict.fromkeys((*etcd.endpoints, *(url for one in found for url in one.clients))))
    async with reached(host, type(etcd)(**{**vars(etcd), "endpoints": everywhere})) as (store, gateway):
        states = await etcd_care.statuses(gateway)
        shown: list[dict[str, Any]] = []
        identity: dict[str, Any] = {}
        lost = ""
        try:
            at = await store.identity()
            identity = {"id": at.store, "cluster": at.cluster, "revision": at.revision}
            shown = [
                _session(key.removeprefix(keys.SESSIONS), entry.value)
                for key, entry in (await store.read(keys.SESSIONS)).entries.items()
            ]
            lost = another(host.keepsake.mark().identity, at)
        except (MayHeal, NeedsPerson) as fault:
            trouble = str(fault)
    listed = [_member(one, states) for one in found]
    levels = {one["node"]: sessions.Level(one["level"]) for one in shown if one["open"]}
    away = [one for one in listed if one["why"]]
    return {
        "store": {**identity, "trouble": trouble or lost},
        "mark": _mark(host),
        "voters": len(voters(found)),
        "may_be_lost": losses(len(voters(found))),
        "members": listed,
        "sessions": shown,
        "warnings": [
            *_of_the_store(trouble, lost),
            *_of_members(listed),
            *warnings(found),
            *sessions.outside(levels, host.settings.fencing),
            *_of_elections(host),
            *_of_keys(host),
        ],
        "well": not (trouble or lost or away),
    }


def _member(one: Member, states: Mapping[str, Status | str]) -> dict[str, Any]:
    known = [states[url.rstrip("/")] for url in one.clients if url.rstrip("/") in states]
    state = next((said for said in known if isinstance(said, Status)), None)
    said = next((said for said in known if isinstance(said, str)), "it was not started yet")
    return {
        "name": one.machine,
        "role": "learner" if one.learner else "witness" if one.witness else "voter",
        "id": one.id,
        "endpoints": list(one.clients),
        "state": "away" if state is None else "leader" if state.leads else "follower",
        "why": said if state is None else "" if state.leader else "it knows of no leader",
        "version": state.version if state else "",
        "size": state.size if state else 0,
        "quota": state.quota if state else 0,
        "fullness": round(state.fullness, 4) if state else 0.0,
        "alarms": list(state.alarms) if state else [],
    }


def _session(node: str, text: str) -> dict[str, Any]:
    kept = sessions.read(text)
    if kept is None:
        return {"node": node, "open": None, "epoch": None, "level": "", "wait": None, "fencing": ""}
    wait = None if kept.wait == float("inf") else kept.wait
    return {
        "node": node,
        "open": kept.open,
        "epoch": kept.epoch,
        "level": str(kept.level),
        "wait": wait,
        "fencing": kept.fencing,
    }


def _mark(host: Host) -> dict[str, Any]:
    try:
        mark = host.keepsake.mark()
    except NeedsPerson as fault:
        return {"id": "", "revision": 0, "epoch": 0, "trouble": str(fault)}
    kept = mark.identity
    return {
        "id": kept.store if kept else "",
        "revision": kept.revision if kept else 0,
        "epoch": mark.epoch,
        "trouble": "",
    }


def _of_the_store(trouble: str, lost: str) -> list[str]:
    if lost:
        return [f"{lost}: nothing starts here until `standfast cluster accept-store`"]
    return [f"the store does not answer ({trouble}): look at its members"] if trouble else []


def _of_members(listed: list[dict[str, Any]]) -> list[str]:
    found = [f"{one['name']} does not serve ({one['why']}): look at it" for one in listed if one["why"]]
    for one in listed:
        if one["fullness"] >= HALF:
            found.append(
                f"{one['name']}: the store has {one['fullness']:.0%} of its quota; full, it stops every "
                "holder: compact it, and `etcdctl defrag` each member"
            )
        found += [
            f"{one['name']} raises the alarm {alarm}: put it right, then `etcdctl alarm disarm`"
            for alarm in one["alarms"]
        ]
    return found


def _of_elections(host: Host) -> list[str]:
    """Our own etcd was made for a failover time; the one of node.yaml may be another by now."""
    unit, wanted = host.unit, host.settings.failover_time
    if unit is None or unit.witness:  # a witness has no times of its own
        return []
    try:
        needed = derive(wanted).election
    except NeedsPerson:  # refused, and said, by the agent
        return []
    if unit.election <= needed:
        return []
    given = wanted if isinstance(wanted, str) else f"{wanted:g}s"
    return [
        f"etcd here elects with a timeout of {unit.election:g} s, failover_time {given} counts on "
        f"{needed:g} s, and an election may stop healthy holders: set election to {needed:g} in "
        f"{host.files.unit} of each member, then `systemctl restart {SERVICE}` there, one after another"
    ]


def _of_keys(host: Host) -> list[str]:
    """Certificates of our own that end soon."""
    found: list[str] = []
    for path in sorted(host.files.pki.glob("*.pem")):
        left = pki.expires(path.read_text(encoding="ascii")) - time.time()
        if left < SOON:
            found.append(
                f"{path} is good for {left / 86400:.0f} days only: leave and join again to renew it"
            )
    return found


def _table(value: dict[str, Any]) -> str:
    store = value["store"]
    lines = [
        f"store     {store.get('id') or 'unknown'}, revision {store.get('revision', 'unknown')}",
        f"voters    {value['voters']}, of which {value['may_be_lost']} may be lost",
        "",
    ]
    rows = [("MEMBER", "ROLE", "STATE", "ETCD", "SIZE", "OF", "ENDPOINT")]
    for one in value["members"]:
        size = (
            (f"{one['size'] / MIB:.1f} MiB", f"{one['quota'] / MIB:.0f} MiB")
            if one["version"]
            else ("", "")
        )
        rows.append(
            (one["name"], one["role"], one["state"], one["version"], *size, ", ".join(one["endpoints"]))
        )
    lines += _columns(rows)
    if value["sessions"]:
        rows = [("NODE", "SESSION", "EPOCH", "LEVEL", "FENCING", "", "")]
        for one in value["sessions"]:
            state = {True: "open", False: "closed", None: "not understood"}[one["open"]]
            rows.append((one["node"], state, str(one["epoch"]), one["level"], one["fencing"], "", ""))
        lines += ["", *_columns(rows)]
    lines += ["", *(f"! {text}" for text in value["warnings"])] if value["warnings"] else []
    return "\n".join([*lines, "", OUTSIDE])


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
