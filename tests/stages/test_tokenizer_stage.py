"""The stage: any of the data formats in, a tokenizer with its report out."""

import gzip
import json

import pytest

from minimind.config import UserError
from minimind.stages.tokenizer import Config, train
from minimind.tokenizer import Tokenizer

USER, REPLY = {"role": "user", "content": "问题一"}, {"role": "assistant", "content": "回答一"}
FORMATS = {
    "text": {"text": "今天天气很好"},
    "chat": {"conversations": [USER, {**REPLY, "reasoning_content": "想一想"}]},
    "preference": {"chosen": [USER, REPLY], "rejected": [USER, {**REPLY, "content": "不知道"}]},
    "math": {"question": "一加一是几", "answer": "2", "solution": "数一数"},
    "prompt": {"conversations": [USER], "answer": "四"},
}


def write(path, records):
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    (gzip.open(path, "wt", encoding="utf-8") if path.suffix == ".gz" else open(path, "w", encoding="utf-8")).write(
        lines
    )


def numbered(record, count):
    """Copies that differ, with the number put after the first words."""
    text = json.dumps(record, ensure_ascii=False)
    return [json.loads(text.replace("问题一", f"问题一 {n}").replace("很好", f"很好 {n}")) for n in range(count)]


def test_every_format_is_read(tmp_path, capsys):
    for name, record in FORMATS.items():
        write(tmp_path / f"{name}.jsonl", numbered(record, 60))
    write(tmp_path / "packed.jsonl.gz", [{"text": f"压缩 {n}"} for n in range(60)])
    train(Config(data_path=str(tmp_path), vocab_size=400, save_dir=str(tmp_path / "out")))
    tokenizer = Tokenizer.load(tmp_path / "out")
    for character in "今问回想不知几数四压":
        assert len(tokenizer.encode(character)) == 1, character
    summary = json.loads((tmp_path / "out" / "report.json").read_text())
    assert summary["hash"] == tokenizer.hash
    assert summary["round_trip_failures"] == 0 and summary["vocab_size"] == tokenizer.vocab_size
    table = (tmp_path / "out" / "report.md").read_text().split("\n\n")[2]
    assert table in capsys.readouterr().out


def test_bad_records_are_named_and_skipped(tmp_path, capsys):
    records = [{"text": f"line {n}"} for n in range(200)]
    write(tmp_path / "data.jsonl", [*records[:3], {"text": ""}, *records[3:]])
    train(Config(data_path=str(tmp_path / "data.jsonl"), vocab_size=300, save_dir=str(tmp_path / "out")))
    said = capsys.readouterr()
    assert "data.jsonl:4: empty text" in said.err and "1 of 201 records are bad" in said.out
    with pytest.raises(UserError, match="data.jsonl:4"):
        train(Config(data_path=str(tmp_path / "data.jsonl"), strict=True, save_dir=str(tmp_path / "out")))


def test_each_file_gives_its_part_and_a_dry_run_writes_nothing(tmp_path, capsys):
    for name in "ab":
        write(tmp_path / f"{name}.jsonl", [{"text": f"{name}{n:03d}"} for n in range(100)])
    train(Config(data_path=str(tmp_path), max_characters=80, save_dir=str(tmp_path / "out"), dry_run=True))
    said = capsys.readouterr().out
    trained, held_out = (int(word) for word in (said.split()[0], said.split(" held out")[0].split()[-1]))
    assert trained + held_out == 20
    assert not (tmp_path / "out").exists()


def test_a_file_of_no_known_format_is_refused(tmp_path):
    write(tmp_path / "other.jsonl", [{"words": "x"}])
    with pytest.raises(UserError, match="other.jsonl has no record with text"):
        train(Config(data_path=str(tmp_path)))
