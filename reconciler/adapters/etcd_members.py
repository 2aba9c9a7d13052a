"""An etcd cluster through one of its members → who its members are; one added, one that votes, one fewer.

A new member begins as a learner, which does not count towards the quorum: one that fails to start
stops nobody.
"""

import asyncio
from typing import Any

from reconciler.adapters.etcd_endpoint import Endpoint
from reconciler.adapters.etcd_gateway import Gateway
from reconciler.adapters.etcd_wire import Json
from reconciler.decide.voters import Member
from reconciler.errors import MayHeal

PAUSE = 0.1  # seconds
_SOON = (
    "unhealthy cluster",  # its members are not connected well, or not for long enough
    "not enough started members",
    "too many learner members",  # another one is joining
    "can only promote a learner member which is in sync",
    "no leader",
    "request timed out",
)


async def members(gateway: Gateway) -> tuple[Member, ...]:
    """As a member with a leader knows them, else any that answers. Raises MayHeal when none does."""

    async def one(endpoint: Endpoint) -> Json:
        said, at = await asyncio.gather(
            gateway.signed(endpoint, "cluster/member/list", {}, led=False),
            gateway.signed(endpoint, "maintenance/status", {}, led=False),
        )
        return {**said, "led": str(at.get("leader", "0")) != "0", "term": int(at.get("raftTerm", 0))}

    answers = await gateway.each(one)
    good = [said for said in answers.values() if not isinstance(said, str)]
    if not good:
        raise MayHeal("; ".join(f"{at}: {why}" for at, why in answers.items()))
    best = max(good, key=lambda said: (said["led"], said["term"]))
    return tuple(_member(one) for one in best.get("members", ()))


async def add(gateway: Gateway, peer: str, within: float) -> str:
    """As a learner; the id it has. What was left of an earlier try goes first. Raises MayHeal."""
    for member in await members(gateway):
        if peer in member.peers and not member.name:
            await remove(gateway, member.id)
    body = {"peerURLs": [peer], "isLearner": True}
    try:
        return str((await _patiently(gateway, "cluster/member/add", body, within))["member"]["ID"])
    except MayHeal as fault:
        there = [one for one in await members(gateway) if peer in one.peers and not one.name]
        if not there:
            raise MayHeal(f"{peer} is not taken in: {fault}") from fault
        return there[0].id  # it was done, and the answer to that was lost


async def promote(gateway: Gateway, member: str, within: float) -> None:
    """From now on it votes. Refused until it knows what the others know. Raises MayHeal."""
    try:
        await _patiently(gateway, "cluster/member/promote", {"ID": member}, within)
    except MayHeal:
        if not any(one.id == member and not one.learner for one in await members(gateway)):
            raise


async def remove(gateway: Gateway, member: str, within: float = 10.0) -> None:
    """It is none any more, also if it was none. Raises MayHeal.

    etcd refuses while one of the others was connected for less than five seconds.
    """
    try:
        await _patiently(gateway, "cluster/member/remove", {"ID": member}, within)
    except MayHeal as fault:
        if "member not found" not in str(fault):
            raise


async def _patiently(gateway: Gateway, path: str, body: Json, within: float) -> Json:
    """Again while etcd says that it may go later."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within
    while True:
        try:
            return await gateway.call(path, body)
        except MayHeal as fault:
            soon = any(words in str(fault) for words in _SOON)
            if not soon or loop.time() >= until:
                raise
        await asyncio.sleep(PAUSE)


def _member(said: dict[str, Any]) -> Member:
    return Member(
        str(said["ID"]),
        str(said.get("name", "")),
        tuple(said.get("peerURLs", ())),
        tuple(said.get("clientURLs", ())),
        bool(said.get("isLearner", False)),
    )
