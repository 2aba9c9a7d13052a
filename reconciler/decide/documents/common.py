"""The common keywords of one resource, finished → Common, with what they name checked."""

import re
from collections.abc import Collection, Mapping, Set
from typing import Any

from reconciler.decide.documents.source import Path, Source
from reconciler.decide.documents.verdicts import suggestion
from reconciler.model import Common, State, Trigger

_REQUIREMENT = re.compile(r"([a-z]+#[A-Za-z0-9_-]+)(?:\(([^)]*)\))?")
_BY_DEFAULT = frozenset({State.UP, State.STANDBY_UP})
_STATES = {state.value: state for state in State}


def common(
    source: Source,
    path: Path,
    rid: str,
    values: Mapping[str, Any],
    rids: Collection[str],
    parallel: Set[str],
) -> Common:
    """`parallel` holds the subsets started in parallel, as group:subset."""
    subset = values.get("subset", "")
    provision = values.get("provision", True)
    if provision is True and source.flavour == "conf":
        provision = "command"  # OpenSVC provisions when told to
    tags = frozenset(values.get("tags", ()))
    return Common(
        # Nothing can be done about it, so nothing may wait for it.
        optional=values.get("optional", False) or "noaction" in tags,
        disable=values.get("disable", False),
        monitor=values.get("monitor", False),
        restart=values.get("restart", 0),
        restart_delay=values.get("restart_delay", 0.5),
        standby=values.get("standby", False),
        shared=values.get("shared", False),
        subset=subset,
        parallel=f"{rid.partition('#')[0]}:{subset}" in parallel,
        tags=tags,
        after=_after(source, (*path, "after"), rid, values.get("after", ()), rids),
        provision=provision is True,
        creatable=provision is not False,
        unprovision=values.get("unprovision", True),
        timeouts=dict(values.get("timeouts", {})),
        triggers=tuple(_trigger(name, command) for name, command in values.get("triggers", {}).items()),
        requires={
            action: tuple(_requirements(source, (*path, "requires", action), rid, words, rids))
            for action, words in values.get("requires", {}).items()
        },
        on_change=values.get("on_change", "restart"),
    )


def _after(
    source: Source, path: Path, rid: str, words: tuple[str, ...], rids: Collection[str]
) -> tuple[str, ...]:
    return tuple(word for word in words if _exists(source, path, rid, word, rids))


def _exists(source: Source, path: Path, rid: str, named: str, rids: Collection[str]) -> bool:
    if named == rid:
        source.fault(path, f"{rid} cannot wait for itself.", "Name another resource.")
    elif named not in rids:
        close = suggestion(named, rids)
        todo = f'Did you mean "{close}"?' if close else f"There are: {', '.join(sorted(rids))}."
        source.fault(path, f"there is no resource {named}.", todo)
    else:
        return True
    return False


def _trigger(name: str, command: str) -> Trigger:
    when, _, action = name.removeprefix("blocking_").partition("_")
    return Trigger(when, action, command, blocking=name.startswith("blocking_"))


def _requirements(
    source: Source, path: Path, rid: str, words: tuple[str, ...], rids: Collection[str]
) -> list[tuple[str, frozenset[State]]]:
    result = []
    for word in words:
        found = _REQUIREMENT.fullmatch(word)
        if not found:
            source.fault(path, f'"{word}" is not a requirement.', "Write fs#app or fs#app(up,stdby up).")
            continue
        if not _exists(source, path, rid, found[1], rids):
            continue
        names = [name.strip() for name in found[2].split(",")] if found[2] is not None else []
        wrong = [name for name in names if name not in _STATES]
        if wrong:
            source.fault(path, f'"{wrong[0]}" is not a state.', f"There are: {', '.join(_STATES)}.")
            continue
        result.append((found[1], frozenset(_STATES[name] for name in names) if names else _BY_DEFAULT))
    return result
