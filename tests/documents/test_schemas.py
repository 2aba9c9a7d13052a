"""The schemas themselves, and the one for editors, whose verdict is the same as ours."""

import copy
import json
import random
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from reconciler.cli import schemas as command
from reconciler.decide.documents import Home, check, kinds
from reconciler.decide.documents.editor_schema import editor_schema
from reconciler.decide.documents.typed import finished, plain
from reconciler.decide.documents.unsupported import RESOURCE, SERVICE, TAGS

EXAMPLES = sorted(Path("examples/services").glob("*.yaml"))
EDITOR = Draft202012Validator(editor_schema())
HOME = Home("demo1", cluster_nodes=("demo1",))
MARKS = {"none", "update", "replace"}


@pytest.mark.parametrize("name", ["service.json", "common.json", "node.json"])
def test_a_schema_is_a_schema(name):
    Draft202012Validator.check_schema(kinds.schema(name))


@pytest.mark.parametrize("kind", sorted(kinds.kinds()))
def test_a_kinds_schema_is_in_order(kind):
    """Described, marked, without a name of the common keywords, and with defaults that are allowed."""
    found = kinds.kinds()[kind]
    Draft202012Validator.check_schema(kinds.schema(f"resources/{kind}.json"))
    assert found.description
    assert not found.own & set(kinds.schema("common.json")["properties"])
    for keyword, schema in found.properties.items():
        assert schema.get("description"), f"{kind}.{keyword} has no description"
        assert schema.get("x-change", "replace") in MARKS, keyword
        for default in [schema[name] for name in ("default", "x-conf-default") if name in schema]:
            if "{" not in str(default) or default == {}:
                assert not list(Draft202012Validator(schema).iter_errors(default)), keyword
                finished(plain(default, schema, "yaml", False), schema)
    assert all(
        schema["x-change"] == "none"
        for name, schema in found.properties.items()
        if name not in found.own | {"type"}
    )


def test_the_editors_schema_is_a_schema():
    Draft202012Validator.check_schema(editor_schema())
    assert "oneOf" not in json.dumps(editor_schema())


def documents():
    """Examples, and each of them with one thing spoiled that a schema can see."""
    for path in EXAMPLES:
        yield pytest.param(path.stem, _load(path), id=path.stem)
        for number in range(12):
            yield pytest.param(
                path.stem, _spoiled(_load(path), f"{path.stem}{number}"), id=f"{path.stem} spoiled {number}"
            )


def _load(path):
    return YAML(typ="safe", pure=True).load(path)


def _spoiled(document, seed):
    """One change out of: a key renamed, dropped or made of another type, at a random place."""
    chance, document = random.Random(seed), copy.deepcopy(document)
    places = []

    def walk(node, path):
        for key, value in node.items():
            free = path and path[-1] in ("vars", "labels", "environment")
            if not free and path != ("spec", "resources") and path != ("metadata",):
                places.append((node, key))
            if isinstance(value, dict):
                walk(value, (*path, key))

    walk(document, ())
    node, key = chance.choice(places)
    match chance.choice(["rename", "retype", "add"]):
        case "rename":
            node[f"{key}Xq"] = node.pop(key)
        case "retype":
            node[key] = {"a": {"b": None}}
        case "add":
            node["zzz"] = 1
    return document


@pytest.mark.parametrize(("name", "document"), list(documents()))
def test_editors_and_the_agent_agree(name, document):
    ours = check(json.dumps(document).encode(), f"{name}.yaml", f"root/{name}", "yaml", HOME)
    theirs = [error.message for error in EDITOR.iter_errors(document)]
    # What only a reading of the whole can tell: a name that is referred to and gone.
    beyond = [
        fault for fault in ours.faults if "cannot be resolved" in fault.what or "no resource" in fault.what
    ]
    assert bool(theirs) == bool(len(ours.faults) > len(beyond)), (theirs[:3], list(map(str, ours.faults)))


@pytest.mark.parametrize(
    ("resource", "fine"),
    [
        ({"type": "tmpfs", "mnt": "/x", "restart": "{env.n}"}, True),
        ({"type": "tmpfs", "mnt": "/x", "restart": "n"}, False),
        ({"type": "tmpfs", "mnt": "/x", "stat_timeout": 5}, True),
        ({"type": "tmpfs", "mnt": "/x", "tags": "a b"}, True),
        ({"type": "tmpfs", "mnt@demo1": "/x", "mnt": "/y"}, True),
        ({"type": "tmpfs", "mnt": "/x", "perm": 755}, False),
        ({"type": "nix"}, False),
        ({"mnt": "/x"}, False),
    ],
)
def test_what_editors_accept(resource, fine):
    document = {
        "apiVersion": "standfast/v1",
        "kind": "Service",
        "metadata": {"name": "x"},
        "spec": {"vars": {"n": 1}, "resources": {"fs#a": resource}},
    }
    ours = check(json.dumps(document).encode(), "x.yaml", "root/x", "yaml", HOME)
    assert EDITOR.is_valid(document) == fine
    assert (ours.service is not None) == fine, ours.faults


def test_the_command_writes_them(tmp_path):
    assert command.main([str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out/service.json").read_text()) == editor_schema()


def test_everything_left_out_is_in_the_page_for_people():
    page = Path("docs/not-supported.md").read_text()
    missing = [word for word in (*SERVICE, *RESOURCE, *TAGS) if f"`{word}`" not in page]
    assert not missing


def test_nothing_left_out_is_a_keyword():
    known = set(kinds.service_kind().properties)
    assert not known & set(SERVICE)
    for kind in kinds.kinds().values():
        assert not set(kind.properties) & set(RESOURCE), kind.name
