"""ip.host: an address that follows its service from host to host, announced to its neighbours.

A name is resolved once: the answer is in force from start to stop (or reboot), so that an outage of
DNS changes nothing and a different answer is a warning, not a move. A literal needs no memory. An
address that this host holds on another device is left alone: it may be the host's own.
"""

from dataclasses import dataclass, replace
from typing import Any, NotRequired, TypedDict

from reconciler.asks import (
    Address,
    Addresses,
    AddressHeld,
    Ask,
    Facts,
    Link,
    Links,
    Memory,
    Name,
)
from reconciler.model import Goal, Note, Observed, State, info, settled, warning
from reconciler.operations import (
    AddAddress,
    Announce,
    DeleteAddress,
    Operation,
    ProbeAddress,
    Remember,
    SetLinkUp,
)
from resources.addressing import canonical, is_v6, lowest, prefix_beside, prefix_length

KIND = "ip.host"
PIN = "address"
REPLACE, DUPLICATE, LINK = "replace", "duplicate", "link"


class Spec(TypedDict):
    name: str  # address, address/prefix or host name
    dev: str  # device, or device:label
    netmask: NotRequired[str | int]
    family: str
    check_carrier: bool
    probe: bool


@dataclass(frozen=True)
class Wanted:
    """The address as far as it is known. `prefix` None: to be taken from the device."""

    ip: str = ""
    prefix: int | None = None
    notes: tuple[Note, ...] = ()
    blocked: str = ""


def asks(spec: Spec) -> tuple[Ask[Any], ...]:
    """A literal with its netmask needs no look at the other addresses of the device."""
    if _unresolved(spec):
        return (Links(),)
    ip, prefix = _literal(spec)
    dev = Addresses(_device(spec)[0])
    if ip and prefix is not None:
        return Links(), AddressHeld(ip)
    if ip:
        return Links(), AddressHeld(ip), dev
    return Links(), dev, Memory(), Name(spec["name"])


def observe(spec: Spec, facts: Facts) -> Observed:
    """Up when the kernel lists the address on the device, with its prefix, on a link that is up."""
    dev, name = _device(spec)[0], spec["name"]
    if _unresolved(spec):
        return Observed(State.DOWN, label=f"{name} {dev}", blocked=f"{name} {dev} has no value yet")
    link = facts.of(Links()).get(dev)
    ip, _ = _literal(spec)
    if ip:
        held = facts.of(AddressHeld(ip))
        beside = () if _literal(spec)[1] is not None else facts.of(Addresses(dev))
        wanted = Wanted(ip, _literal(spec)[1], blocked=_bad_netmask(spec, ip))
    else:
        held = beside = facts.of(Addresses(dev))
        wanted = _resolve(spec, facts, beside)
    if not wanted.ip:
        return Observed(State.DOWN, label=f"{name} {dev}", notes=wanted.notes, blocked=wanted.blocked)
    mine = tuple(a for a in held if a.dev == dev and a.ip == wanted.ip)
    prefix = wanted.prefix
    if prefix is None:
        prefix = mine[0].prefix if mine else prefix_beside(wanted.ip, beside)
    address = wanted.ip if prefix is None else f"{wanted.ip}/{prefix}"
    seen = Observed(
        State.DOWN,
        label=f"{address} {dev}" + ("" if ip else f" {name}"),
        notes=wanted.notes,
        exposes={"ipaddr": (wanted.ip,)},
        data={"address": address, "held": tuple(f"{a.ip}/{a.prefix}" for a in mine), "link": _kind(link)},
    )
    if mine:
        return _held(spec, seen, mine, prefix, link)
    blocked = wanted.blocked or _cannot(spec, link, wanted.ip, prefix)
    if others := [a.dev for a in held if a.ip == wanted.ip]:
        # Not ours to take away: it may be this host's own.
        where = f"{wanted.ip} is held on {others[0]}, not on {dev}"
        return replace(
            seen,
            notes=(*seen.notes, warning(where)),
            blocked=f"{where}: `ip addr del` it there or correct dev",
        )
    return replace(seen, blocked=blocked)


