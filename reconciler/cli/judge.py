"""A Service object → whether it is as wanted, in one word and for exit codes."""

from collections.abc import Mapping
from typing import Any


def name_of(service: Mapping[str, Any]) -> str:
    meta = service["metadata"]
    return f"{meta['namespace']}/{meta['name']}"


def condition(service: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The condition of this type; {} when there is none yet."""
    return next((one for one in service["status"]["conditions"] if one["type"] == kind), {})


def as_wanted(service: Mapping[str, Any]) -> bool:
    """Ready, or down because nobody asked for anything else."""
    ready = condition(service, "Ready")
    return ready.get("status") == "True" or ready.get("reason") == "NotAsked"


def resources(service: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """(rid, resource) of all hosts."""
    instances = service["status"]["instances"].values()
    return [pair for instance in instances for pair in instance["resources"].items()]


def busy(service: Mapping[str, Any]) -> bool:
    """Whether something runs for it now."""
    return any(resource["running"] for _, resource in resources(service))


def doing(service: Mapping[str, Any]) -> str:
    """What runs and what waits, for a progress line."""
    found = resources(service)
    running = [rid for rid, resource in found if resource["running"]]
    waiting = [f"{rid} {resource['waiting']}" for rid, resource in found if resource["waiting"]]
    parts = [f"{', '.join(running)} at work"] if running else []
    return "; ".join(parts + waiting)
