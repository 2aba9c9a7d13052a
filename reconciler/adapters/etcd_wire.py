"""Keys, values and comparisons → JSON of etcd's gateway, and its answers → entries, changes, faults.

The gateway leaves out every field that is zero: no `succeeded` is false, no `type` is a put, no
`kvs` are none. Integers of 64 bits come as strings. Keys and values are base64.
"""

import base64
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from reconciler.contracts import Change, Entry

Json = dict[str, Any]

LARGEST_COMMIT = 128
"""Comparisons, and puts and deletes together, that etcd takes in one commit."""
LARGEST_BYTES = 1_500_000
"""Bytes of a commit as etcd stores it; its own default limit is 1.5 MiB."""


class Meaning(Enum):
    """What an error of etcd says about the request it answers."""

    ELSEWHERE = "not done; another member may do it"
    TOKEN = "not done; authenticate and ask again"
    REFUSED = "not done, and will not be until a person acts"
    NOT_NOW = "not done; may be later"
    COMPACTED = "not done; that revision is no longer kept"
    FUTURE = "not done; that revision is not there yet"
    UNKNOWN = "perhaps done"


_MEANINGS = (
    ("no leader", Meaning.ELSEWHERE),
    ("too many requests", Meaning.ELSEWHERE),
    ("not supported for learner", Meaning.ELSEWHERE),
    ("invalid auth token", Meaning.TOKEN),
    ("user name is empty", Meaning.TOKEN),
    ("revision in header is old", Meaning.TOKEN),
    ("permission denied", Meaning.REFUSED),
    ("authentication failed", Meaning.REFUSED),
    ("commonname of client", Meaning.REFUSED),
    ("request is too large", Meaning.REFUSED),
    ("message larger than max", Meaning.REFUSED),
    ("database space exceeded", Meaning.NOT_NOW),
    ("has been compacted", Meaning.COMPACTED),
    ("future revision", Meaning.FUTURE),
)
_CLEARLY_NOT_DONE = {3, 5, 9, 12}  # gRPC: invalid argument, not found, precondition, unimplemented
_TODO = {
    "permission denied": "grant the user readwrite on every key that begins with the prefix",
    "authentication failed": "check the user and the password",
    "commonname of client": "give the agents client certificates with an empty common name",
    "request is too large": "make the document smaller",
    "message larger than max": "make the document smaller",
    "database space exceeded": "compact it, then `etcdctl defrag` each member and `etcdctl alarm disarm`",
}


@dataclass(frozen=True)
class EtcdError:
    """An error as etcd put it."""

    code: int
    text: str

    @property
    def meaning(self) -> Meaning:
        text = self.text.lower()
        for words, meaning in _MEANINGS:
            if words in text:
                return meaning
        return Meaning.NOT_NOW if self.code in _CLEARLY_NOT_DONE else Meaning.UNKNOWN

    def __str__(self) -> str:
        todo = next((todo for words, todo in _TODO.items() if words in self.text.lower()), "")
        text = self.text.removeprefix("etcdserver: ")
        return f"{text}: {todo}" if todo else text


def error_of(status: int, body: bytes) -> EtcdError:
    """The two shapes of errors, and whatever a proxy in between may say."""
    try:
        said = json.loads(body)
        fault = said["error"]
    except (ValueError, KeyError, TypeError):
        text = body[:200].decode(errors="replace").strip()
        return EtcdError(0, f"HTTP {status} {text}".strip())
    if isinstance(fault, dict):
        return EtcdError(int(fault.get("grpc_code", 0)), str(fault.get("message", fault)))
    return EtcdError(int(said.get("code", 0)), str(fault))


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def text_of(coded: str) -> str:
    # Somebody else may have written there what is not text: their mistake must not stop us.
    return base64.b64decode(coded).decode(errors="replace")


def after_prefix(prefix: str) -> str:
    """The first key, in base64, that is behind all that begin with the prefix."""
    key = prefix.encode().rstrip(b"\xff")
    return base64.b64encode(key[:-1] + bytes((key[-1] + 1,)) if key else b"\0").decode()


def number(message: Mapping[str, Any], name: str) -> int:
    return int(message.get(name, 0))


def revision_of(message: Mapping[str, Any]) -> int:
    return number(message.get("header", {}), "revision")


def cluster_of(message: Mapping[str, Any]) -> str:
    """The cluster's id as text, "" when the answer does not say."""
    return str(message.get("header", {}).get("cluster_id", ""))


def unchanged(key: str, revision: int) -> Json:
    """Compares a key's revision; 0 holds when there is no such key."""
    return {"key": b64(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}


def has_value(key: str, value: str) -> Json:
    return {"key": b64(key), "target": "VALUE", "result": "EQUAL", "value": b64(value)}


def put(key: str, value: str) -> Json:
    return {"request_put": {"key": b64(key), "value": b64(value)}}


def delete(key: str) -> Json:
    return {"request_delete_range": {"key": b64(key)}}


def get(key: str) -> Json:
    return {"request_range": {"key": b64(key)}}


def txn(compare: Collection[Json], success: Collection[Json], failure: Collection[Json] = ()) -> Json:
    return {"compare": list(compare), "success": list(success), "failure": list(failure)}


def entries_of(message: Mapping[str, Any], prefix: str) -> dict[str, Entry]:
    """Keys without the prefix, in order."""
    return {
        text_of(kv["key"])[len(prefix) :]: Entry(text_of(kv.get("value", "")), number(kv, "mod_revision"))
        for kv in message.get("kvs", ())
    }


def changes_of(message: Mapping[str, Any], prefix: str) -> list[Change]:
    found: list[Change] = []
    for event in message.get("events", ()):
        kv = event["kv"]
        gone = event.get("type") == "DELETE"
        value = None if gone else text_of(kv.get("value", ""))
        found.append(Change(text_of(kv["key"])[len(prefix) :], value, number(kv, "mod_revision")))
    return found
