"""node.yaml's text → the settings it names, by field of Settings, and every fault in it."""

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from reconciler.decide.documents import verdicts, yaml_text
from reconciler.decide.documents.kinds import schema
from reconciler.decide.documents.source import Source
from reconciler.decide.documents.typed import finished, plain
from reconciler.decide.timing import derive, written
from reconciler.errors import Fault, NeedsPerson
from reconciler.settings import Api, Etcd, Fence


def read_node(content: bytes, path: str) -> tuple[dict[str, Any], tuple[Fault, ...]]:
    """Settings as keyword arguments: seconds as float, paths as text, lists as tuples.

    Holds only what is written; {} when there are faults.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return {}, (Fault(path, 0, "", "is not UTF-8 text.", "Save it as UTF-8."),)
    source = yaml_text.read(text, path)
    settings = _settings(source) if not source.faults else {}
    faults = tuple(sorted(set(source.faults)))
    return {} if faults else settings, faults


def _settings(source: Source) -> dict[str, Any]:
    tree = source.tree
    if not isinstance(tree, dict):
        source.fault((), "is not a map of keys.", "It starts with apiVersion and kind.")
        return {}
    checked = plain(tree, schema("node.json"), "yaml", False)
    verdicts.report(source, (), _validator().iter_errors(checked), "a node")
    if source.faults:
        return {}
    metadata, spec = checked.get("metadata", {}), checked.get("spec", {})
    properties = schema("node.json")["properties"]["spec"]["properties"]
    result: dict[str, Any] = {"node": metadata["name"]} if "name" in metadata else {}
    if "labels" in metadata:
        result["labels"] = dict(metadata["labels"])
    for keyword, value in spec.items():
        try:
            result[keyword] = finished(value, properties[keyword])
        except ValueError as error:
            what, _, todo = str(error).partition("\n")
            source.fault(("spec", keyword), what, todo)
    if "etcd" in result:
        result["etcd"] = Etcd(**result["etcd"])
    if "api" in result:
        result["api"] = Api(**result["api"])
    if "fencing" in result:
        result["fencing"] = {node: _fence(written) for node, written in result["fencing"].items()}
    if "failover_time" in result:
        try:
            result["failover_time"] = written(result["failover_time"])
            derive(result["failover_time"])
        except (NeedsPerson, ValueError) as fault:
            what, _, todo = str(fault).partition("\n")
            source.fault(("spec", "failover_time"), f"{what}.", " ".join(todo.split()))
    return result


def _fence(given: dict[str, Any]) -> Fence:
    """Options as the agent reads them: true is 1."""
    options = {
        name: str(int(v) if isinstance(v, bool) else v) for name, v in given.get("options", {}).items()
    }
    return Fence(**{**given, "options": options})


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(schema("node.json"))
