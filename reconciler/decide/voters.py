"""Members of the store → who votes, how many may be lost, and what a person has to know of it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

WITNESS = "witness:"
"""How the name of a member begins that is on a machine without services."""


_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


class Kind(StrEnum):
    """What joins."""

    NODE = "node"  # runs services and votes
    WITNESS = "witness"  # only votes
    CLIENT = "client"  # runs services, uses the members of others


@dataclass(frozen=True)
class Member:
    """One member of the store. `name`: as etcd knows it, "" before its first start."""

    id: str
    name: str
    peers: tuple[str, ...]
    clients: tuple[str, ...]
    learner: bool = False

    @property
    def witness(self) -> bool:
        return self.name.startswith(WITNESS)

    @property
    def machine(self) -> str:
        """The name of its host, or what else is known of it."""
        return self.name.removeprefix(WITNESS) or ", ".join(self.peers)


def name_of(kind: Kind, machine: str) -> str:
    return f"{WITNESS}{machine}" if kind is Kind.WITNESS else machine


def voters(members: Iterable[Member]) -> list[Member]:
    return [member for member in members if not member.learner]


def losses(count: int) -> int:
    """So many of `count` voters may be lost before the store stops, and every failover service with it."""
    return max(0, (count - 1) // 2)


def warnings(members: Sequence[Member]) -> tuple[str, ...]:
    """What is wrong with so many voters, each with what to do."""
    voting = voters(members)
    names = " or ".join(sorted(member.machine for member in voting))
    found: list[str] = []
    if len(voting) == 1:
        found.append(
            f"one voter: without {names} there is no store, and no failover: "
            "add a witness (`standfast cluster token`), then a second node"
        )
    elif len(voting) == 2:
        found.append(
            f"two voters: the loss of either machine, {names}, even of an idle one, stops every failover "
            "service on both: add a third machine (`standfast cluster witness`)"
        )
    elif voting and len(voting) % 2 == 0:
        fewer = len(voting) - 1
        found.append(
            f"{len(voting)} voters bear the loss of {losses(len(voting))}, no more than {fewer} do: "
            "add one, or let one leave"
        )
    if stuck := [member.machine for member in members if member.learner]:
        found.append(f"{', '.join(stuck)} has joined and does not vote yet")
    return tuple(found)


def misnamed(machine: str) -> str:
    """Why a host cannot be called so, "" when it can: etcd writes lists of names in one line."""
    if len(machine) <= 63 and _NAME.fullmatch(machine):
        return ""
    return f"{machine!r} is no name for a host: letters, digits, dots and hyphens, 63 at most (--name)"


def refused(
    members: Sequence[Member], kind: Kind, machine: str, accepted: bool, has_session: bool = False
) -> str:
    """Why it may not join, "" when it may.

    accepted     a person takes two voters for what they are.
    has_session  a session stands open under its name.
    """
    if why := misnamed(machine):
        return why
    taken = {member.machine: member for member in members if member.name}
    if machine in taken:
        return (
            f"{machine} is a member already: give this host another name (--name), "
            f"or take the old one out with `standfast cluster leave --member {machine}`"
        )
    if kind is not Kind.WITNESS and has_session:
        return (
            f"{machine} is a node of this cluster, and its session is open: give this host another name "
            "(--name). If it is that node, end its agent, and wait until `standfast cluster status` on "
            "another one says that its session is closed"
        )
    if kind is Kind.NODE and len(voters(members)) == 1 and not accepted:
        other = voters(members)[0].machine
        return (
            f"{other} and {machine} would be the only voters: the loss of either machine, even of an idle "
            "one, stops every failover service on both. Add a witness first (`standfast cluster witness` "
            "on a third machine), or say --accept-two-voters"
        )
    return ""