def preflight(spec: Spec, seen: Observed) -> tuple[Operation, ...]:
    """Before anything of the service is touched: does another host answer for this address?"""
    if not spec["probe"] or seen.state is not State.DOWN or seen.data.get("link") != "up":
        return ()
    return (_probe(spec, seen),)


def operations(spec: Spec, seen: Observed, goal: Goal) -> tuple[Operation, ...]:
    """Add and announce; or delete whatever prefix it has. A link that is down is set up first."""
    if settled(goal, seen):
        return ()
    dev, label = _device(spec)
    address = _address(spec, seen)
    pinned = not _literal(spec)[0]
    if goal is Goal.DOWN:
        if seen.state is State.UNKNOWN and (pinned or "/" not in address):
            return ()
        held = seen.data.get("held") or (address,)
        # Kept, but no longer in force: if DNS is out, the stop can still be seen to be complete.
        forget = (Remember(PIN, f"{address} released", until="reboot"),) if pinned else ()
        return (*(DeleteAddress(each, dev) for each in held), *forget)
    repair = seen.data.get("repair") if seen.state is State.WARN else ""
    if repair == LINK:
        return SetLinkUp(dev), Announce(address, dev)
    add: tuple[Operation, ...] = (AddAddress(address, dev, label),)
    if pinned:
        # Next to the act itself: a crash in between leaves an address that nobody remembers.
        add = (*add, Remember(PIN, address, until="reboot"))
    add = (*add, Announce(address, dev))
    probe = (_probe(spec, seen),) if spec["probe"] else ()
    match repair:
        case "replace":
            # IPv6 holds an address once, whatever its prefix: the wrong one goes first.
            wrong = [each for each in seen.data["held"] if each != address]
            return (*(DeleteAddress(each, dev) for each in wrong), *add)
        case "duplicate":
            return (*(DeleteAddress(each, dev) for each in seen.data["held"]), *probe, *add)
    if seen.data.get("link") == "down":
        return (SetLinkUp(dev), *probe, *add)  # no preflight could ask through a link that is down
    return add


def exclusive(spec: Spec) -> tuple[str, ...]:
    return () if _unresolved(spec) else (f"address {_literal(spec)[0] or spec['name']}",)


def _held(
    spec: Spec, seen: Observed, mine: tuple[Address, ...], prefix: int | None, link: Link | None
) -> Observed:
    """The address is on the device: with the wanted prefix, usable?"""
    dev = _device(spec)[0]
    notes = seen.notes

    def repaired(how: str, why: str) -> Observed:
        data = {**seen.data, "repair": how}
        return replace(seen, state=State.WARN, notes=(*notes, warning(why)), data=data)

    if any(a.duplicate for a in mine):
        return repaired(DUPLICATE, "another host answers for it: duplicate address detection failed")
    if wrong := [a.prefix for a in mine if a.prefix != prefix]:
        return repaired(REPLACE, f"held with prefix /{wrong[0]}, not /{prefix}")
    if link is not None and not link.up:
        return repaired(LINK, f"device {dev} is administratively down")
    if spec["check_carrier"] and link is not None and not link.carrier:
        notes = (*notes, warning(f"device {dev} has no carrier"))
    if any(a.tentative for a in mine):
        notes = (*notes, info("duplicate address detection still runs: not usable yet"))
        return replace(seen, state=State.UP, notes=notes, again_in=1.0)
    return replace(seen, state=State.UP, notes=notes)


