"""Services that are legal → what in them is surely wrong all the same."""

from collections.abc import Iterable, Mapping

from reconciler.contracts import Driver
from reconciler.decide.documents.source import Source
from reconciler.decide.references import REFERENCE, parse
from reconciler.errors import Fault
from reconciler.model import Resource, Service


def lint_alone(source: Source, service: Service) -> None:
    """What can be told of one service without its drivers."""
    groups = {resource.spec.get("name") for resource in service.resources if resource.kind == "disk.vg"}
    for resource in service.resources:
        path = ("spec", "resources", resource.rid)
        if resource.kind == "app.forking" and not resource.spec.get("check"):
            what = "has no check: after a crash of the agent it may be started a second time."
            source.lint(path, what, "Write a check command that ends with 0 while it runs.")
        keyword = {"disk.vg": "name", "disk.lv": "vg"}.get(resource.kind, "")
        group = resource.spec.get(keyword, "") if keyword else ""
        expected = f"vg{service.name}"
        told = keyword == "vg" and group in groups
        if isinstance(group, str) and not told and _one_letter_apart(group, expected):
            source.lint(
                (*path, keyword), f'names the volume group "{group}".', f'Did you mean "{expected}"?'
            )
        if resource.common.monitor and resource.common.optional:
            what = "is monitored and optional: its failure is to be acted on and to be ignored."
            source.lint(path, what, "Remove one of the two.")


def lint_together(services: Iterable[Service], drivers: Mapping[str, Driver]) -> tuple[Fault, ...]:
    """Things named twice, within a service or by two: a device, a mount point, an address."""
    holders: dict[str, tuple[Service, Resource]] = {}
    found: list[Fault] = []
    for service in services:
        for resource in service.resources:
            if resource.common.disable:
                continue
            for thing in _exclusive(resource, drivers.get(resource.kind)):
                # What a run-time reference will be is known only to be the same within one service.
                scope = service.key if any(parse(hit).rid for hit in REFERENCE.finditer(thing)) else ""
                other, holder = holders.setdefault(f"{scope} {thing}", (service, resource))
                if holder is resource:
                    continue
                by = holder.rid if other is service else f"{holder.rid} of {other.key}"
                what = f"names {thing}, as {by} does."
                todo = f"Only one of them can have it; see {other.source}:{holder.line}"
                where = (
                    resource.rid if service.source.endswith(".conf") else f"spec.resources.{resource.rid}"
                )
                found.append(Fault(service.source, resource.line, where, what, todo))
    return tuple(sorted(set(found)))


def _exclusive(resource: Resource, driver: Driver | None) -> tuple[str, ...]:
    names = getattr(driver, "exclusive", None)
    things = list(names(resource.spec)) if names else []
    device = resource.spec.get("dev")
    if resource.late and resource.group == "fs" and isinstance(device, str) and REFERENCE.search(device):
        things.append(f"device {device}")  # drivers name only what they can be sure of
    return tuple(dict.fromkeys(things))


def _one_letter_apart(one: str, other: str) -> bool:
    """True when a single letter (no digit: those number things) is missing from one of them."""
    short, long = sorted((one, other), key=len)
    if len(long) - len(short) != 1 or len(short) < 4:
        return False
    return any(
        not long[place].isdigit() and long[:place] + long[place + 1 :] == short
        for place in range(len(long))
    )
