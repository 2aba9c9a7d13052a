"""Sessions, claims, what nodes tell of themselves → the nodes as candidates, kept up by every change."""

import math
from collections.abc import Mapping
from dataclasses import replace

from reconciler.decide import hosts
from reconciler.decide.candidates import Peer
from reconciler.decide.claims import Claim, free
from reconciler.decide.hosts import Host, Told
from reconciler.decide.sessions import Session

UP = ("up", "n/a")
"""Of a service on which others stand: all that has a state is up."""


class Peers:
    """`all` is live: what is by service changes in place, for there may be thousands of them."""

    def __init__(self) -> None:
        self.all: dict[str, Peer] = {}
        self.hosts: dict[str, Host] = {}
        self.told: dict[str, dict[str, Told]] = {}  # by node and service

    def session(
        self, node: str, session: Session | None, claims: Mapping[str, Mapping[int, Claim | None]]
    ) -> None:
        """`claims`: of all services; what this node held under an earlier session it holds no more."""
        alive = session is not None and session.open
        sessions = {node: session}
        held = {
            service
            for service, slots in claims.items()
            if any(c and c.node == node and not free(c, sessions) for c in slots.values())
        }
        peer = self._peer(node)
        unending = session is not None and math.isinf(session.wait)
        self.all[node] = replace(peer, alive=alive, maintenance=alive and unending, holds=held)

    def claim(self, service: str, before: Claim | None, now: Claim | None, session: Session | None) -> None:
        """`session`: of the node that has it now."""
        if before:
            _discard(self._peer(before.node).holds, service)
        if now and (before is None or (before.node, before.epoch) != (now.node, now.epoch)):
            _discard(self._peer(now.node).up, service)  # what was told is of the time before
        if now and not free(now, {now.node: session}):
            _add(self._peer(now.node).holds, service)

    def host(self, node: str, text: str | None) -> bool:
        """Whether anything of it decides who may run what. None: it has left."""
        before = self.hosts.pop(node, Host())
        told = hosts.host(text) if text else Host()
        if text:
            self.hosts[node] = told
        self.all[node] = replace(
            self._peer(node),
            env=told.env,
            load=told.load,
            score=told.score,
            memory=told.memory,
            swap=told.swap,
            frozen=told.frozen,
            drained=told.drained,
        )
        return (before.env, before.frozen, before.drained) != (told.env, told.frozen, told.drained)

    def labels(self) -> dict[str, dict[str, str]]:
        """Of every host that told of itself, by name."""
        return {node: dict(host.labels) for node, host in sorted(self.hosts.items())}

    def status(self, node: str, service: str, text: str | None) -> bool:
        """Whether anything of it decides who may run it."""
        peer, told = self._peer(node), hosts.told(text) if text else Told()
        here = self.told.setdefault(node, {})
        before = here.get(service, Told())
        if text:
            here[service] = told
        else:
            here.pop(service, None)
        for kept, value in (
            (peer.failed, told.failed),
            (peer.cannot, told.cannot),
            (peer.started, told.started),
        ):
            assert isinstance(kept, dict)
            if value:
                kept[service] = value
            else:
                kept.pop(service, None)
        (_add if told.loose else _discard)(peer.loose, service)
        (_add if told.instance.get("avail") in UP else _discard)(peer.up, service)
        return (before.failed, before.cannot, before.loose) != (told.failed, told.cannot, told.loose)

    def is_up(self, node: str, service: str) -> bool:
        """As that node last told."""
        return service in self._peer(node).up

    def _peer(self, node: str) -> Peer:
        if node not in self.all:
            self.all[node] = Peer(
                node, alive=False, cannot={}, failed={}, started={}, holds=set(), loose=set(), up=set()
            )
        return self.all[node]


def _add(names: object, service: str) -> None:
    assert isinstance(names, set)
    names.add(service)


def _discard(names: object, service: str) -> None:
    assert isinstance(names, set)
    names.discard(service)