def _cannot(spec: Spec, link: Link | None, ip: str, prefix: int | None) -> str:
    """Why it cannot be brought up now, "" when it can."""
    dev = _device(spec)[0]
    if link is None:
        return f"device {dev} does not exist"
    if prefix is None:
        return f"{dev} has no address in the network of {ip} to take the netmask from: add netmask: 24"
    if spec["check_carrier"] and link.up and not link.carrier:
        return f"device {dev} has no carrier: check the cable, or set check_carrier: false"
    return ""


def _resolve(spec: Spec, facts: Facts, held: tuple[Address, ...]) -> Wanted:
    """The remembered answer while there is one, else the resolver's."""
    name = spec["name"]
    remembered, _, released = facts.of(Memory()).get(PIN, "").partition(" ")
    if why := facts.why_not(Name(name)):
        if not remembered:
            facts.of(Name(name))  # raises: without any memory the state cannot be told
        ip, prefix = _split(spec, remembered)
        if released:
            return Wanted(ip, prefix, blocked=f"{name} does not resolve: {why}")
        return Wanted(ip, prefix, (info(f"{name} does not resolve now ({why}): {ip} stays"),))
    answers = tuple(ip for ip in facts.of(Name(name)) if _of_family(spec, ip))
    if remembered and not released:
        ip, prefix = _split(spec, remembered)
        now = ", ".join(answers) or "nothing"
        moved = warning(f"{name} resolves to {now} now: {ip} stays until this resource is stopped")
        return Wanted(ip, prefix, () if ip in answers else (moved,), _bad_netmask(spec, ip))
    if not answers:
        return Wanted(blocked=f"{name} has no address" + _family_text(spec))
    there = [a.ip for a in held if a.ip in answers]
    ip = there[0] if there else lowest(answers)
    several = (info(f"{name} has several addresses: {', '.join(answers)}"),) if len(answers) > 1 else ()
    return Wanted(*_split(spec, ip), several, _bad_netmask(spec, ip))


def _split(spec: Spec, address: str) -> tuple[str, int | None]:
    """Address and prefix of `address`; the document's netmask comes first."""
    ip, _, length = address.partition("/")
    return ip, prefix_length(spec["netmask"], ip) if "netmask" in spec else prefix_length(length, ip)


def _literal(spec: Spec) -> tuple[str, int | None]:
    """Address and prefix as far as the document names them; "" for a host name."""
    text, slash, length = spec["name"].partition("/")
    ip = canonical(text)
    if not ip:
        return "", None
    if "netmask" in spec:
        return ip, prefix_length(spec["netmask"], ip)
    return ip, prefix_length(length, ip) if slash else None


def _bad_netmask(spec: Spec, ip: str) -> str:
    if "netmask" in spec and prefix_length(spec["netmask"], ip) is None:
        return f"netmask {spec['netmask']} does not fit {ip}"
    return ""


def _device(spec: Spec) -> tuple[str, str]:
    """Device and label: `br0:web` is an address on br0 with that label."""
    dev, colon, _ = spec["dev"].partition(":")
    return dev, spec["dev"] if colon else ""


def _address(spec: Spec, seen: Observed) -> str:
    """As seen; in a prediction, before anything was, as far as the document names it."""
    if known := seen.data.get("address"):
        return str(known)
    ip, prefix = _literal(spec)
    return f"{ip}/{prefix}" if prefix is not None else ip or spec["name"]


def _probe(spec: Spec, seen: Observed) -> ProbeAddress:
    return ProbeAddress(_address(spec, seen), _device(spec)[0], probes=3, within=0.4)


def _kind(link: Link | None) -> str:
    if link is None:
        return ""
    return "loopback" if link.loopback else "up" if link.up else "down"


def _of_family(spec: Spec, ip: str) -> bool:
    return spec["family"] == "any" or (spec["family"] == "ipv6") is is_v6(ip)


def _family_text(spec: Spec) -> str:
    return "" if spec["family"] == "any" else f" of family {spec['family']}"


def _unresolved(spec: Spec) -> bool:
    return "{" in spec["name"] + spec["dev"]
