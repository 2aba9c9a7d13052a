"""What status and conditions make is what the API promises."""

import json
from importlib import resources as files

import jsonschema
import pytest

from reconciler.model import ServiceGoal, State
from tests.metrics.world import service_object

SCHEMA = json.loads((files.files("schemas") / "api" / "service.json").read_text())


@pytest.mark.parametrize("goal", list(ServiceGoal))
@pytest.mark.parametrize("state", list(State))
def test_every_object_has_its_shape(state, goal):
    jsonschema.validate(service_object(states=[state, State.UP], goal=goal), SCHEMA)
