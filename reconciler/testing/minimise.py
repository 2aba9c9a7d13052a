"""The schedule of a day that went wrong → the least of it that still goes wrong by the same rule.

Faults are left out, many at once first; then services and hosts; then what is left is made shorter. Each
attempt is a whole day, lived through again; what is kept has been seen to go wrong.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from reconciler.testing.days import Day, Happens, Schedule, again

SHORTEST = 0.3
"""Seconds; a fault or a pause is not made shorter in parts."""


@dataclass
class Minimised:
    """`schedule` goes wrong by `rule`; so many `days` were lived through."""

    schedule: Schedule
    rule: str
    days: int = 0

    def take(self, less: Schedule) -> bool:
        """If it goes wrong, too."""
        self.days += 1
        if again(less).rule != self.rule:
            return False
        self.schedule = less
        return True


def minimised(made: Day) -> Minimised:
    """Of a day that went wrong."""
    assert made.wrong
    assert made.schedule
    least = Minimised(made.schedule, made.rule)
    going_on = True
    while going_on:  # each makes room for the others
        going_on = any([_fewer(least), _smaller(least), _shorter(least)])
    return least


def _fewer(least: Minimised) -> bool:
    """Faults: halves of them, quarters, and so on to each one."""
    began, size = len(least.schedule.happens), len(least.schedule.happens)
    while size >= 1:
        at = len(least.schedule.happens)
        while at > 0:
            first = max(at - size, 0)
            least.take(_without(least.schedule, first, at))
            at = first
        size //= 2
    return len(least.schedule.happens) < began


def _without(schedule: Schedule, first: int, end: int) -> Schedule:
    """What comes after comes at its time all the same."""
    kept, gone = list(schedule.happens), schedule.happens[first:end]
    seconds = sum(happens.pause for happens in gone)
    del kept[first:end]
    if first:
        kept[first - 1] = replace(kept[first - 1], pause=kept[first - 1].pause + seconds)
        return replace(schedule, happens=tuple(kept))
    return replace(schedule, happens=tuple(kept), first=schedule.first + seconds)


def _smaller(least: Minimised) -> bool:
    """Services and hosts: one at least, and two."""
    found = False
    for service in least.schedule.services[::-1]:
        now = least.schedule
        if len(now.services) > 1:
            services = tuple(other for other in now.services if other is not service)
            found |= least.take(replace(now, services=services))
    for name in least.schedule.names[::-1]:
        if len(least.schedule.names) > 2:
            found |= least.take(without_host(least.schedule, name))
    return found


def without_host(schedule: Schedule, gone: str) -> Schedule:
    """What befalls it then befalls nobody."""
    stay = [at for at, name in enumerate(schedule.names) if name != gone]
    return replace(
        schedule,
        names=tuple(schedule.names[at] for at in stay),
        timings=tuple(schedule.timings[at] for at in stay),
        rates=tuple(schedule.rates[at] for at in stay),
        services=tuple(
            replace(service, nodes=tuple(node for node in service.nodes if node != gone))
            for service in schedule.services
        ),
    )


def _shorter(least: Minimised) -> bool:
    """Each fault and each pause."""
    found = False
    for wanted in (_no_first, _no_rest):
        less = wanted(least.schedule)
        found |= less != least.schedule and least.take(less)
    for at in range(len(least.schedule.happens)):
        for smaller in _less(least.schedule.happens[at]):
            happens = list(least.schedule.happens)
            happens[at] = smaller
            if least.take(replace(least.schedule, happens=tuple(happens))):
                found = True
                break
    return found


def _no_first(schedule: Schedule) -> Schedule:
    return replace(schedule, first=0.0)


def _no_rest(schedule: Schedule) -> Schedule:
    return replace(schedule, rest=0.0)


def _less(happens: Happens) -> Iterator[Happens]:
    """The shortest first."""
    fault, pause = happens.fault, happens.pause
    if pause > 0:
        yield replace(happens, pause=0.0)
    if pause > SHORTEST:
        yield replace(happens, pause=round(pause / 2, 2))
    if fault.seconds > 2 * SHORTEST:
        for seconds in (SHORTEST, round(fault.seconds / 2, 2)):
            yield replace(happens, fault=replace(fault, seconds=seconds))
