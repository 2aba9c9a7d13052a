"""Where to ask, whom to believe, a secret and its end → one word to type on the host that joins, and back.

The store keeps the secret's digest only, until it was used or its time is over.
"""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from reconciler.contracts import Entry, Store
from reconciler.errors import NeedsPerson

BEGIN = "sf1."
KEYS = "tokens/"


@dataclass(frozen=True)
class Token:
    """`at`: HOST:PORT of those who let in. `authority`: the fingerprint of the certificate to believe."""

    at: tuple[str, ...]
    authority: str
    secret: str = field(repr=False)
    until: float  # wall-clock

    @property
    def key(self) -> str:
        return KEYS + hashlib.sha256(self.secret.encode()).hexdigest()


def made(at: Sequence[str], authority: str, valid: float) -> Token:
    return Token(tuple(at), authority, secrets.token_urlsafe(24), int(time.time() + valid))


def written(token: Token) -> str:
    plain = {"at": token.at, "ca": token.authority, "s": token.secret, "x": token.until}
    text = json.dumps(plain, separators=(",", ":")).encode()
    return BEGIN + base64.urlsafe_b64encode(text).decode().rstrip("=")


def read(text: str, now: float) -> Token:
    """Raises NeedsPerson for what is none, or not any more."""
    todo = "make one with `standfast cluster token` on a node of the cluster"
    body = text.strip().removeprefix(BEGIN)
    try:
        if body == text.strip():
            raise ValueError
        kept = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        token = Token(tuple(map(str, kept["at"])), str(kept["ca"]), str(kept["s"]), float(kept["x"]))
    except (ValueError, TypeError, KeyError):
        raise NeedsPerson(f"this is no token, or a part of one is missing: {todo}") from None
    if now >= token.until:
        raise NeedsPerson(f"the token has expired: {todo}")
    return token


async def put(store: Store, token: Token, who: str) -> None:
    """From now on it lets one in; those that are over go."""
    old = await store.read(KEYS)
    now = time.time()
    gone = [key for key, entry in old.entries.items() if now >= _until(entry.value)]
    await store.commit({}, {token.key: kept(token.until, who)}, gone[:100])


async def known(store: Store, secret: str) -> Entry:
    """What stands there for it. Raises NeedsPerson for one that lets nobody in."""
    key = Token((), "", secret, 0).key
    found = (await store.read(key)).entries.get(key)
    todo = "make another one with `standfast cluster token`"
    if found is None:
        raise NeedsPerson(f"nobody knows this token: it was used, or is of another cluster: {todo}")
    if time.time() >= _until(found.value):
        raise NeedsPerson(f"the token has expired: {todo}")
    return found


async def use(store: Store, secret: str, found: Entry) -> None:
    """Whoever does it is let in, nobody else by the same. Raises NeedsPerson."""
    key = Token((), "", secret, 0).key
    if await store.commit({key: found.revision}, {}, [key]) is None:
        raise NeedsPerson("somebody else has just used this token: make another one")


async def give_back(store: Store, secret: str, value: str) -> None:
    """Who could not be let in may try again with it."""
    await store.commit({}, {Token((), "", secret, 0).key: value})


def kept(until: float, who: str) -> str:
    return json.dumps({"until": until, "who": who}, sort_keys=True)


def _until(value: str) -> float:
    """Of what cannot be read: over."""
    try:
        return float(json.loads(value)["until"])
    except (ValueError, TypeError, KeyError):
        return 0.0
