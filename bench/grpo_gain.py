"""What group-relative policy optimisation adds to the primer's model, over several seeds.

    python bench/grpo_gain.py --weight dpo --seeds 3

Reinforces the same weights once for each seed and examines before and after: on the subjects that the rewards are for
(the gain, in standard errors of the difference) and on all others (what was kept). The exam's questions are the same
each time and none of them is ever trained on. Prints a table and writes bench/results/grpo_gain.json.
"""

import json
import math
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from minimind.bundle import find_weights, load
from minimind.config import UserError, flag, parse
from minimind.data.primer.exam import exam_items
from minimind.data.primer.prompts import SHARES
from minimind.evals import exam
from minimind.presets import get
from minimind.runtime.device import describe_machine, resolve_device
from minimind.stages import grpo


@dataclass
class Config:
    weight: str = flag("dpo", "weights to start from")
    save_dir: str = flag("out", "folder of the weights")
    data_path: str = flag("dataset/primer/primer_grpo.jsonl", "prompts with answers")
    seeds: int = flag(3, "how many runs", minimum=1)
    max_steps: int = flag(0, "steps of each run; 0: the preset's", minimum=0)
    questions: int = flag(100, "exam questions for each subject and language", minimum=1)
    out: str = flag("bench/results/grpo_gain.json", "file for the figures")


def main(argv: list[str]) -> int:
    config = parse(Config(), argv, command="bench/grpo_gain.py", description=__doc__)
    start = find_weights(config.weight, config.save_dir)
    items = exam_items(config.questions)
    before = summary(exam.run(load(start), items))
    rows = []
    for seed in range(config.seeds):
        with tempfile.TemporaryDirectory() as folder:
            after = summary(exam.run(load(reinforce(config, start, seed, Path(folder))), items))
        gain = after["trained"] - before["trained"]
        error = math.hypot(before["trained_stderr"], after["trained_stderr"])
        rows.append({"seed": seed, **after, "gain": gain, "stderr": error, "kept": after["others"] - before["others"]})
        print(
            f"seed {seed}: trained subjects {100 * before['trained']:.1f} -> {100 * after['trained']:.1f} % "
            f"({100 * gain:+.1f}, {gain / error:.1f} standard errors), others {100 * rows[-1]['kept']:+.1f}",
            flush=True,
        )
    mean = sum(row["gain"] for row in rows) / len(rows)
    error = math.sqrt(sum(row["stderr"] ** 2 for row in rows)) / len(rows)
    kept = sum(row["kept"] for row in rows) / len(rows)
    print(f"mean gain {100 * mean:+.1f} points, {mean / error:.1f} standard errors; others {100 * kept:+.1f} points")
    report = {"machine": describe_machine(resolve_device("cpu")), "before": before, "runs": rows, "mean_gain": mean}
    Path(config.out).parent.mkdir(parents=True, exist_ok=True)
    Path(config.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


def summary(report: dict) -> dict:
    """Means of the subjects that are reinforced and of the others, with the standard error of the former."""
    trained = [report["subjects"][name] for name in SHARES]
    others = [subject for name, subject in report["subjects"].items() if name not in SHARES]
    return {
        "trained": sum(subject["score"] for subject in trained) / len(trained),
        "trained_stderr": math.sqrt(sum(subject["stderr"] ** 2 for subject in trained)) / len(trained),
        "others": sum(subject["score"] for subject in others) / len(others),
        "subjects": {name: report["subjects"][name]["score"] for name in SHARES},
    }


def reinforce(config: Config, start: Path, seed: int, folder: Path) -> Path:
    """The file of the weights that one run writes."""
    stage = get("grpo", "primer")
    stage.model.from_weight, stage.data.data_path = str(start), config.data_path
    stage.run.save_dir, stage.run.seed, stage.run.quiet = str(folder / "out"), seed, True
    if config.max_steps:
        stage.run.max_steps = config.max_steps
    stage.questions = []
    grpo.train(stage)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return find_weights("grpo", stage.run.save_dir)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        sys.exit(str(error))
