"""The names that other programs import."""

import tomllib

import pytest

import minimind


def test_every_promised_name_is_there():
    assert {name for name in minimind.__all__ if getattr(minimind, name) is None} == set()
    assert set(minimind.__all__) <= set(dir(minimind))
    assert {"load", "LanguageModel", "ModelConfig", "Tokenizer", "__version__"} == set(minimind.__all__)


def test_other_names_are_errors():
    with pytest.raises(AttributeError, match="no attribute 'loda'"):
        _ = minimind.loda


def test_every_data_file_is_packed(repository):
    """A file that no pattern of pyproject.toml names would be missing from an installed package."""
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["minimind"]
    source = repository / "src" / "minimind"
    packed = {file for pattern in patterns for file in source.glob(pattern)}
    files = {file for file in source.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")}
    assert {str(file.relative_to(source)) for file in files - packed} == set()
