"""A document's tree → the Service it wants on this node, with all its faults at once."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from reconciler.decide.documents import keywords, kinds, verdicts
from reconciler.decide.documents.alike import Alike
from reconciler.decide.documents.circles import found_in, requiring
from reconciler.decide.documents.common import common
from reconciler.decide.documents.dereference import Dereferencer, World
from reconciler.decide.documents.home import Home, resolve_nodes, selects
from reconciler.decide.documents.keywords import Keywords
from reconciler.decide.documents.kinds import Kind
from reconciler.decide.documents.scoping import Place, Selected, select
from reconciler.decide.documents.source import Source
from reconciler.decide.documents.typed import words
from reconciler.decide.order import order
from reconciler.model import Flex, Resource, Service

RELATIONS = (
    "parents",
    "children",
    "hard_affinity",
    "hard_anti_affinity",
    "soft_affinity",
    "soft_anti_affinity",
)


def build(source: Source, key: str, home: Home, generation: str) -> Service | None:
    """None when the frame is too broken to go on; else a service that stands if there is no fault."""
    tree = source.tree
    if not isinstance(tree, dict):
        source.fault(
            (), "is not a map of keys.", "A document starts with apiVersion, kind, metadata and spec."
        )
        return None
    verdicts.report(source, (), kinds.frame().iter_errors(tree))
    if not isinstance(tree.get("spec"), dict):
        return None
    return _Builder(source, key, home, tree).service(generation)


class _Builder:
    def __init__(self, source: Source, key: str, home: Home, tree: Mapping[str, Any]) -> None:
        self.source, self.home = source, home
        self.spec: Mapping[str, Any] = tree["spec"]
        metadata = tree.get("metadata")
        self.metadata: Mapping[str, Any] = metadata if isinstance(metadata, dict) else {}
        self.namespace, self.name = self._identity(key)
        self.place = Place(home.node, resolve_nodes(self._raw_nodes(), home))
        self.chosen = select(source, ("spec",), self.spec, kinds.service_kind(), self.place)
        found = self.chosen.values.get("resources")
        resources: dict[str, Any] = found if isinstance(found, dict) else {}
        self.names = tuple(resources)
        self.kinds: dict[str, Kind | None] = {}
        self.parts: dict[str, Selected] = {}
        for rid, written in resources.items():
            if isinstance(written, dict):
                self._part(rid, written)
        self.deref = Dereferencer(self._world())
        self.alike = Alike()

    def service(self, generation: str) -> Service:
        source, home = self.source, self.home
        mine = keywords.read(source, kinds.service_kind(), "", ("spec",), self.chosen, self.deref)
        values = mine.values
        self._check_vars()
        if values.get("env") == "PRD" and home.env != "PRD":
            todo = f"Run it on a PRD node, or set env: PRD in the node's node.yaml (it says {home.env})."
            source.fault(
                ("spec", "env"), f"a PRD service is refused on {home.node}, which is not PRD.", todo
            )
        parallel = self._parallel()
        resources = [self._resource(rid, parallel) for rid in self.parts]
        made = tuple(resource for resource in resources if resource)
        self._circles(made)
        orchestrate = values.get("orchestrate", "no")
        action = values.get("monitor_action") or ("switch" if orchestrate == "ha" else "none")
        relations = {name: values[name] for name in RELATIONS if values.get(name)}
        plain = (
            "app",
            "env",
            "topology",
            "placement",
            "failback",
            "state",
            "on_delete",
            "priority",
            "rollback",
        )
        return Service(
            name=self.name,
            namespace=self.namespace,
            labels=self._labels(),
            nodes=resolve_nodes(values.get("nodes"), home),
            selectors=tuple(word for word in values.get("nodes") or () if selects(word)),
            flex=self._flex(values.get("flex", {})),
            orchestrate=orchestrate,
            monitor_action=action,
            disable=values.get("disable", False),
            requires_safety=values.get("requires_safety", ""),
            relations=relations,
            resources=made,
            source=source.file,
            line=source.line(("spec", "state")),
            generation=generation,
            **{name: values[name] for name in plain if name in values},
        )

    def _identity(self, key: str) -> tuple[str, str]:
        """Namespace and name: the path's, which metadata may not contradict."""
        namespace, _, name = key.rpartition("/")
        own, where = self.metadata.get("name"), self.metadata.get("namespace")
        if isinstance(own, str) and own != name:
            todo = f"Rename the file, or write name: {name}"
            self.source.fault(("metadata", "name"), f'"{own}" contradicts the file, which is {name}.', todo)
        if not namespace:  # not known from the path
            return where if isinstance(where, str) else "root", name
        if isinstance(where, str) and where != namespace:
            todo = f"Move the file to {where}/, or write namespace: {namespace}"
            what = f'"{where}" contradicts the directory, which is {namespace}.'
            self.source.fault(("metadata", "namespace"), what, todo)
        return namespace, name

    def _labels(self) -> dict[str, str]:
        labels = self.metadata.get("labels")
        return {name: str(value) for name, value in labels.items()} if isinstance(labels, dict) else {}

    def _raw_nodes(self) -> list[str] | None:
        """The nodes as far as they are written plainly: scopes have to be known before references."""
        written = self.spec.get(f"nodes@{self.home.node}", self.spec.get("nodes"))
        if isinstance(written, str):
            return words(written)
        return [word for word in written if isinstance(word, str)] if isinstance(written, list) else None

    def _part(self, rid: str, written: dict[str, Any]) -> None:
        """Find a resource's kind, and its keywords for this node."""
        path = ("spec", "resources", rid)
        group = rid.partition("#")[0]
        named = written.get(f"type@{self.home.node}", written.get("type", kinds.DEFAULT_TYPES.get(group)))
        kind = kinds.kinds().get(f"{group}.{named}") if isinstance(named, str) else None
        self.kinds[rid] = kind
        self.parts[rid] = select(self.source, path, written, kind, self.place)
        if kind:
            return
        known = [name.partition(".")[2] for name in kinds.kinds() if name.startswith(f"{group}.")]
        close = verdicts.suggestion(str(named), known)
        todo = (
            f'Did you mean "{close}"?'
            if close
            else f"There are: {', '.join(known) or 'none in this group'}."
        )
        if named is None:
            self.source.fault(path, "type is missing.", todo)
        else:
            self.source.fault((*path, "type"), f'there is no kind "{group}.{named}".', todo)

    def _world(self) -> World:
        home, values = self.home, self.chosen.values
        found = values.get("vars")
        found = found if isinstance(found, dict) else {}
        variables = select(self.source, ("spec", "vars"), found, None, self.place).values
        node = {"name": home.node, "env": home.env}
        node |= {f"labels.{name}": value for name, value in home.labels.items()}
        sections: dict[str, Mapping[str, Any]] = {
            "": {word: value for word, value in values.items() if word not in keywords.RAW},
            "env": variables,
            "node": node,
            **{rid: part.values for rid, part in self.parts.items()},
        }
        constants = {
            "name": self.name,
            "svcname": self.name,
            "namespace": self.namespace,
            "nodename": home.node,
            "etc": home.services,
            "var": home.state,
            "run": home.run,
        }
        return World(
            sections, constants, self._default, self._keywords, self._exposes, self.source.flavour == "yaml"
        )

    def _kind(self, section: str) -> Kind | None:
        return kinds.service_kind() if section == "" else self.kinds.get(section)

    def _default(self, section: str, keyword: str) -> Any:
        kind = self._kind(section)
        return (
            kinds.default(kind, keyword, self.source.flavour)
            if kind and keyword not in keywords.RAW
            else None
        )

    def _keywords(self, section: str) -> Iterable[str]:
        kind = self._kind(section)
        if kind is None:
            return ()
        return [*kind.properties, *kind.exposes] if "#" in section else kind.properties

    def _exposes(self, rid: str) -> frozenset[str] | None:
        kind = self.kinds.get(rid)
        return kind.exposes if kind else None

    def _check_vars(self) -> None:
        """Every variable, also one that nothing refers to."""
        for name, written in self.deref.world.sections["env"].items():
            path = ("spec", "vars", name)
            if written is not None and (resolved := self.deref.keyword("env", name)):
                keywords.sound(self.source, path, resolved)

    def _parallel(self) -> frozenset[str]:
        found = self.chosen.values.get("subsets")
        subsets = found.items() if isinstance(found, dict) else ()
        return frozenset(
            name for name, how in subsets if isinstance(how, dict) and how.get("parallel") is True
        )

    def _resource(self, rid: str, parallel: frozenset[str]) -> Resource | None:
        kind, path = self.kinds[rid], ("spec", "resources", rid)
        if kind is None:
            return None
        read: Keywords = keywords.read(self.source, kind, rid, path, self.parts[rid], self.deref)
        return Resource(
            rid=rid,
            kind=kind.name,
            spec={keyword: value for keyword, value in read.values.items() if keyword in kind.own},
            common=self.alike.common(common(self.source, path, rid, read.values, self.names, parallel)),
            refs=frozenset(read.refs - {rid}),
            line=self.source.line(path),
            late=read.late,
        )

    def _flex(self, values: Mapping[str, int]) -> Flex:
        least, most = values.get("min", 1), values.get("max", 0)
        target = values.get("target", max(least, 1))
        if most and least > most:
            self.source.fault(
                ("spec", "flex"), f"min {least} is more than max {most}.", "Correct one of them."
            )
        elif target < least or (most and target > most):
            todo = "Write a target between min and max."
            self.source.fault(
                ("spec", "flex"), f"target {target} is not between min {least} and max {most}.", todo
            )
        return Flex(least, most, target)

    def _circles(self, resources: tuple[Resource, ...]) -> None:
        """Resources that wait for each other could never start, or never stop."""
        waits = {r.rid: {*r.refs, *r.common.after} for r in resources}
        if circles := found_in(waits):
            todo = "Put the value they share into vars, or drop an `after`."
            for circle in circles:
                what = f"wait for each other: {' → '.join(circle)}."
                self.source.fault(("spec", "resources", circle[0]), what, todo)
            return
        if not any(r.common.requires for r in resources):
            return
        line, by_rid = order(resources), {r.rid: r for r in resources}
        for action, needs in (("start", line.needs), ("stop", line.needed_by)):
            for circle in found_in(requiring(resources, action, needs)):
                what = f"could never {action}: they wait for each other, {' → '.join(circle)}."
                todo = f"Drop one of them: a requirement of {action} cannot go against the order."
                named = (
                    one
                    for one, following in pairwise(circle)
                    if following in dict(by_rid[one].common.requires.get(action, ()))
                )
                path = ("spec", "resources", next(named, circle[0]), "requires", action)
                self.source.fault(path, what, todo)
