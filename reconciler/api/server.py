"""The table of routes → a server on the agent's unix socket, and over TLS, that asks who everybody is."""

import contextlib
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

from aiohttp import web

from reconciler.api import tls
from reconciler.api.agent import Agent, Principal, Role
from reconciler.api.handlers import PRINCIPAL, Handlers, Refusal, faults_as_json
from reconciler.api.peers import Peers
from reconciler.api.routes import ROUTES, Route
from reconciler.errors import MayHeal, NeedsPerson
from reconciler.settings import Api

LONGEST = 107  # bytes in the path of a unix socket
LARGEST = 1024 * 1024  # bytes in the body of a request

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Serves `agent` at `path`; `roles` maps unix groups to viewer, operator or admin."""

    def __init__(self, agent: Agent, path: Path, roles: Mapping[str, str]) -> None:
        self.path = path
        self._handlers = Handlers(agent)
        self._peers = Peers(roles)
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1.0)
        self._inode = 0
        self._names: tls.Names | None = None
        self._listener: tls.Listener | None = None

    async def start(self) -> None:
        """Listen. A stale socket is replaced; NeedsPerson when somebody answers there."""
        await self._runner.setup()
        listener = listen(self.path)
        self._inode = os.stat(self.path).st_ino
        await web.SockSite(self._runner, listener).start()

    async def serve_others(self, api: Api) -> int:
        """The same over TLS; returns the port. Raises NeedsPerson, MayHeal: why that cannot be."""
        server = self._runner.server
        assert server is not None  # it was started
        self._names = tls.Names(api)
        self._listener = await tls.listen(api, server)
        return self._listener.port

    async def close(self) -> None:
        """Let every client go and remove the socket, if it is still ours."""
        self._handlers.streams.end()
        if self._listener:
            await self._listener.close()
        with contextlib.suppress(OSError):
            if os.stat(self.path).st_ino == self._inode:
                os.unlink(self.path)
        await self._runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[faults_as_json], client_max_size=LARGEST)
        for route in ROUTES:
            handler: Handler = getattr(self._handlers, route.handler)
            application.router.add_route(route.method, route.path, self._guarded(route, handler))
        return application

    def _guarded(self, route: Route, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            principal = await self._principal(request)
            if principal.role < route.role:
                raise Refusal(403, *self._denial(principal, route.role))
            request[PRINCIPAL] = principal
            return await handler(request)

        return guarded

    async def _principal(self, request: web.Request) -> Principal:
        connection = request.transport.get_extra_info("socket") if request.transport else None
        if request.transport is None or connection is None:
            raise MayHeal("the connection has ended")
        if connection.family == socket.AF_UNIX:
            return await self._peers.principal(connection)
        assert self._names is not None  # nobody else comes by TCP
        if request.method == "POST" and request.content_type != "application/json":
            # What a page of somebody else can make a browser send, with the certificate in it.
            raise Refusal(415, "the body is not said to be JSON", "send Content-Type: application/json")
        return self._names.principal(tls.shown_certificate(request.transport))

    def _denial(self, who: Principal, needed: Role) -> tuple[str, str]:
        name = who.name
        if who.by_certificate:
            has = f"is {who.role} here" if who.role else "has no role here"
            return f"{name} {has}, and this needs {needed}", who.way(needed)
        groups = self._peers.groups_for(needed)
        if not groups:
            return (
                f"{name} may not do this: only root may",
                "use sudo, or name a unix group under `roles` in node.yaml",
            )
        members = f"the group {groups[0]}" if len(groups) == 1 else f"one of the groups {', '.join(groups)}"
        return f"{name} may not do this: it needs {members}", f"ask to be added to {groups[0]}, or use sudo"


def listen(path: Path) -> socket.socket:
    """A listening socket at `path` that everybody may connect to, put in place by rename."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if _answers(path):
            raise NeedsPerson(
                f"another agent answers at {path}: stop it, or choose another --run directory"
            )
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with short(fresh) as address:
            listener.bind(address)
        os.chmod(fresh, 0o666)
        listener.listen(128)
        os.rename(fresh, path)
    except OSError as fault:
        raise MayHeal(f"cannot listen at {path}: {fault.strerror}: check the directory") from fault
    return listener


@contextlib.contextmanager
def short(path: Path) -> Iterator[str]:
    """A name of `path` that fits into a socket address."""
    if len(os.fsencode(path)) <= LONGEST:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def _answers(path: Path) -> bool:
    """Whether somebody listens there; anything but a socket at that name is a person's file."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise NeedsPerson(f"{path} is in the way and is not a socket: remove it")
    except FileNotFoundError:
        return False
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with probe, short(path) as address:
        probe.settimeout(1.0)
        try:
            probe.connect(address)
        except TimeoutError:
            return True
        except OSError:
            return False
    return True
