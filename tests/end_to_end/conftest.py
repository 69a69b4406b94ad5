"""The small school that all end-to-end tests share, whichever worker needs it first."""

import os

import pytest
from school import School, open_school


@pytest.fixture(scope="session")
def school(tmp_path_factory: pytest.TempPathFactory) -> School:
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # each worker has a folder of its own inside the session's
        root = root.parent
    return open_school(root / "school")
