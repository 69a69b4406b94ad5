"""What all tests share: one thread each, so that they run beside one another, and the optional real data."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """A folder of real data beside the repository; tests that want it are skipped where it is not."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real data folder beside the repository")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _one_thread_each():
    """Two workers on two cores: with more threads they would only wait for each other."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's own empty folder, which is also the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
