"""The names that other programs import."""

import pytest

import minimind


def test_every_promised_name_is_there():
    assert {name for name in minimind.__all__ if getattr(minimind, name) is None} == set()
    assert set(minimind.__all__) <= set(dir(minimind))
    assert {"load", "LanguageModel", "ModelConfig", "Tokenizer", "__version__"} == set(minimind.__all__)


def test_other_names_are_errors():
    with pytest.raises(AttributeError, match="no attribute 'loda'"):
        _ = minimind.loda
