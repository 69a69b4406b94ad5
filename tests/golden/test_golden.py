"""Ten steps of every stage, as they were when last looked at: no change of the numbers goes unnoticed.

Where a change is meant, remove the stage's file, run this test once - it writes the file anew and fails - and look at
the difference before it is kept:  rm tests/golden/dpo.json; pytest tests/golden
The stages follow each other, so a change of one shows in those after it. The tolerance is for other processors.
"""

import json
from pathlib import Path

import pytest

from minimind.cli.main import main
from minimind.runtime.records import read_records

pytestmark = pytest.mark.slow
TOLERANCE = {"rel": 1e-4, "abs": 2e-5}  # the second for what is 0 but for rounding
KEPT = ("loss", "gradient_norm", "reward", "reply_tokens", "accuracy")
COMMON = (
    "--max_seq_len 64 --batch_size 4 --max_steps 10 --log_interval 1 --validation_share 0 --seed 1 --device cpu "
    "--dtype float32 --warmup_steps 2 --quiet 1"
)
SIZES = "--hidden_size 32 --num_hidden_layers 2 --num_attention_heads 4 --num_key_value_heads 2"
STAGES = {
    "pretrain": f"{SIZES} --optimizer muon --learning_rate 1e-2 --schedule wsd --accumulation_steps 2",
    "full_sft": "--optimizer muon --learning_rate 1e-2 --schedule cosine --accumulation_steps 1",
    "dpo": "--learning_rate 2e-3 --schedule constant --beta 0.2 --sft_weight 0.1 --label_smoothing 0.05",
    "grpo": "--learning_rate 2e-3 --schedule constant --beta 0.05 --num_generations 4 --max_new_tokens 16 "
    "--temperature 0.6 --updates 2 --rewards answer=1,repetition=1,format=1 --micro_rows 4",
}


def sums():
    return [(first, second, first + second) for first in range(3, 9) for second in range(2, 10)]


def question(first, second):
    return [{"role": "user", "content": f"{first}+{second}=?"}]


def answered(conversation, reply):
    return [*conversation, {"role": "assistant", "content": reply}]


RECORDS = {
    "pretrain": [{"text": f"{a}加{b}等于{c}。 {a} plus {b} is {c}."} for a, b, c in sums()],
    "full_sft": [{"conversations": answered(question(a, b), f"{a}+{b}={c}")} for a, b, c in sums()],
    "dpo": [
        {
            "chosen": answered(question(a, b), f"{a}+{b}={c}"),
            "rejected": answered(question(a, b), f"{a}+{b}={c + 1} or so"),
        }
        for a, b, c in sums()
    ],
    "grpo": [{"conversations": question(a, b), "answer": str(c)} for a, b, c in sums()],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """All stages, one after the other."""
    folder = tmp_path_factory.mktemp("golden")
    before = "none"
    for stage, flags in STAGES.items():
        data = folder / f"{stage}.jsonl"
        data.write_text("".join(json.dumps(record) + "\n" for record in RECORDS[stage]), encoding="utf-8")
        words = [*COMMON.split(), *flags.split(), "--data_path", str(data), "--save_dir", str(folder / "out")]
        assert main([stage, *words, "--from_weight", before]) == 0
        before = stage
    return folder


@pytest.mark.parametrize("stage", list(STAGES))
def test_the_first_ten_steps(home, stage):
    records = read_records(home / "runs" / f"{stage}_32" / "metrics.jsonl")
    trace = {name: [record[name] for record in records] for name in KEPT if name in records[0]}
    file = Path(__file__).with_name(f"{stage}.json")
    if not file.exists():
        file.write_text(json.dumps(trace, indent=1) + "\n", encoding="utf-8")
        pytest.fail(f"there was no {file.name}: it was written now, look at it and run again")
    golden = json.loads(file.read_text(encoding="utf-8"))
    assert trace.keys() == golden.keys()
    for name, values in golden.items():
        assert len(values) == 10 and trace[name] == pytest.approx(values, **TOLERANCE), name
