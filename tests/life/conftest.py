"""The bed of each test here."""

from collections.abc import Iterator

import pytest

from tests.life.bed import Bed


@pytest.fixture
def bed() -> Iterator[Bed]:
    with Bed() as made, made.inside():
        yield made
