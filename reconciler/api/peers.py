"""The other end of a unix socket → Principal: the kernel says who it is, settings what it may."""

import asyncio
import contextlib
import grp
import os
import pwd
import socket
import struct
from collections.abc import Mapping

from reconciler.api.agent import Principal, Role

SO_PEERGROUPS = 59
MOST_BYTES = 1024  # that Python's getsockopt takes: 256 groups
CREDENTIALS = struct.Struct("3i")  # pid, uid, gid
ROLES = {"viewer": Role.VIEWER, "operator": Role.OPERATOR, "admin": Role.ADMIN}


class Peers:
    """`roles`: unix group → viewer, operator or admin. Root and our own uid are admin."""

    def __init__(self, roles: Mapping[str, str]) -> None:
        self.roles = dict(roles)
        self._names: dict[int, str] = {}

    async def principal(self, connection: socket.socket) -> Principal:
        """Who is at the other end, by the credentials and groups it connected with."""
        uid, groups = credentials(connection)
        if uid in (0, os.geteuid()):
            role = Role.ADMIN
        else:
            role = await asyncio.to_thread(self._role, uid, groups)
        return Principal(uid, await self._name(uid), role)

    def groups_for(self, role: Role) -> list[str]:
        """The groups that may do what needs this role."""
        return sorted(group for group, given in self.roles.items() if ROLES.get(given, Role.NONE) >= role)

    def _role(self, uid: int, groups: set[int] | None) -> Role:
        """Names may be looked up over the network: in a thread, and anew each time."""
        groups = _member_of(uid) if groups is None else groups
        found = Role.NONE
        for name, given in self.roles.items():
            with contextlib.suppress(KeyError):  # a group that does not exist (yet) has no members
                if grp.getgrnam(name).gr_gid in groups:
                    found = max(found, ROLES.get(given, Role.NONE))
        return found

    async def _name(self, uid: int) -> str:
        if uid not in self._names:
            self._names[uid] = await asyncio.to_thread(_user, uid)
        return self._names[uid]


def credentials(connection: socket.socket) -> tuple[int, set[int] | None]:
    """uid and all group ids of the peer, as they were when it connected; None: too many to tell."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _pid, uid, gid = CREDENTIALS.unpack(raw)
    try:
        more = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, MOST_BYTES)
    except OSError:
        return uid, None
    return uid, {gid, *struct.unpack(f"{len(more) // 4}I", more)}


def _member_of(uid: int) -> set[int]:
    """By the user database."""
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return set()
    return set(os.getgrouplist(user.pw_name, user.pw_gid))


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
