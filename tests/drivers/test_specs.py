"""A driver's Spec and its schema name the same keywords, and agree on which are always there."""

import importlib
import json
import pkgutil
from importlib.resources import files

import pytest

import resources

DRIVERS = {}
for found in pkgutil.iter_modules(resources.__path__, "resources."):
    module = importlib.import_module(found.name)
    if hasattr(module, "KIND"):
        DRIVERS[module.KIND] = module
SCHEMAS = {
    path.name.removesuffix(".json"): json.loads(path.read_text())
    for path in files("schemas").joinpath("resources").iterdir()
    if path.name.endswith(".json")
}
TYPES = {"string", "integer", "number", "boolean", "array", "object"}
EFFECTS = {"none", "update", "replace"}


def test_every_driver_has_its_schema_and_every_schema_its_driver():
    assert sorted(DRIVERS) == sorted(SCHEMAS)


@pytest.mark.parametrize("kind", sorted(DRIVERS))
def test_spec_and_schema_name_the_same_keywords(kind):
    assert sorted(DRIVERS[kind].Spec.__annotations__) == sorted(SCHEMAS[kind]["properties"])


@pytest.mark.parametrize("kind", sorted(DRIVERS))
def test_a_keyword_is_always_there_exactly_when_it_is_required_or_has_a_default(kind):
    schema = SCHEMAS[kind]
    defaults = {name for name, found in schema["properties"].items() if "default" in found}
    assert set(schema.get("required", ())) | defaults == set(DRIVERS[kind].Spec.__required_keys__)
    assert not set(schema.get("required", ())) & defaults, "a required keyword needs no default"


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
def test_every_keyword_is_described_and_says_what_an_edit_does(kind):
    schema = SCHEMAS[kind]
    assert schema["title"] == kind
    assert schema["description"].endswith(".")
    for name, found in schema["properties"].items():
        assert found.get("description", "").endswith((".", "…")), name
        assert found.get("x-change") in EFFECTS, name
        kinds = found.get("type", [])
        assert set([kinds] if isinstance(kinds, str) else kinds) <= TYPES, name
