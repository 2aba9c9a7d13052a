"""What was asked of a service so far, and one more wish → all that is asked of it from now on."""

from collections.abc import Collection, Iterable
from dataclasses import replace

from reconciler.decide.asked import DEADLINE, NOBODY, Asked, Frozen, Wish
from reconciler.decide.placement import beyond, named, short_of
from reconciler.model import Resource

ONE_OFF = ("restart", "provision", "unprovision", "purge", "switch")


def under_way(wish: Wish, asked: Asked) -> str:
    """Why it has to wait for what was asked before, "" when not: stop, freeze and abort end that."""
    if asked.wish and wish.verb in (*ONE_OFF, "start"):
        return f"{asked.wish} is still under way; wait, or `standfast abort`"
    return ""


def heard(
    wish: Wish, asked: Asked, resources: Iterable[Resource], up: Collection[str], frozen: bool
) -> Asked:
    """`up`: rids seen up now. `frozen`: nothing of it is done of its own accord. Refusals come before."""
    everything = tuple(resources)
    match wish.verb:
        case "freeze":
            frost = Frozen(wish.who, wish.at, wish.reason, wish.until)
            return replace(_replaced(asked, wish), frozen=frost)
        case "thaw":
            return replace(asked, frozen=None)
        case "abort":
            return _replaced(asked, wish)
        case "clear" if wish.rids:
            mine = {r.rid for r in everything if named(r, wish.rids)}
            return replace(asked, stopped=asked.stopped - mine)
        case "clear":
            return replace(NOBODY, frozen=asked.frozen)
        case "start" | "stop" if not (wish.rids or wish.upto or wish.downto):
            stands = replace(_replaced(asked, wish), standing=wish)
            if wish.verb == "start":
                stands = replace(stands, stopped=frozenset())
            # It stands, but only for once it acts on what is frozen.
            return _one_off(wish, stands, everything, up) if frozen else stands
        case _:
            return _one_off(wish, _replaced(asked, wish), everything, up)


def _replaced(asked: Asked, wish: Wish) -> Asked:
    """Whoever waits for what was under way is told by whom it was ended."""
    return asked.ended_as("failed", f"replaced: {wish}") if asked.wish else asked


def _one_off(wish: Wish, asked: Asked, everything: tuple[Resource, ...], up: Collection[str]) -> Asked:
    until = wish.until or wish.at + DEADLINE
    mine = {r.rid for r in everything if named(r, wish.rids)} if wish.rids else set()
    match wish.verb:
        case "stop":
            mine |= {r.rid for r in everything if wish.downto and not short_of(r, wish.downto)}
            asked = replace(asked, stopped=asked.stopped | mine)
        case "start" if wish.upto:
            # What lies beyond and is down stays so, on purpose; the rest is up from now on.
            left = {r.rid for r in everything if beyond(r, wish.upto) and r.rid not in up}
            asked = replace(asked, stopped=frozenset(left), standing=replace(wish, upto=""))
        case "unprovision" if mine:
            asked = replace(asked, stopped=asked.stopped | mine)
        case "unprovision" | "purge":
            # From now on, not when it is done: what is half destroyed must never come up again.
            asked = replace(asked, standing=replace(wish, verb="stop", reason=f"to {wish.verb} it"))
        case "start" | "restart" | "provision":
            asked = replace(asked, stopped=asked.stopped - mine)
    phase = "down" if wish.verb == "restart" else ""
    return replace(asked, wish=replace(wish, until=until, phase=phase))
