"""Two hosts with the service up on the first."""

from collections.abc import Iterator

import pytest

from tests.cluster.members import Cluster, cluster


@pytest.fixture
def two() -> Iterator[Cluster]:
    with cluster() as made:
        yield made
