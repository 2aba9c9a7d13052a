"""Options of `standfast cluster` → this host: its settings and files, and the store as it reaches it."""

import asyncio
import contextlib
import ipaddress
import os
import pwd
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reconciler.adapters import etcd_keeper, etcd_unit
from reconciler.adapters.etcd_beside import patient
from reconciler.adapters.etcd_endpoint import DAMAGING, OLDEST
from reconciler.adapters.etcd_gateway import Gateway
from reconciler.adapters.etcd_unit import Files, Unit
from reconciler.adapters.keepsake import FileKeepsake
from reconciler.adapters.node_file import NodeFile
from reconciler.adapters.places import with_paths
from reconciler.adapters.store_etcd import EtcdStore
from reconciler.cli import client, foreground, output
from reconciler.contracts import Identity, Mark
from reconciler.decide.voters import misnamed
from reconciler.errors import MayHeal, NeedsPerson
from reconciler.settings import Etcd, Settings

SERVES = 30.0  # seconds that a new etcd has to serve


@dataclass(frozen=True)
class Host:
    settings: Settings
    node_file: NodeFile
    files: Files
    unit: Unit | None
    detached: bool

    @property
    def keepsake(self) -> FileKeepsake:
        return FileKeepsake(self.settings.run, self.settings.state)

    @property
    def etcd(self) -> Etcd | None:
        """As node.yaml names it; on a witness, which has none, as its own etcd is reached."""
        if self.settings.etcd or not self.unit:
            return self.settings.etcd
        return self.files.reached((self.unit.client_url, *self._kept()))

    def _kept(self) -> list[str]:
        with contextlib.suppress(OSError, ValueError):
            return self.files.endpoints_kept.read_text(encoding="utf-8").split()
        return []


def of(args: Any) -> Host:
    """Raises client.Failed for a node.yaml with faults."""
    path = Path(args.node) if args.node else foreground.NODE_FILE
    there = str(path) if path.exists() else ""
    settings = foreground.node_settings(name=args.name or "", file=there, use_file=False)
    settings = with_paths(settings, state=args.state, run=args.run)
    if args.name:
        settings = replace(settings, node=args.name)
    files = Files(settings.state.absolute(), settings.run.absolute())
    return Host(settings, NodeFile(path), files, etcd_unit.load(files), args.detached)


def act(work: Coroutine[Any, Any, int]) -> int:
    """Its exit code; what a person must know becomes one line."""
    try:
        return asyncio.run(work)
    except NeedsPerson as fault:
        raise client.Failed(client.REFUSED, str(fault)) from None
    except MayHeal as fault:
        raise client.Failed(client.FAILED, str(fault)) from None


@asynccontextmanager
async def reached(
    host: Host, etcd: Etcd | None = None, known: Identity | None = None
) -> AsyncIterator[tuple[EtcdStore, Gateway]]:
    """The store of the cluster this host is in. Raises NeedsPerson when it is in none."""
    at = etcd or host.etcd
    if at is None:
        raise NeedsPerson("this host is alone: `standfast cluster init` makes a cluster, `join` enters one")
    settings = patient(at)
    store, gateway = EtcdStore(settings, known), Gateway(settings)
    try:
        yield store, gateway
    finally:
        await store.close()
        await gateway.close()


async def served(store: EtcdStore, within: float = SERVES) -> Identity:
    """Once it answers with all the members' consent. Raises MayHeal."""
    until = asyncio.get_running_loop().time() + within
    while True:
        try:
            return await store.identity()
        except MayHeal:
            if asyncio.get_running_loop().time() > until:
                raise
        await asyncio.sleep(0.05)


def new_member(host: Host, args: Any) -> None:
    """That this host can get an etcd. Raises NeedsPerson."""
    alone(host)
    if why := misnamed(host.settings.node):
        raise NeedsPerson(why)
    try:
        address = ipaddress.ip_address(args.listen)
    except ValueError:
        raise NeedsPerson(f"{args.listen} is no address of a host: write --listen 10.0.0.1") from None
    if address.is_unspecified:  # the others would be told to ask themselves
        raise NeedsPerson(
            f"{args.listen} is every address of this host: name the one that the others reach it by"
        )
    ports = (args.client_port, args.peer_port, args.enrol_port)
    if len(set(ports)) < len(ports):
        raise NeedsPerson(f"ports {', '.join(map(str, ports))}: each has to be another one")
    for port in ports:
        _free(args.listen, port)
    found = etcd_keeper.version()
    numbers = tuple(map(int, re.findall(r"\d+", found)[:3]))
    if numbers in DAMAGING:
        raise NeedsPerson(
            f"etcd {found} can corrupt its data when it is killed: install 3.4, or 3.5.3 or later"
        )
    if numbers < OLDEST:
        raise NeedsPerson(f"etcd {found or 'without a version'} is too old: install 3.4 or later")


def alone(host: Host) -> None:
    """That it is in no cluster yet. Raises NeedsPerson."""
    if host.settings.etcd:
        raise NeedsPerson(
            f"this host has a cluster already: {host.node_file.path} names its store: "
            "`standfast cluster status` shows it, `standfast cluster leave` leaves it"
        )
    if host.unit and host.unit.witness:
        raise NeedsPerson(f"{host.settings.node} is a witness: `standfast cluster leave` first")
    for path in (host.files.unit, host.files.data, host.files.pki):
        if path.exists():
            raise NeedsPerson(
                f"this host had a cluster: {path} is there: `standfast cluster leave --local` removes it"
            )


def _free(address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((address, port))
    except (OSError, OverflowError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else fault
        raise NeedsPerson(
            f"{etcd_unit.host_port(address, port)} cannot be listened on: {why}: "
            "name an address of this host, and ports that nobody has"
        ) from None


def user() -> str:
    return os.environ.get("SUDO_USER") or pwd.getpwuid(os.geteuid()).pw_name


def remembered(host: Host, found: Identity) -> Mark:
    """The store that is ours from now on; epochs go on above all that were remembered."""
    return Mark(found, host.keepsake.mark().epoch)


Undo = Callable[[], Awaitable[None] | None]


class Steps:
    """What was made so far; taken back, the last first, when the block fails, and said."""

    def __init__(self) -> None:
        self._done: list[tuple[str, Undo]] = []

    def done(self, what: str, undo: Undo) -> None:
        self._done.append((what, undo))

    async def __aenter__(self) -> "Steps":
        return self

    async def __aexit__(self, kind: Any, fault: BaseException | None, trace: Any) -> None:
        if fault is None:
            return
        for what, undo in reversed(self._done):
            try:
                if (work := undo()) is not None:
                    await work
                output.complain(f"taken back: {what}")
            except (NeedsPerson, MayHeal, OSError) as trouble:
                output.complain(f"left behind: {what}: {trouble}")


def why_not(host: Host, fault: Exception) -> str:
    """With the last words of an etcd that does not come up."""
    with contextlib.suppress(OSError):
        lines = host.files.log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line for line in lines if '"level":"warn"' not in line][-1:]
        return f"{fault}; {host.files.log} ends with: {said[0][:400]}" if said else str(fault)
    return f"{fault}; look at `journalctl -u {etcd_unit.SERVICE}`"


def said_yes(args: Any, question: str) -> None:
    """By `--yes`, or on the terminal. Raises Failed when nobody does."""
    if not (args.yes or output.confirmed(question, "yes")):
        raise client.Failed(client.FAILED, "nothing was done: nobody said yes (--yes)")
