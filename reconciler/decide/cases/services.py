"""The documents of a case, by as little as has to be said → services as they are wanted on one node.

`parts` names standard resources (ip, disk, fs, app), each named like its service: a case says what it is
about, and no more. What `resources` says comes on top.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reconciler.decide.cases.words import Tree, known
from reconciler.decide.documents import Checked, Home, check, generation_of
from reconciler.decide.documents.build import build
from reconciler.decide.documents.identity import Flavour
from reconciler.decide.documents.source import Source
from reconciler.decide.frames import packed, unpacked
from reconciler.model import Flex, Service

EXACT = ("tree", "source", "line", "generation", "home")


def key_of(name: str) -> str:
    return name if "/" in name else f"root/{name}"


def shown(key: str) -> str:
    return key.removeprefix("root/")


def services(given: Tree, home: Home, refuses: bool = False) -> dict[str, Service]:
    """By key. Raises ValueError with all faults of a document; `refuses`: leaves it out."""
    made: dict[str, Service] = {}
    everywhere = list(given.get("nodes") or {})
    for number, (name, said) in enumerate((given.get("documents") or {}).items(), 1):
        key = key_of(name)
        try:
            made[key] = _service(key, said, home, number, everywhere)
        except ValueError:
            if not refuses:
                raise
    for name, frame in (given.get("services") or {}).items():
        made[key_of(name)] = unframed(frame)
    return made


def tree_of(key: str, said: Any, home: Home, number: int = 1) -> Mapping[str, Any]:
    """The document as it would stand in its file."""
    if isinstance(said, str):
        return _text(key, said, home).document
    return dict(said["tree"]) if "tree" in said else _document(key, said or {}, number, [home.node])


def _service(key: str, said: Any, home: Home, number: int, everywhere: list[str]) -> Service:
    if isinstance(said, str):
        return _good(_text(key, said, home))
    if said and "tree" in said:
        known(f"documents: {shown(key)}", said, EXACT)
        home = replace(home, **_home(said.get("home") or {}))
        return exact(key, said["tree"], home, said["source"], said["line"], said["generation"])
    tree = _document(key, said or {}, number, everywhere)
    return _built(key, tree, home, f"{shown(key)}.yaml", generation_of(repr(tree).encode()))


def _home(said: Tree) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}


def exact(key: str, tree: Tree, home: Home, source: str, line: int, generation: str) -> Service:
    """As an agent had it in force. Raises ValueError."""
    return replace(_built(key, dict(tree), home, source, generation), line=line)


def _built(key: str, tree: Any, home: Home, file: str, generation: str) -> Service:
    source = Source(file, "conf" if file.endswith(".conf") else "yaml", tree=tree)
    made = build(source, key, home, generation)
    if made is None or source.faults:
        raise ValueError("\n".join(map(str, source.faults)))
    return made


def _text(key: str, text: str, home: Home) -> Checked:
    flavour: Flavour = "conf" if text.lstrip().startswith("[") else "yaml"
    return check(text.encode(), f"{shown(key)}.{flavour}", key, flavour, home)


def _good(checked: Checked) -> Service:
    if checked.service is None:
        raise ValueError("\n".join(map(str, checked.faults)))
    return checked.service


def _document(key: str, said: Tree, number: int, everywhere: list[str]) -> dict[str, Any]:
    namespace, _, name = key.partition("/")
    spec = {word: value for word, value in said.items() if word not in ("parts", "resources", "labels")}
    spec.setdefault("nodes", everywhere)
    written = dict(said.get("resources") or {})
    standard = said.get("parts", () if written else ("ip", "app"))
    resources = {rid: dict(part) for rid, part in _standard(name, number, standard).items()}
    for rid, more in written.items():
        resources[rid] = {**resources.get(rid, {}), **more}
    metadata = {"name": name, "namespace": namespace, "labels": said.get("labels") or {}}
    spec["resources"] = resources
    return {"apiVersion": "standfast/v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _standard(name: str, number: int, parts: Any) -> dict[str, dict[str, Any]]:
    everything: dict[str, tuple[str, dict[str, Any]]] = {
        "ip": ("ip#0", {"type": "host", "name": f"192.0.2.{number}", "netmask": 24, "dev": "br0"}),
        "disk": ("disk#0", {"type": "lv", "name": name, "vg": "shared", "size": "1GiB"}),
        "fs": ("fs#0", {"type": "ext4", "dev": f"/dev/shared/{name}", "mnt": f"/srv/{name}"}),
        "app": (
            "app#0",
            {"type": "forking", **{w: f"{name} {v}" for w, v in _FORKING.items()}},
        ),
    }
    known("parts", parts, everything)
    return dict(everything[part] for part in everything if part in parts)


_FORKING = {"start": "start", "stop": "stop", "check": "status"}


# --- as values -----------------------------------------------------------------------------


def framed(service: Service) -> dict[str, Any]:
    """All of it, for one of which no document is there."""
    kept = {
        name: getattr(service, name)
        for name, field in Service.__dataclass_fields__.items()
        if name not in ("resources", "flex", "nodes", "selectors", "labels", "relations")
        and getattr(service, name) != field.default
    }
    return {
        **kept,
        "nodes": list(service.nodes),
        "selectors": list(service.selectors),
        "labels": dict(service.labels),
        "relations": {name: list(value) for name, value in service.relations.items()},
        "flex": {"min": service.flex.min, "max": service.flex.max, "target": service.flex.target},
        "resources": {r.rid: {**packed(r), "late": r.late} for r in service.resources},
    }


def unframed(frame: Tree) -> Service:
    resources = tuple(
        replace(unpacked(rid, one), late=bool(one.get("late"))) for rid, one in frame["resources"].items()
    )
    relations = {name: tuple(value) for name, value in frame.get("relations", {}).items()}
    given = {
        **frame,
        "nodes": tuple(frame["nodes"]),
        "selectors": tuple(frame.get("selectors", ())),
        "flex": Flex(**frame["flex"]),
        "relations": relations,
        "resources": resources,
    }
    return Service(**given)
