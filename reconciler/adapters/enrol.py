"""A token and requests for certificates → a member: the side that lets in, and the one that asks.

Who asks believes nobody but the authority whose fingerprint is in the token, and who lets in believes
the token's secret. Names and purposes of certificates are those the cluster decides.
"""

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from reconciler.adapters import etcd_members, pki, tokens
from reconciler.adapters.etcd_gateway import Gateway
from reconciler.adapters.etcd_unit import Files, Unit, url
from reconciler.adapters.store_etcd import EtcdStore
from reconciler.adapters.tokens import Token
from reconciler.decide import keys, sessions
from reconciler.decide.voters import Kind, Member, name_of, refused
from reconciler.errors import MayHeal, NeedsPerson

ADDED, ANSWERED = 8.0, 20.0  # seconds to be taken in, and for the whole answer
MOST = 64 * 1024  # bytes


@dataclass(frozen=True)
class Asked:
    """What who wants to join says. `address` and `peer_port` are empty for a client."""

    kind: Kind
    machine: str
    secret: str = field(repr=False)
    client_request: str
    address: str = ""
    client_port: int = 0
    peer_port: int = 0
    member_request: str = ""
    accept_two_voters: bool = False

    @property
    def peer(self) -> str:
        return url(self.address, self.peer_port)


@dataclass(frozen=True)
class LetIn:
    """The answer. `authority_key`: for a node that votes, which may let others in then."""

    authority: str
    client: str
    endpoints: tuple[str, ...]
    failover_time: str | float
    election: float
    authority_key: str = field(default="", repr=False)
    member: str = ""
    peer: str = ""
    member_id: str = ""
    cluster: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    token: str = ""


# --- who lets in ---------------------------------------------------------------------------------


class Doorkeeper:
    """On a node that votes and has the authority's key."""

    def __init__(self, unit: Unit, by: pki.Pair, store: EtcdStore, gateway: Gateway) -> None:
        self._unit, self._by, self._store, self._gateway = unit, by, store, gateway
        self._turn = asyncio.Lock()  # etcd takes one new member at a time

    async def let_in(self, asked: Asked, seen_from: str) -> LetIn:
        """Raises NeedsPerson, MayHeal; the token is good for another try then."""
        async with self._turn:
            found = await tokens.known(self._store, asked.secret)
            there = await etcd_members.members(self._gateway)
            two, lives = asked.accept_two_voters, await self._has_session(asked.machine)
            if why := refused(there, asked.kind, asked.machine, two, lives):
                raise NeedsPerson(why)
            client = pki.sign_client(self._by, asked.client_request, asked.machine)
            answer = LetIn(
                self._by.certificate,
                client,
                tuple(url for member in there for url in member.clients),
                self._unit.failover_time,
                self._unit.election,
            )
            if asked.kind is not Kind.CLIENT:
                addresses = (asked.address, seen_from, "127.0.0.1", "::1")
                asks = (self._by, asked.member_request, asked.machine, addresses)
                signed = pki.sign_member(*asks), pki.sign_peer(*asks)
            await tokens.use(self._store, asked.secret, found)
            if asked.kind is Kind.CLIENT:
                return answer
            try:
                return await self._member(asked, answer, signed, there)
            except (MayHeal, NeedsPerson):
                await tokens.give_back(self._store, asked.secret, found.value)
                raise

    async def _has_session(self, node: str) -> bool:
        """What cannot be understood counts as one."""
        key = keys.session(node)
        entry = (await self._store.read(key)).entries.get(key)
        if entry is None:
            return False
        session = sessions.read(entry.value)
        return session is None or session.open

    async def _member(
        self, asked: Asked, answer: LetIn, signed: tuple[str, str], there: tuple[Member, ...]
    ) -> LetIn:
        added = await etcd_members.add(self._gateway, asked.peer, ADDED)
        cluster = {member.name: member.peers for member in there if member.name}
        return LetIn(
            **{
                **vars(answer),
                "authority_key": self._by.key if asked.kind is Kind.NODE else "",
                "member": signed[0],
                "peer": signed[1],
                "member_id": added,
                "cluster": {**cluster, name_of(asked.kind, asked.machine): (asked.peer,)},
                "token": self._unit.token,
            }
        )


async def serve(files: Files, unit: Unit, keeper: Doorkeeper, authority: str) -> web.AppRunner:
    """Listens until it is cleaned up. Raises OSError."""

    async def certificate(request: web.Request) -> web.Response:
        return web.Response(text=authority)

    async def join(request: web.Request) -> web.Response:
        try:
            said = await request.json()
            asked = Asked(**{**said, "kind": Kind(said["kind"])})
        except (ValueError, TypeError, KeyError) as fault:
            return web.json_response({"error": f"this is no request to join: {fault}"}, status=400)
        try:
            return web.json_response(asdict(await keeper.let_in(asked, request.remote or "127.0.0.1")))
        except NeedsPerson as fault:
            return web.json_response({"error": str(fault)}, status=409)
        except (MayHeal, ValueError) as fault:
            return web.json_response({"error": str(fault)}, status=503)

    app = web.Application(client_max_size=MOST)
    app.add_routes([web.get("/ca", certificate), web.post("/join", join)])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.pki / "member.pem", files.pki / "member.key")
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, unit.address, unit.enrol_port, ssl_context=context).start()
    return runner


# --- who asks --------------------------------------------------------------------------------------


async def ask(token: Token, asked: Asked) -> LetIn:
    """By the first that answers of those in the token. Raises NeedsPerson, MayHeal."""
    failures: list[str] = []
    for at in token.at:
        try:
            async with asyncio.timeout(ANSWERED):
                authority = await _authority(at, token.authority)
                return await _let_in(at, authority, asked)
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            failures.append(f"{at}: {fault or 'does not answer'}")
    raise MayHeal(f"nobody lets us in: {'; '.join(failures)}: is `standfast cluster etcd` running there?")


async def _authority(at: str, fingerprint: str) -> str:
    """Fetched from anybody, believed for its fingerprint."""
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.get(f"https://{at}/ca", ssl=False) as reply,
    ):
        text = await reply.text()
    try:
        found = pki.fingerprint(text)
    except ValueError:
        found = ""
    if found != fingerprint:
        raise NeedsPerson(
            f"{at} is not of the cluster that the token is for: its authority has another fingerprint. "
            "Nothing was told to it; make a new token, and look who answers there"
        )
    return text


async def _let_in(at: str, authority: str, asked: Asked) -> LetIn:
    context = ssl.create_default_context(cadata=authority)
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.post(f"https://{at}/join", json=asdict(asked), ssl=context) as reply,
    ):
        try:
            said: Any = json.loads(await reply.text())
            if reply.status == 200:
                cluster = {name: tuple(urls) for name, urls in said.pop("cluster").items()}
                return LetIn(**{**said, "endpoints": tuple(said["endpoints"]), "cluster": cluster})
            text = str(said["error"])
        except (ValueError, TypeError, KeyError):
            raise MayHeal(f"{at} does not answer as a node of Standfast does") from None
    raise (NeedsPerson if reply.status in (400, 409) else MayHeal)(text)
