"""`minimind exam`: the primer's exam for one or more weights, as a table or as JSON."""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from minimind.config import UserError, flag, parse

if TYPE_CHECKING:
    from minimind.bundle import Bundle


@dataclass
class Config:
    weight: list[str] = flag(["full_sft"], "weights to examine: a stage's name or a path; give it again for more")
    json: bool = flag(False, "print one JSON object and nothing else: the report, or with several weights one by name")
    out: str = flag("", "write every question, reply and mark to this JSONL file")
    subjects: list[str] = flag([], "only these subjects; none: all of them")
    per_language: int = flag(100, "questions for each subject and language", minimum=1)
    max_new_tokens: int = flag(
        0, "longest reply in tokens; 0: twice the length of the reference and 16 more", minimum=0
    )
    batch_size: int = flag(256, "questions answered at the same time", minimum=1)
    save_dir: str = flag("out", "folder of the weights", "--out_dir")
    hidden_size: int | None = flag(None, "width of the weights, where several of one name exist", "--dim", minimum=1)
    use_moe: bool | None = flag(None, "take the weights with a mixture of experts, where both kinds exist")
    tokenizer: str = flag("", "folder of the tokenizer; empty: the weights' own")
    device: str = flag("auto", "auto, cpu, cuda, cuda:0 or mps")


def main(argv: list[str]) -> int:
    config = parse(
        Config(),
        argv,
        command="minimind exam",
        description="Asks every question of the primer's exam and judges the replies exactly. The questions are the "
        "same for every model, and none of them occurs in the primer's training data.",
        examples="minimind exam --weight full_sft\nminimind exam --weight full_sft --weight grpo\n"
        "minimind exam --weight out/dpo_128.pth --json --out replies.jsonl",
    )
    names = list(dict.fromkeys(config.weight))
    reports = {name: examine(name, config, several=len(names) > 1) for name in names}
    if config.json:
        print(json.dumps(reports if len(names) > 1 else reports[names[0]], ensure_ascii=False))
    else:
        print_table(reports)
    return 0


def examine(name: str, config: Config, several: bool) -> dict:
    """The report of one model; progress goes to the error stream."""
    from minimind.evals import exam
    from minimind.runtime.progress import Progress

    bundle = open_bundle(name, config)
    items = chosen_items(config)
    transcript = transcript_path(config.out, bundle.path.stem, several)
    started = time.monotonic()
    with Progress(f"exam of {bundle.path.stem}", len(items), "questions", quiet=config.json) as progress:
        report = exam.run(
            bundle,
            items,
            config.batch_size,
            config.max_new_tokens or None,
            lambda done, _: progress.update(done),
            transcript,
        )
    return report | {"seconds": round(time.monotonic() - started, 2)}


def open_bundle(name: str, config: Config) -> "Bundle":
    from minimind import bundle
    from minimind.runtime.device import resolve_device

    path = bundle.find_weights(name, config.save_dir, config.hidden_size, config.use_moe)
    loaded = bundle.load(path, resolve_device(config.device), tokenizer=config.tokenizer or None)
    for note in loaded.notes:
        print(f"note: {note}", file=sys.stderr)
    return loaded


def chosen_items(config: Config) -> list:
    from minimind.data.primer.exam import exam_items

    try:
        items = exam_items(config.per_language)
    except ValueError as error:
        raise UserError(f"--per_language {config.per_language}: {error}; ask for fewer") from error
    known = list(dict.fromkeys(item.subject for item in items))
    unknown = [subject for subject in config.subjects if subject not in known]
    if unknown:
        raise UserError(f"no subject {', '.join(unknown)}: there are {', '.join(known)}")
    return [item for item in items if not config.subjects or item.subject in config.subjects]


def transcript_path(out: str, name: str, several: bool) -> Path | None:
    """The file for one model's replies: with several models each gets its own, named after its weights."""
    if not out:
        return None
    path = Path(out)
    return path.with_name(f"{path.stem}_{name}{path.suffix}") if several else path


def print_table(reports: dict[str, dict]) -> None:
    """Subjects down, weights across; percent with the standard error."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="exam, percent right ± standard error", title_justify="left")
    table.add_column("subject")
    for name in reports:
        for column in ("zh", "en", name):
            table.add_column(column, justify="right")
    first = next(iter(reports.values()))
    for subject in first["subjects"]:
        cells = []
        for report in reports.values():
            scores = report["subjects"][subject]
            cells += [percent(scores[key]) for key in ("zh", "en")] + [with_error(scores)]
        table.add_row(subject, *cells)
    table.add_section()
    for split in first["splits"]:
        table.add_row(
            f"[dim]all of '{split}'",
            *(cell for r in reports.values() for cell in ("", "", with_error(r["splits"][split]))),
        )
    table.add_section()
    mean = (
        cell for r in reports.values() for cell in ("", "", with_error({"score": r["mean"], "stderr": r["stderr"]}))
    )
    table.add_row("mean", *mean, style="bold")
    console = Console()
    # Outside a terminal nothing tells the width, and a cut table is of no use.
    Console(width=None if console.is_terminal else 60 + 40 * len(reports)).print(table)


def percent(share: float) -> str:
    return f"{100 * share:.0f}"


def with_error(scores: dict) -> str:
    return f"{100 * scores['score']:.1f} ± {100 * scores['stderr']:.1f}"
