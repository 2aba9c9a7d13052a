"""Names of shapes → their JSON Schemas, validators, and the OpenAPI page made of them and the routes."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource

from reconciler.api.routes import ROUTES, Query, Route


@cache
def schemas() -> Mapping[str, dict[str, Any]]:
    """All shapes by name, in the order of their names."""
    folder = files("schemas").joinpath("api")
    return {
        entry.name.removesuffix(".json"): json.loads(entry.read_text("utf-8"))
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".json")
    }


@cache
def validator(name: str) -> Draft202012Validator:
    known = [(f"{one}.json", Resource.from_contents(schema)) for one, schema in schemas().items()]
    registry: Registry[Any] = Registry().with_resources(known)
    return Draft202012Validator(schemas()[name], registry=registry)


def fault(name: str, value: object) -> str:
    """What is wrong with a value of this shape, "" when nothing is."""
    if wrong := best_match(validator(name).iter_errors(value)):
        return f"{wrong.json_path.removeprefix('$').lstrip('.') or 'body'}: {wrong.message}"
    return ""


def completed(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """The value with the defaults of its shape."""
    properties = schemas()[name]["properties"]
    return {**{key: shape["default"] for key, shape in properties.items() if "default" in shape}, **value}


@cache
def openapi() -> dict[str, Any]:
    """OpenAPI 3.1, whose schemas are JSON Schema as they are."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Standfast", "version": version("standfast")},
        "paths": paths,
        "components": {"schemas": {shape["title"]: _embedded(shape) for shape in schemas().values()}},
    }


def _operation(route: Route) -> dict[str, Any]:
    answer: dict[str, Any] = {"application/json": {"schema": _reference(route.answer)}}
    if route.streams:
        answer["text/event-stream"] = {"schema": {"type": "string"}}
    variables = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    made: dict[str, Any] = {
        "operationId": route.handler,
        "summary": route.summary,
        "description": f"Needs the role {route.role}." if route.role else "Open to all.",
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in variables
            ),
            *(_parameter(query) for query in route.query),
        ],
        "responses": {
            str(route.status): {"description": route.summary, "content": answer},
            "default": {
                "description": "Why not, and what to do.",
                "content": {"application/json": {"schema": _reference("error")}},
            },
        },
    }
    if route.body:
        made["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(route.body)}},
        }
    return made


def _parameter(query: Query) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": query.kind}
    if query.many:
        schema = {"type": "array", "items": schema}
    return {"name": query.name, "in": "query", "description": query.help, "schema": schema}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schemas()[name]['title']}"}


def _embedded(node: Any) -> Any:
    """A schema as a component of one document: no identity of its own, references into it."""
    if isinstance(node, list):
        return [_embedded(one) for one in node]
    if not isinstance(node, dict):
        return node
    if isinstance(target := node.get("$ref"), str):
        return _reference(target.removesuffix(".json"))
    return {key: _embedded(value) for key, value in node.items() if key not in ("$schema", "$id")}
