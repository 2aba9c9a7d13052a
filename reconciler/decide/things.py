"""The exclusive things that a service names → what a claim has to take, and who has them.

A thing has one key in the store, with one hold for each claim on it. Held `everywhere` it can be had once
in the cluster; otherwise once on each node, for two hosts may each have a disk /dev/sdb.
"""

import ipaddress
import json
import posixpath
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from reconciler.contracts import Driver
from reconciler.model import Resource, Service

ADDRESS = "address "
DEVICE, KERNEL_DEVICE = "device ", "kernel device "
OF_ONE_HOST = ("mount point ", "route ", "IPv6 route ", KERNEL_DEVICE)
"""What every host has for itself, whatever is behind it."""
_DEVICES = (DEVICE, "raw device ")
_VOLUME = "logical volume "
_KERNELS = re.compile(rf"{DEVICE}/dev/[^/]+")
_MAPPED = re.compile(r"/dev/mapper/((?:[^-/]|--)+)-((?:[^-/]|--)+)")


@dataclass(frozen=True, order=True)
class Thing:
    """`name` as drivers say it: "address 192.0.2.10", "volume group data"."""

    name: str
    everywhere: bool


@dataclass(frozen=True, order=True)
class Hold:
    """A claim's right to a thing."""

    service: str
    slot: int
    node: str
    epoch: int
    everywhere: bool

    def excludes(self, thing: Thing, service: str, slot: int, node: str) -> bool:
        """Whether the claim of that slot on that node cannot have the thing beside this hold."""
        if (self.service, self.slot) == (service, slot):
            return False
        if self.service == service and not thing.name.startswith(ADDRESS):
            return False  # its instances share what they share on purpose; an address nobody can
        return self.everywhere or thing.everywhere or self.node == node


def things(
    service: Service,
    drivers: Mapping[str, Driver],
    resolved: Mapping[str, Collection[str]],
    skip: bool = False,
) -> tuple[Thing, ...] | str:
    """All that its resources name here; or why that cannot be told yet.

    resolved  by host name, each address that this node might use for it. skip: leave out those without.
    """
    found: set[Thing] = set()
    for resource in service.resources:
        if resource.common.disable:
            continue
        for name in _exclusive(resource, drivers):
            if _of_host_name(name):
                address = name.removeprefix(ADDRESS)
                if not resolved.get(address) and not skip:
                    return f"{resource.rid}: {address} has no address yet"
                found |= {Thing(one_name(ADDRESS + one), True) for one in resolved.get(address, ())}
            else:
                found.add(Thing(name, _everywhere(service, resource, name)))
    wide = {thing.name for thing in found if thing.everywhere}
    return tuple(sorted(thing for thing in found if thing.everywhere or thing.name not in wide))


def literal(service: Service, drivers: Mapping[str, Driver]) -> tuple[Thing, ...]:
    """Of these, all that need no name resolved."""
    found = things(service, drivers, dict.fromkeys(names(service, drivers), ()), skip=True)
    assert not isinstance(found, str)
    return found


def names(service: Service, drivers: Mapping[str, Driver]) -> tuple[str, ...]:
    """Host names to be resolved before it can be claimed."""
    named = {name for r in service.resources if not r.common.disable for name in _exclusive(r, drivers)}
    return tuple(sorted(name.removeprefix(ADDRESS) for name in named if _of_host_name(name)))


def of(resource: Resource, drivers: Mapping[str, Driver], address: str) -> tuple[str, ...]:
    """Names of what one resource has while it is up; `address`: the one that its host name stands for."""
    found = _exclusive(resource, drivers)
    return tuple(one_name(ADDRESS + address) if _of_host_name(name) else name for name in found)


def on_shared(service: Service, drivers: Mapping[str, Driver]) -> bool:
    """It has a disk or filesystem that another host could have at the same time."""
    return any(
        _everywhere(service, resource, name)
        for resource in service.resources
        if not resource.common.disable
        for name in _exclusive(resource, drivers)
        if not name.startswith(ADDRESS)
    )


