"""Requests → answers of one etcd member: HTTP on kept connections, and what went wrong in words.

Whether a request that failed can have been carried out is said by the class of what is raised.
"""

import asyncio
import contextlib
import json
import re
import ssl
from collections.abc import AsyncGenerator, Callable
from typing import Any

import aiohttp

from reconciler.adapters.etcd_wire import EtcdError, Json, error_of
from reconciler.errors import NeedsPerson

OLDEST = (3, 4, 0)
DAMAGING = ((3, 5, 0), (3, 5, 1), (3, 5, 2))  # may lose writes without a word when a member is killed


class NotDone(Exception):
    """The request did not reach etcd, or was turned away."""


class TlsRefused(NotDone):
    """One of the two did not accept the other's certificate."""


class PerhapsDone(Exception):
    """The request was sent and its answer did not come whole."""


class Answered(Exception):
    """etcd answered with an error."""

    def __init__(self, error: EtcdError) -> None:
        super().__init__(str(error))
        self.error = error


class Endpoint:
    """One member, as we reach it. `failed_at`: the loop's time of its last failure, 0 for none."""

    def __init__(self, url: str, tls: Callable[[], ssl.SSLContext | None], connect: float) -> None:
        self.url = url.rstrip("/")
        self.failed_at = 0.0
        self.trouble: Exception | None = None
        self.greeted = False
        self.version = ""
        self._tls = tls
        self._connect = connect
        self._session: aiohttp.ClientSession | None = None

    async def post(self, path: str, body: Json, token: str, led: bool = True) -> Json:
        """The whole answer. The caller bounds it. Raises NotDone, PerhapsDone or Answered.

        `led`: only of a member that has a leader.
        """
        try:
            async with self._alive(), self._send(path, body, token, led) as reply:
                text = await reply.read()
                if reply.status != 200:
                    raise Answered(error_of(reply.status, text))
        except (aiohttp.ClientError, OSError) as fault:
            raise self._failure(fault) from fault
        return self._json(text)

    async def get(self, path: str) -> str:
        """A page of text, as `/version` is. Raises NotDone."""
        try:
            async with self._alive(), self._open().get(self.url + path) as reply:
                text = await reply.text()
        except (aiohttp.ClientError, OSError) as fault:
            raise (TlsRefused if _in_tls(fault) else NotDone)(self._words(fault)) from fault
        if reply.status != 200:
            raise NotDone(f"{self.url} answers {path} with {reply.status}: is it etcd's client port?")
        return text

    async def stream(self, path: str, body: Json, token: str, first: float) -> AsyncGenerator[Json, None]:
        """Messages until the stream ends; the first within `first` seconds.

        Raises TimeoutError, PerhapsDone (also at its end) or Answered.
        """
        try:
            async with (
                self._alive(),
                asyncio.timeout(first) as limit,
                self._send(path, body, token) as reply,
            ):
                if reply.status != 200:
                    raise Answered(error_of(reply.status, await reply.read()))
                rest = b""
                async for chunk in reply.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
                    for line in filter(None, lines):
                        limit.reschedule(None)
                        message = self._json(line)
                        if "error" in message:
                            raise Answered(error_of(200, line))
                        yield message.get("result", {})
        except (aiohttp.ClientError, OSError) as fault:
            raise PerhapsDone(self._words(fault)) from fault
        raise PerhapsDone(f"{self.url} ended the stream")

    async def learn_version(self) -> None:
        """Raises NeedsPerson for an etcd that must not be used."""
        text = await self.get("/version")
        try:
            self.version = str(json.loads(text)["etcdserver"])
        except (ValueError, KeyError, TypeError):
            raise NotDone(f"{self.url} does not answer as etcd does: is it etcd's client port?") from None
        found = re.match(r"(\d+)\.(\d+)\.(\d+)", self.version)
        version = tuple(map(int, found.groups())) if found else ()
        if version in DAMAGING:
            raise NeedsPerson(
                f"etcd {self.version} at {self.url} can corrupt its data when it is killed: "
                "install 3.4, or 3.5.3 or later"
            )
        if version < OLDEST:
            raise NeedsPerson(f"etcd {self.version} at {self.url} is too old: install 3.4 or later")

    async def close(self) -> None:
        """End every connection to it; the next request opens a new one."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @contextlib.asynccontextmanager
    async def _alive(self) -> AsyncGenerator[None, None]:
        """Ended by `close` meanwhile, a connection is broken off: to the library it is misused by us."""
        session = self._open()
        try:
            yield
        except RuntimeError as fault:
            if not session.closed:
                raise
            raise aiohttp.ClientConnectionError("its connections were ended here") from fault

    def _send(self, path: str, body: Json, token: str, led: bool = True) -> Any:
        headers = {"Content-Type": "application/json"}
        if led:
            headers["Grpc-Metadata-hasleader"] = "true"
        if token:
            headers["Authorization"] = token
        return self._open().post(f"{self.url}/v3/{path}", data=json.dumps(body), headers=headers)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = self._tls()  # read again, so that renewed certificates need no restart
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,  # a renewal never waits for a connection that others use
                    ssl=True if context is None else context,
                    keepalive_timeout=60.0,
                ),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session

    def _json(self, text: bytes) -> Json:
        try:
            said = json.loads(text)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise PerhapsDone(f"{self.url} gave half an answer, or one that is not etcd's")
        return said

    def _failure(self, fault: Exception) -> Exception:
        """Nothing is sent before the connection stands; who refuses us in TLS read nothing."""
        if _in_tls(fault):
            return TlsRefused(self._words(fault))
        never = isinstance(fault, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
        return (NotDone if never else PerhapsDone)(self._words(fault))

    def _words(self, fault: Exception) -> str:
        if isinstance(fault, aiohttp.ConnectionTimeoutError):
            return f"{self.url} does not answer"
        if isinstance(fault, aiohttp.ClientConnectorCertificateError):
            return f"the certificate of {self.url} is not good: {fault.certificate_error}: check `ca`"
        if _in_tls(fault):
            return f"{self.url} refuses us in TLS ({fault}): check `certificate`, `key` and the server's CA"
        if isinstance(fault, aiohttp.ClientConnectorError):
            return f"{self.url}: {fault.os_error.strerror or fault.os_error}"
        if isinstance(fault, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError):
            return f"{self.url} broke the connection off"
        return f"{self.url}: {fault}"


def _in_tls(fault: BaseException | None) -> bool:
    while fault is not None:
        if isinstance(fault, ssl.SSLError | aiohttp.ClientSSLError):
            return True
        fault = fault.__cause__ or fault.__context__
    return False
