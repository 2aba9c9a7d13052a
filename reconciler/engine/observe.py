"""Resources of a service → each one's state, read off the facts in the order they stand on each other."""

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from reconciler.asks import Ask, Check, Facts, Program, Unanswered
from reconciler.contracts import Driver, FactHub
from reconciler.decide.references import bind_resource
from reconciler.decide.situations import Seen
from reconciler.model import Observed, Owner, Resource, State, unknown

TURNS = 8
"""Questions that lead to further questions: a driver asks at most this many times in one look."""


class _Bound(NamedTuple):
    """A resource with what its references meant when they were filled in."""

    resource: Resource
    meant: Mapping[str, Mapping[str, tuple[str, ...]] | None]
    bound: Resource
    missing: tuple[str, ...]


class Observer:
    def __init__(
        self, hub: FactHub, drivers: Mapping[str, Driver], bug: Callable[[Owner, str], None]
    ) -> None:
        """`bug` is told of a driver that failed; the resource is unknown then, nothing else suffers."""
        self._hub, self._drivers, self._bug = hub, drivers, bug
        self._followed: dict[Owner, tuple[Ask[Any], ...]] = {}
        self._asks: dict[Owner, tuple[Resource, tuple[Ask[Any], ...]]] = {}  # of the resource as last seen
        self._bound: dict[Owner, _Bound] = {}  # of those that have run-time references

    async def look(
        self,
        service: str,
        resources: Sequence[Resource],
        applied: Mapping[str, Resource],
        follow: bool = True,
    ) -> dict[str, Seen]:
        """`resources` so that each comes after what it needs. `follow`: queue the service on changes.

        applied  as last applied here, by rid: what is meant where a reference has no value now.
        """
        owners = {resource.rid: Owner(service, resource.rid) for resource in resources}
        read = (
            self._hub.begin(service, lambda: self._cheap_asks(owners.values()))
            if follow
            else _nothing_begun
        )
        try:
            return await self._look_at_all(resources, owners, applied, follow, read)
        finally:
            for owner in owners.values():
                read(owner)

    async def _look_at_all(
        self,
        resources: Sequence[Resource],
        owners: Mapping[str, Owner],
        applied: Mapping[str, Resource],
        follow: bool,
        read: Callable[[Owner], None],
    ) -> dict[str, Seen]:
        exposed: dict[str, Mapping[str, tuple[str, ...]]] = {}
        seen: dict[str, Seen] = {}
        for resource in resources:
            owner = owners[resource.rid]
            bound, missing = self._bind(owner, resource, exposed) if resource.late else (resource, ())
            if missing:
                under = [seen[rid] for rid in sorted(resource.refs) if rid in seen]
                last = applied.get(resource.rid)
                bound, observed = await self._without_values(owner, bound, last, under, follow)
            else:
                observed = await self._look_at(owner, bound, follow)
            read(owner)
            if observed.state is not State.UNKNOWN:
                exposed[resource.rid] = observed.exposes
            seen[resource.rid] = Seen(bound, observed, missing, self._by_check(owner, bound, observed))
        return seen

    def _cheap_asks(self, owners: Iterable[Owner]) -> dict[Owner, list[Ask[Any]]]:
        """As they were in the last look; that they are others by now shows when it is their turn."""
        return {
            owner: [ask for ask in self._asks[owner][1] if not ask.costly]
            for owner in owners
            if owner in self._followed and owner in self._asks
        }

    def _bind(
        self, owner: Owner, resource: Resource, exposed: Mapping[str, Mapping[str, tuple[str, ...]]]
    ) -> tuple[Resource, tuple[str, ...]]:
        """The same object as before while its references mean the same: all that is known of it holds."""
        meant = {rid: exposed.get(rid) for rid in resource.refs}
        kept = self._bound.get(owner)
        if kept is None or kept.resource is not resource or kept.meant != meant:
            kept = self._bound[owner] = _Bound(resource, meant, *bind_resource(resource, exposed))
        return kept.bound, kept.missing

    async def _without_values(
        self, owner: Owner, bound: Resource, last: Resource | None, under: Sequence[Seen], follow: bool
    ) -> tuple[Resource, Observed]:
        """One that refers to what (`under`) is gone, or is not looked at: nothing says it is down.

        Is what was applied last still there? It may be what holds the rest of a stop.
        """
        blind = [s.resource.rid for s in under if s.observed.state is State.UNKNOWN]
        unseen = blind or not all(_looked_at(s.resource) for s in under)
        if last is not None and last.kind == bound.kind:
            triggers = last.common.triggers
            meant = replace(bound, spec=last.spec, common=replace(bound.common, triggers=triggers))
            observed = await self._look_at(owner, meant, follow)
            # A name alone, such as /dev/loop0, may be another's by now; an identity is our very own.
            if unseen or (observed.identity and observed.state is not State.DOWN):
                return meant, observed
        elif blind:
            return bound, unknown(f"{', '.join(blind)} cannot be looked at", label=bound.kind)
        return bound, await self._look_at(owner, bound, follow=follow and last is None)

    async def _look_at(self, owner: Owner, resource: Resource, follow: bool) -> Observed:
        """One resource; whatever goes wrong in its driver makes it `unknown`."""
        if not _looked_at(resource):
            return Observed(State.NA, label=resource.kind)
        driver = self._drivers[resource.kind]
        try:
            asks = self._asks_of(owner, resource)
            if follow and self._followed.get(owner) != asks:
                self._hub.follow(owner, asks)
                self._followed[owner] = asks
            await self._hub.answer(owner, [ask for ask in asks if not ask.costly], follow)
            facts = Facts(lambda ask: self._hub.known(owner, ask))
            for _ in range(TURNS):
                try:
                    return driver.observe(resource.spec, facts)
                except Unanswered as missing:
                    if not missing.pending:
                        return unknown(missing.why, label=resource.kind)
                    await self._hub.answer(owner, [missing.ask], follow)
            return unknown("its questions were not answered in time", label=resource.kind)
        except Exception as fault:  # a bug in one driver must not cost the other resources
            self._bug(owner, traceback.format_exc())
            return unknown(f"driver {resource.kind} failed: {fault!r}", label=resource.kind)

    def _asks_of(self, owner: Owner, resource: Resource) -> tuple[Ask[Any], ...]:
        """What a resource asks changes with its keywords only."""
        kept = self._asks.get(owner)
        if kept is None or kept[0] is not resource:
            kept = self._asks[owner] = resource, self._drivers[resource.kind].asks(resource.spec)
        return kept[1]

    def _by_check(self, owner: Owner, resource: Resource, observed: Observed) -> bool:
        """A program we hold ourselves needs no check to be known as ended."""
        kinds = {type(ask) for ask in self._asks_of(owner, resource)}
        return Check in kinds and (Program not in kinds or observed.state is not State.DOWN)

    def look_again(self, owner: Owner) -> None:
        """Its checks are run anew by the next look, whatever their interval."""
        self._hub.touched(owner, (Check.source,))

    def forget(self, owner: Owner) -> None:
        self._asks.pop(owner, None)
        self._bound.pop(owner, None)
        if self._followed.pop(owner, None) is not None:
            self._hub.follow(owner, ())


def _looked_at(resource: Resource) -> bool:
    return not resource.common.disable and "nostatus" not in resource.common.tags


def _nothing_begun(owner: Owner) -> None:
    """Who looks without following waits for each in its turn."""
