"""Resources of a service → who waits for whom on the way up (a stop takes it reversed).

Three sources of edges, the stronger winning over the weaker: what a document says (references,
`after`), what the kernel demands (a mount below another), and the order of the groups.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from reconciler.model import GROUPS, Resource

SERIAL = ("container", "app")
"""Groups whose members start one after another, unless their subset is parallel."""


SHAPES = 512
"""Services of one shape, as a template makes them by the hundred, share one order; so many are kept."""


@dataclass(frozen=True)
class Order:
    """needs: what must be in place before a start. stands_on: the part of it a document names.

    `rids` lists all resources so that each comes after what it needs. Shared by services: read only.
    """

    rids: tuple[str, ...]
    needs: Mapping[str, frozenset[str]]
    stands_on: Mapping[str, frozenset[str]]
    needed_by: Mapping[str, frozenset[str]]


def natural(rid: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key in which `app#2` comes before `app#10`."""
    parts = re.findall(r"\d+|\D+", rid)
    return tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts)


class _Part(NamedTuple):
    """All of a resource that the order depends on."""

    rid: str
    group: str
    explicit: frozenset[str]
    solid: bool
    subset: str
    parallel: bool


def order(resources: Sequence[Resource]) -> Order:
    """The edges of one service. Documents were checked: references make no cycle."""
    explicit = _explicit(resources, {r.rid: r for r in resources})
    return _order(tuple(_part(r, explicit[r.rid]) for r in resources))


def _part(r: Resource, explicit: Iterable[str]) -> _Part:
    common = r.common
    solid = not common.optional and not common.disable
    return _Part(r.rid, r.group, frozenset(explicit), solid, common.subset, common.parallel)


@lru_cache(maxsize=SHAPES)
def _order(parts: tuple[_Part, ...]) -> Order:
    by_rid = {part.rid: part for part in parts}
    explicit = {rid: part.explicit for rid, part in by_rid.items()}
    below = _closure(explicit)
    rank = {rid: max([_rank(rid), *(_rank(other) for other in below[rid])]) for rid in by_rid}
    solid = {rid for rid, part in by_rid.items() if part.solid}
    needs = {
        rid: {*explicit[rid], *(o for o in solid if rank[o] < rank[rid] and rid not in below[o])}
        for rid in by_rid
    }
    # One line for all, then edges along it: whatever refers to whatever, they cannot make a circle.
    rids = tuple(_sorted(by_rid, needs))
    for group in SERIAL:
        _chain([by_rid[rid] for rid in rids if by_rid[rid].group == group], solid, needs)
    needed_by: dict[str, set[str]] = {rid: set() for rid in by_rid}
    for rid, others in needs.items():
        for other in others:
            needed_by[other].add(rid)
    return Order(rids, _frozen(needs), _frozen(below), _frozen(needed_by))


def _frozen(edges: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    """Equal sets are one: most members of a group wait for the same."""
    known: dict[frozenset[str], frozenset[str]] = {}
    sets = {rid: frozenset(others) for rid, others in edges.items()}
    return {rid: known.setdefault(others, others) for rid, others in sets.items()}


def _rank(rid: str) -> int:
    group = rid.partition("#")[0]
    return GROUPS.index(group) if group in GROUPS else len(GROUPS)


def _explicit(resources: Sequence[Resource], by_rid: Mapping[str, Resource]) -> dict[str, set[str]]:
    edges = {
        r.rid: {o for o in (*r.refs, *r.common.after) if o in by_rid and o != r.rid} for r in resources
    }
    mounts = [(r.rid, str(r.spec["mnt"]).rstrip("/")) for r in resources if r.spec.get("mnt")]
    for rid, inner in mounts:
        for other, outer in mounts:
            # A mount point inside another one would be hidden by it, were it mounted first.
            if inner != outer and inner.startswith(outer + "/") and rid not in edges[other]:
                edges[rid].add(other)
    return edges


def _closure(edges: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """All that can be reached from each."""
    reached: dict[str, set[str]] = {}
    for start in edges:
        seen: set[str] = set()
        todo = list(edges[start])
        while todo:
            if (rid := todo.pop()) not in seen:
                seen.add(rid)
                todo.extend(edges[rid])
        reached[start] = seen
    return reached


def _chain(members: Sequence[_Part], solid: set[str], needs: dict[str, set[str]]) -> None:
    """One after another as they stand in line, but for those of one parallel subset."""
    for position, member in enumerate(members):
        for earlier in members[:position]:
            together = member.parallel and member.subset == earlier.subset
            if earlier.rid in solid and not together:
                needs[member.rid].add(earlier.rid)


def _sorted(by_rid: Mapping[str, _Part], needs: Mapping[str, set[str]]) -> list[str]:
    """Each after what it needs; beyond that by group, subset and natural order."""
    left = sorted(by_rid, key=lambda rid: (_rank(rid), by_rid[rid].subset, natural(rid)))
    done: list[str] = []
    placed: set[str] = set()
    while left:
        rid = next((r for r in left if needs[r] <= placed), left[0])
        left.remove(rid)
        placed.add(rid)
        done.append(rid)
    return done
