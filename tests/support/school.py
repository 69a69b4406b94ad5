"""A small school: data of the primer, a tokenizer and weights, made once, and the stages on it as the command line runs
them. A run of a stage lives in a folder of its own: `out/`, `checkpoints/`, `runs/`.
"""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import torch

from minimind.cli.main import main
from minimind.runtime.records import read_records
from minimind.train import checkpoint

REPOSITORY = Path(__file__).resolve().parents[2]
STAGES = {"pretrain": "pretrain", "full_sft": "sft", "dpo": "dpo", "grpo": "grpo"}  # and the file that each reads
STARTS_FROM = {"full_sft": "pretrain", "dpo": "full_sft", "grpo": "full_sft"}
SIZES = (
    "--hidden_size 32 --num_hidden_layers 2 --num_attention_heads 4 --num_key_value_heads 2 --intermediate_size 64"
).split()
OWN_FLAGS = {
    "pretrain": "",
    "full_sft": "",
    "dpo": "--learning_rate 1e-3",
    "grpo": "--learning_rate 1e-3 --num_generations 4 --max_new_tokens 16 --beta 0.02",
}
COMMON_FLAGS = (
    "--preset primer --max_seq_len 96 --batch_size 8 --max_steps 6 --log_interval 1 --save_interval 2 "
    "--eval_interval 3 --validation_share 0.1 --seed 7 --device cpu --dtype float32 --quiet 1"
)
TIMES = ("seconds", "tokens_per_second")


class School:
    """folder: data/, tokenizer/, out/ with weights of a pretrained and a fine-tuned model, and cache/."""

    def __init__(self, folder: Path):
        self.folder = folder

    def data(self, stage: str) -> Path:
        return self.folder / "data" / f"primer_{STAGES[stage]}.jsonl"

    def weights(self, stage: str) -> Path:
        return self.folder / "out" / f"{stage}_32.pth"

    def command(self, stage: str, home: Path, *flags: str) -> list[str]:
        """The words of a small run of the stage that keeps everything under `home`; later flags win."""
        words = [stage, *COMMON_FLAGS.split(), *OWN_FLAGS[stage].split(), "--data_path", str(self.data(stage))]
        words += ["--save_dir", str(home / "out"), "--cache_dir", str(self.folder / "cache")]
        if stage in STARTS_FROM:
            words += ["--from_weight", str(self.weights(STARTS_FROM[stage]))]
        else:
            words += self.new_model()
        return words + list(flags)

    def new_model(self) -> list[str]:
        return [*SIZES, "--tokenizer_path", str(self.folder / "tokenizer")]

    def train(self, stage: str, home: Path, *flags: str) -> Path:
        """Runs the stage in this process to its end; returns `home`."""
        assert main(self.command(stage, home, *flags)) == 0
        return home

    def stop(self, stage: str, home: Path, *flags: str) -> Path:
        """Runs the stage until its time is over, which is after the first step; returns `home`."""
        try:
            main(self.command(stage, home, *flags, "--max_minutes", "1e-9"))
        except SystemExit as stopped:
            assert stopped.code == 0
            return home
        raise AssertionError("the run did not stop")

    def make(self) -> None:
        from minimind.data.primer.write import write
        from minimind.stages import tokenizer

        write(self.folder / "data", records=300)
        texts = str(self.folder / "data" / "primer_tokenizer.jsonl")
        tokenizer.train(
            tokenizer.Config(
                data_path=texts, vocab_size=400, split_digits=True, save_dir=str(self.folder / "tokenizer")
            )
        )
        self.train("pretrain", self.folder, "--max_steps", "30")
        self.train("full_sft", self.folder, "--max_steps", "40")


def open_school(folder: Path) -> School:
    """The school in `folder`, made by whichever process comes first."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        school = School(folder)
        if not (folder / "made").exists():
            school.make()
            (folder / "made").touch()
    return school


def minimind(*words: str, module: tuple[str, ...] = ("-m", "minimind"), **settings) -> subprocess.Popen:
    """`python -m minimind {words}` as a process of its own, its output piped."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *module, *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


def records(home: Path) -> list[dict]:
    """The metrics of the run in `home`, without what the clock says."""
    (file,) = (home / "runs").glob("*/metrics.jsonl")
    return [{name: value for name, value in record.items() if name not in TIMES} for record in read_records(file)]


def losses(home: Path) -> torch.Tensor:
    return torch.tensor([record["loss"] for record in records(home)], dtype=torch.float64)


def state(home: Path) -> dict:
    """Everything the newest checkpoint in `home` holds, without what the clock says."""
    (folder,) = (home / "checkpoints").glob("*_32*")
    step, states = checkpoint.load(checkpoint.newest(folder))
    states["run"].pop("seconds")
    return {"step": step, **states}


def differences(first, second, name: str = "") -> list[str]:
    """Where two states differ, to the last bit."""
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return [] if first.dtype == second.dtype and torch.equal(first, second) else [name]
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        return [found for key in first for found in differences(first[key], second[key], f"{name}/{key}")]
    if isinstance(first, list | tuple) and isinstance(second, list | tuple) and len(first) == len(second):
        pairs = enumerate(zip(first, second, strict=True))
        return [found for index, (one, other) in pairs for found in differences(one, other, f"{name}/{index}")]
    return [] if first == second else [f"{name}: {first!r} and {second!r}"]


def distance(first: dict, second: dict) -> float:
    """The largest difference of two models' weights, against the largest entry of the matrix it is in."""
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max() / first[name].abs().max()) for name in first)
