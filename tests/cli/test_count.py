"""The counts as other programs read them."""

import json

import pytest

from minimind.cli.main import main


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [
        ("minimind2-small", 25_829_888),
        ("minimind2", 104_030_976),
        ("minimind2-moe", 145_029_760),
        ("minimind-3", 63_912_192),
        ("minimind-3-moe", 198_416_640),
    ],
)
def test_presets_have_exactly_these_parameters(preset, parameters, capsys):
    assert main(["count", "--preset", preset, "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert set(numbers) == {"parameters", "active_parameters", "flops_per_token", "bytes"}
    assert numbers["parameters"] == parameters
    assert (numbers["active_parameters"] < parameters) == preset.endswith("moe")


def test_size_flags_and_the_older_spellings(capsys):
    assert main(["count", "--dim", "768", "--n_layers", "16", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 104_030_976


def test_the_table_shows_one_model_or_all(capsys):
    assert main(["count"]) == 0
    assert len(capsys.readouterr().out.strip().split("\n")) == 8  # a heading, six presets, a note
    assert main(["count", "--preset", "minimind-3"]) == 0
    assert "minimind-3            63,912,192" in capsys.readouterr().out


def test_an_unknown_preset_names_the_nearest(capsys):
    assert main(["count", "--preset", "minimind2-mo", "--hidden_size", "0"]) == 2
    assert capsys.readouterr().err.split("\n")[:2] == [
        "minimind count: there is no model preset 'minimind2-mo': did you mean minimind2-moe?",
        "minimind count: --hidden_size: expected a whole number of at least 1, got '0'",
    ]
