"""What is made once for all end-to-end tests, by whichever worker needs it first."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from school import School


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """once(name, make) -> the folder `name` that all workers share, after make(folder) has filled it."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # each worker has a folder of its own inside the session's
        root = root.parent

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        home = root / "shared" / name
        home.mkdir(parents=True, exist_ok=True)
        with open(home / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (home / ".made").exists():
                make(home)
                (home / ".made").touch()
        return home

    return folder


@pytest.fixture(scope="session")
def school(once) -> School:
    return School(once("school", lambda folder: School(folder).make()))
