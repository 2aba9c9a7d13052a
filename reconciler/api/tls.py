"""Certificate files and roles → a listener for others: who shows no certificate of ours gets no answer."""

import asyncio
import ipaddress
import logging
import os
import socket
import ssl
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reconciler.api.agent import Principal, Role
from reconciler.api.peers import ROLES
from reconciler.errors import MayHeal, NeedsPerson
from reconciler.settings import Api

HANDSHAKE = 10.0  # seconds
HANDSHAKES = 32  # at once: who only connects must not cost the agent its file descriptors
SAY_EVERY = 10.0  # seconds between two lines about who was not let in
NOBODY = -1  # as uid: the kernel does not know who it is

Protocol = Callable[[], asyncio.BaseProtocol]
log = logging.getLogger("standfast.api")


class Names:
    """`roles`: name in a certificate → viewer, operator or admin; `default`: of any other, "" for none."""

    def __init__(self, api: Api) -> None:
        self._roles, self._default = dict(api.roles), api.default

    def principal(self, certificate: Mapping[str, Any]) -> Principal:
        """`certificate`: as the TLS library tells of one that it has verified."""
        name = name_of(certificate)
        given = self._roles.get(name, self._default) if name else ""
        shown = f"{name} via TLS" if name else "a certificate without a name via TLS"
        return Principal(NOBODY, shown, ROLES.get(given, Role.NONE), name)


def name_of(certificate: Mapping[str, Any]) -> str:
    """Its common name; the first URI or DNS name where it has none; "" for what has neither."""
    subject = [pair for part in certificate.get("subject", ()) for pair in part]
    names = [value for kind, value in subject if kind == "commonName"]
    others = certificate.get("subjectAltName", ())
    for wanted in ("URI", "DNS"):
        names += [value for kind, value in others if kind == wanted]
    found = next((name.strip() for name in names if name.strip()), "")
    return found if found.isprintable() else ""


def context(api: Api) -> ssl.SSLContext:
    """Raises NeedsPerson with the file that will not do, and why. Reads files: may block."""
    for keyword in ("certificate", "key", "client_ca"):
        _readable(keyword, getattr(api, keyword))
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.verify_mode = ssl.CERT_REQUIRED
    try:
        made.load_verify_locations(api.client_ca)
    except ssl.SSLError as fault:
        raise NeedsPerson(
            f"spec.api.client_ca: {api.client_ca} has no certificate: {_plain(fault)}"
        ) from None
    try:
        made.load_cert_chain(api.certificate, api.key, _no_password)
    except ssl.SSLError as fault:
        raise NeedsPerson(
            f"spec.api: {api.certificate} and {api.key} are no certificate and its key: {_plain(fault)}"
        ) from None
    return made


def _readable(keyword: str, path: str) -> None:
    where = f"spec.api.{keyword}"
    if not Path(path).is_absolute():
        raise NeedsPerson(f"{where}: {path!r} is not an absolute path: write it from the root, /etc/…")
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            file.read(1)
    except OSError as fault:
        raise NeedsPerson(f"{where}: {path} cannot be read: {fault.strerror}") from None
    if keyword == "key" and mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise NeedsPerson(f"{where}: others may read or write {path}: chmod 600 {path}")


def _no_password() -> str:
    """The library would ask for it at a terminal."""
    raise NeedsPerson("spec.api.key: it has a password: `openssl pkey -in OLD -out NEW` makes one without")


def _plain(fault: ssl.SSLError) -> str:
    return (fault.reason or str(fault)).lower().replace("_", " ")


class Listener:
    """Takes connections at one address; each speaks `protocol` once it has shown its certificate."""

    def __init__(self, listener: socket.socket, made: ssl.SSLContext, protocol: Protocol) -> None:
        self._socket, self._context, self._protocol = listener, made, protocol
        self._room = asyncio.Semaphore(HANDSHAKES)
        self._open = set[asyncio.Task[None]]()
        self._said = 0.0
        self._accepting = asyncio.create_task(self._accept(), name="accept TLS")

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    async def close(self) -> None:
        """Nobody more is let in; who is, is left to the server."""
        tasks = {self._accepting, *self._open}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._socket.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._room.acquire()
            try:
                connection, address = await loop.sock_accept(self._socket)
            except OSError as fault:  # no file descriptors left, or who came has gone
                self._room.release()
                self._say(f"cannot take a connection: {fault.strerror}")
                await asyncio.sleep(0.1)
                continue
            task = asyncio.create_task(self._greet(connection, str(address[0])))
            self._open.add(task)
            task.add_done_callback(self._greeted)

    def _greeted(self, task: asyncio.Task[None]) -> None:
        self._open.discard(task)
        self._room.release()

    async def _greet(self, connection: socket.socket, who: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                self._protocol, connection, ssl=self._context, ssl_handshake_timeout=HANDSHAKE
            )
        except ssl.SSLError as fault:
            self._say(f"{who} is not let in: {getattr(fault, 'verify_message', '') or _plain(fault)}")
        except OSError:  # it left, or said nothing
            pass
        except asyncio.CancelledError:
            connection.close()
            raise

    def _say(self, text: str) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._said:
            self._said = now + SAY_EVERY
            log.warning("API over TLS: %s", text)


async def listen(api: Api, protocol: Protocol) -> Listener:
    """Raises NeedsPerson, MayHeal: why nobody can be served there."""
    made = await asyncio.to_thread(context, api)
    return Listener(_bound(api.listen), made, protocol)


def _bound(listen: str) -> socket.socket:
    """`10.0.0.1:9834`, `[2001:db8::1]:9834`; `:9834` is every address of this host."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        family = socket.AF_INET6 if not host or ipaddress.ip_address(host).version == 6 else socket.AF_INET
        number = int(port)
        if not 0 <= number <= 65535:
            raise ValueError
    except ValueError:
        raise NeedsPerson(
            f"spec.api.listen: {listen!r} is not an address and a port: write 10.0.0.1:9834"
        ) from None
    try:
        both = not host and socket.has_dualstack_ipv6()
        family = family if host or both else socket.AF_INET
        made = socket.create_server((host, number), family=family, backlog=128, dualstack_ipv6=both)
    except OSError as fault:
        why = os.strerror(fault.errno) if fault.errno else str(fault)
        raise MayHeal(f"spec.api.listen: cannot listen on {listen}: {why}") from None
    made.setblocking(False)
    return made


def shown_certificate(transport: asyncio.BaseTransport) -> Mapping[str, Any]:
    """What the other end showed, verified; {} if it showed nothing."""
    secured: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    return dict((secured and secured.getpeercert()) or {})
