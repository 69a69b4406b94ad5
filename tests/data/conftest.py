"""What the data tests share: writing small files, and the package's tokenizer."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from minimind.tokenizer.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.load()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """write(name, records or raw lines) -> path; a name that ends in .gz is packed."""

    def write_file(name: str, lines: list) -> Path:
        raw = [line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode() for line in lines]
        content = b"\n".join(raw) + b"\n"
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write_file
