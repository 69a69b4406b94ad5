"""`minimind exam` as other programs call it, with random tiny models and a few questions."""

import dataclasses
import json

import pytest
import torch

from minimind.cli.main import main
from minimind.model.config import ModelConfig
from minimind.model.language_model import LanguageModel
from minimind.model.store import save_weights
from minimind.tokenizer import Tokenizer

FEW = ["--per_language", "1", "--max_new_tokens", "2", "--subjects", "geography", "addition"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder, tokenizer = tmp_path_factory.mktemp("weights"), Tokenizer.load()
    for seed, stage in enumerate(("full_sft", "dpo")):
        torch.manual_seed(seed)
        config = ModelConfig(tokenizer.vocab_size, hidden_size=32, num_hidden_layers=1, num_attention_heads=4)
        path = folder / f"{stage}_32.pth"
        save_weights(LanguageModel(config), path)
        card = {"format": 1, "stage": stage, "model": dataclasses.asdict(config), "tokenizer": "default"}
        path.with_suffix(".json").write_text(json.dumps(card))
    return str(folder)


def test_json_is_the_report_and_nothing_else(out, capsys):
    assert main(["exam", "--weight", "full_sft", "--json", "--save_dir", out, *FEW]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["subjects"]) == {"geography", "addition"} and report["mean"] == 0
    for subject in report["subjects"].values():
        assert subject["items"] == 2 and {"score", "stderr"} <= subject.keys()
        assert subject["zh"] == subject["en"] == 0


def test_several_weights_side_by_side(out, capsys, tmp_path):
    replies = tmp_path / "replies.jsonl"
    argv = ["exam", "--weight", "full_sft", "--weight", "dpo", "--save_dir", out, *FEW]
    assert main([*argv, "--out", str(replies)]) == 0
    table = capsys.readouterr().out
    assert "full_sft" in table and "dpo" in table and table.count("0.0 ± 0.0") >= 6
    for stage in ("full_sft", "dpo"):
        lines = (tmp_path / f"replies_{stage}_32.jsonl").read_text().splitlines()
        assert len(lines) == 4 and json.loads(lines[0])["subject"] == "geography"
    assert main([*argv, "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["full_sft", "dpo"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--subjects", "alchemy"], "there are geography"), (["--weight", "gropo"], "no weights gropo_SIZE.pth")],
)
def test_mistakes(out, capsys, flags, message):
    assert main(["exam", "--save_dir", out, *flags]) == 2
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == 1
