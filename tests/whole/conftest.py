"""The bed of each test here."""

from collections.abc import Iterator

import pytest

from tests.outcomes.bed import Bed, bedding


@pytest.fixture
def bed() -> Iterator[Bed]:
    with bedding() as made:
        yield made
