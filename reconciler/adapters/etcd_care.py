"""An etcd cluster → which one it is and how it is; and its history let go when nobody else does."""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from reconciler.adapters import etcd_wire as wire
from reconciler.adapters.etcd_endpoint import Endpoint
from reconciler.adapters.etcd_gateway import Compacted, Future, Gateway

Txn = Callable[[list[wire.Json], list[wire.Json]], Awaitable[int | None]]

_GAUGE = re.compile(r"^(etcd_server_quota_backend_bytes) (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Status:
    """One member. Sizes in bytes."""

    version: str
    member: str
    leader: str  # member id of the leader; "" when it knows of none
    revision: int
    size: int
    used: int  # of it; the rest is given back by a defragmentation
    quota: int  # 0: not known
    alarms: tuple[str, ...]

    @property
    def leads(self) -> bool:
        return self.leader == self.member

    @property
    def fullness(self) -> float:
        """Part of the quota that is taken, 0 to 1; at 1 every commit is refused and every holder stops."""
        return self.size / self.quota if self.quota else 0.0


def new_id() -> str:
    return secrets.token_hex(8)


async def statuses(gateway: Gateway) -> Mapping[str, Status | str]:
    """By endpoint: its status, or why it is not known."""

    async def one(endpoint: Endpoint) -> wire.Json:
        said, page = await asyncio.gather(
            gateway.signed(endpoint, "maintenance/status", {}, led=False), endpoint.get("/metrics")
        )
        return {**said, "quota": quota_of(page)}

    answers = await gateway.each(one)
    return {url: said if isinstance(said, str) else status_of(said) for url, said in answers.items()}


def status_of(said: wire.Json) -> Status:
    leader = str(said.get("leader", "0"))
    return Status(
        version=str(said.get("version", "")),
        member=str(said.get("header", {}).get("member_id", "")),
        leader="" if leader == "0" else leader,
        revision=wire.revision_of(said),
        size=wire.number(said, "dbSize"),
        used=wire.number(said, "dbSizeInUse"),
        quota=wire.number(said, "quota"),
        alarms=tuple(text for text in map(str, said.get("errors", ())) if "alarm:" in text),
    )


def quota_of(page: str) -> int:
    """Out of etcd's own metrics: its API tells it from 3.6 on only."""
    found = _GAUGE.search(page)
    return int(float(found[2])) if found else 0


async def compact_if_due(gateway: Gateway, txn: Txn) -> int | None:
    """Compact to `kept` revisions ago, if revisions twice as old are still there.

    The store compacts by itself only if it was told to. A compare-and-set key has one agent do it.
    """
    key, kept = gateway.settings.own + "compacted", gateway.settings.kept
    now = await gateway.call("kv/range", {"key": wire.b64(key)})
    head, before = wire.revision_of(now), wire.entries_of(now, "").get(key)
    if head <= 2 * kept or (before and head - before.revision < kept):
        return None  # too early, or another agent is at it
    try:
        old = {"key": wire.b64(key), "revision": str(head - 2 * kept), "count_only": True}
        await gateway.call("kv/range", old)
    except Compacted:
        return None
    mine = wire.unchanged(key, before.revision if before else 0)
    if await txn([mine], [wire.put(key, str(head - kept))]) is None:
        return None  # another agent was quicker
    try:
        await gateway.call("kv/compaction", {"revision": str(head - kept)})
    except (Compacted, Future):
        return None
    return head - kept
