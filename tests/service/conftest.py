from __future__ import annotations

import pytest

from support.package_proof import Dist, built


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Dist:
    return built(tmp_path_factory.mktemp("dist"))
