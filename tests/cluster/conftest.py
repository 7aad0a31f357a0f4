"""One real cluster for the tests that do not break it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from driving import Cluster, open_cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two lanes on this machine, shared by the tests that do not break it."""
    folder = tmp_path_factory.mktemp("cluster")
    with open_cluster(folder) as opened:
        yield opened