def one_name(name: str) -> str:
    """As it is compared: two spellings of an address, two paths of a logical volume, are one thing."""
    if name.startswith(ADDRESS):
        return ADDRESS + address(name.removeprefix(ADDRESS))
    if name.startswith(_VOLUME):
        return f"{DEVICE}/dev/{name.removeprefix(_VOLUME)}"
    for kind in _DEVICES:
        if name.startswith(kind):
            path, subvolume, rest = name.removeprefix(kind).partition(" subvolume ")
            return DEVICE + _path(path) + subvolume + rest
    return name


def address(text: str) -> str:
    """An address in the kernel's spelling; a host name as it is."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def devices(wanted: Iterable[Thing]) -> dict[str, bool]:
    """Paths (or LABEL= and the like) of devices among these, and whether each is one everywhere."""
    named = [thing for thing in wanted if thing.name.startswith(DEVICE)]
    return {
        thing.name.removeprefix(DEVICE).partition(" subvolume ")[0]: thing.everywhere for thing in named
    }


def with_disks(wanted: Iterable[Thing], found: Mapping[str, Collection[str]]) -> tuple[Thing, ...]:
    """These, and what this host found behind their devices, by path: other paths may lead there."""
    things = set(wanted)
    for path, everywhere in devices(things).items():
        disks = found.get(path, ())
        things |= {Thing(disk, everywhere and not disk.startswith(OF_ONE_HOST)) for disk in disks}
    return tuple(sorted(things))


def of_resource(service: Service, resource: Resource, drivers: Mapping[str, Driver]) -> tuple[Thing, ...]:
    """What one of its resources names, but for host names. What was a reference has its value by now.

    A value such as /dev/loop0 was chosen by the kernel of this host, and means another disk on others.
    """
    names = _exclusive(resource, drivers)
    return tuple(
        Thing(
            name, _everywhere(service, resource, name) and not (resource.late and _KERNELS.fullmatch(name))
        )
        for name in names
        if not _of_host_name(name)
    )


def written(holds: Iterable[Hold]) -> str:
    return json.dumps([asdict(hold) for hold in sorted(holds)], sort_keys=True)


def read(text: str) -> tuple[Hold, ...] | None:
    """The reverse of `written`; None when it cannot be understood."""
    try:
        kept: Any = json.loads(text)
        holds = tuple(Hold(**hold) for hold in kept)
    except (ValueError, TypeError):
        return None
    return (
        holds if all(isinstance(hold.epoch, int) and isinstance(hold.node, str) for hold in holds) else None
    )


def _exclusive(resource: Resource, drivers: Mapping[str, Driver]) -> tuple[str, ...]:
    """A run-time reference names nothing before it has a value: that is claimed right before it is used."""
    said = getattr(drivers.get(resource.kind), "exclusive", None)
    names = said(resource.spec) if said else ()
    return tuple(one_name(name) for name in names if not (resource.late and "{" in name))


def _everywhere(service: Service, resource: Resource, name: str) -> bool:
    """Where it fails over its disks are those of several hosts; elsewhere only what is called shared."""
    if name.startswith(ADDRESS):
        return True
    if name.startswith(OF_ONE_HOST):
        return False
    return resource.common.shared or (service.topology == "failover" and service.several_nodes)


def _of_host_name(name: str) -> bool:
    """An address that only its host name tells of."""
    return name.startswith(ADDRESS) and not _literal(name.removeprefix(ADDRESS))


def _literal(address: str) -> bool:
    return ":" in address or all(part.isdigit() for part in address.split("."))


def _path(device: str) -> str:
    """/dev/VG/LV of a logical volume, which device-mapper calls VG-LV with its own dashes doubled."""
    path = posixpath.normpath(device) if device.startswith("/") else device
    if mapped := _MAPPED.fullmatch(path):
        group, volume = (part.replace("--", "-") for part in mapped.groups())
        return f"/dev/{group}/{volume}"
    return path
