"""A decision that the agent kept → the files of a golden case: what was known, what is decided, and why."""

import os
import time
from collections.abc import Mapping
from typing import Any

from reconciler.adapters.drivers import Drivers
from reconciler.cli import client
from reconciler.cli.output import yaml_text
from reconciler.decide.cases import case, told

FILES = ("cluster.yaml", "decided.yaml", "why.txt")


def name_of(kept: Mapping[str, Any]) -> str:
    """Of its directory."""
    return f"{kept['number']:06d}-{kept['service'].removeprefix('root/').replace('/', '-')}"


def files(kept: Mapping[str, Any]) -> dict[str, str]:
    """Text by name. Decided again here and now: by this version, which may be another than the agent's."""
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(kept["at"]))
    head = (
        f"# Kept by {kept['node']} on {when}, decision {kept['number']} about {kept['service']}.\n"
        "# Say here what the situation is, and what ought to happen; leave out what does not matter.\n"
    )
    texts = {"cluster.yaml": f"{head}{yaml_text(kept['case'])}\n"}
    try:
        found = told(case(kept["case"], Drivers()))
    except (ValueError, KeyError, TypeError, AttributeError) as fault:  # of an agent of another version
        return {**texts, "why.txt": f"it cannot be decided again by this version: {fault!r}\n"}
    return {**texts, "decided.yaml": f"{yaml_text(dict(found.decided))}\n", "why.txt": found.why}


def make(directory: str, kept: Mapping[str, Any]) -> list[str]:
    """The paths that were written. Raises client.Failed where there is a case already."""
    if os.path.exists(os.path.join(directory, FILES[0])):
        raise client.Failed(client.USAGE, f"{directory} has a case already: name another directory")
    written = []
    try:
        os.makedirs(directory, exist_ok=True)
        for name, text in files(kept).items():
            written.append(os.path.join(directory, name))
            with open(written[-1], "w", encoding="utf-8") as file:
                file.write(text)
    except OSError as fault:
        raise client.Failed(client.FAILED, f"{directory} cannot be written: {fault.strerror}") from None
    return written
