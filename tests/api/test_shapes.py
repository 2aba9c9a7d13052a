"""The shapes are schemas, complete and strict, and the OpenAPI page is made of them."""

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.api import shapes
from reconciler.api.handlers import Handlers
from reconciler.api.routes import ROUTES, Route
from tests.api.fake import FakeAgent, service


@pytest.mark.parametrize("name", shapes.schemas())
def test_every_schema_is_one_and_says_what_it_is(name: str) -> None:
    schema = shapes.schemas()[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"{name}.json"
    assert schema["title"]
    assert schema["description"]


def test_every_title_is_used_once() -> None:
    titles = [schema["title"] for schema in shapes.schemas().values()]
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_has_its_handler_and_its_shapes(route: Route) -> None:
    assert callable(getattr(Handlers, route.handler))
    assert route.answer in shapes.schemas()
    assert not route.body or route.body in shapes.schemas()


def test_the_page_describes_every_route_and_nothing_else() -> None:
    page = shapes.openapi()
    described = {(m.upper(), path) for path, methods in page["paths"].items() for m in methods}
    assert described == {(route.method, route.path) for route in ROUTES}
    operations = [operation for methods in page["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for path, methods in page["paths"].items():
        for operation in methods.values():
            named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))


def test_every_reference_of_the_page_leads_somewhere_in_it() -> None:
    page = shapes.openapi()
    known = page["components"]["schemas"]
    found = set(references(page))
    assert found
    assert {target.removeprefix("#/components/schemas/") for target in found} <= known.keys()
    assert "$id" not in str(page)


def references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [target for one in node for target in references(one)]
    if not isinstance(node, dict):
        return []
    here = [node["$ref"]] if "$ref" in node else []
    return here + [target for one in node.values() for target in references(one)]


BROKEN: list[Any] = [
    pytest.param("service", lambda o: o["status"].update(avail="fine"), "avail", id="no such state"),
    pytest.param("service", lambda o: o["status"].pop("goal"), "goal", id="a field is missing"),
    pytest.param("service", lambda o: o["status"].update(extra=1), "extra", id="a field nobody knows"),
    pytest.param(
        "service",
        lambda o: o["status"]["instances"]["demo1"]["resources"]["ip#0"].update(flags="R"),
        "flags",
        id="flags of one character",
    ),
]


@pytest.mark.parametrize(("name", "damage", "word"), BROKEN)
def test_a_shape_refuses_what_differs(name: str, damage: Any, word: str) -> None:
    good = service("svc1")
    assert shapes.fault(name, good) == ""
    damage(good)
    assert word in shapes.fault(name, good)


async def test_the_fake_agent_answers_in_these_shapes() -> None:
    agent = FakeAgent(service("svc1"))
    agent.happen("mount")
    answers = {
        "services": {"items": list(agent.services())},
        "plan": await agent.plan("root/svc1"),
        "why": await agent.why("root/svc1"),
        "node": agent.node(),
        "events": {"items": list(await agent.events(60, "", 10, 0))},
    }
    assert {name: shapes.fault(name, value) for name, value in answers.items()} == dict.fromkeys(
        answers, ""
    )
