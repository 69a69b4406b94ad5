"""`minimind primer`: the built-in curriculum as files in the formats of the stages."""

from dataclasses import dataclass

from minimind.config import flag, parse


@dataclass
class Config:
    out: str = flag("dataset", "folder to write to", "out_dir")
    records: int = flag(60_000, "records of the pretraining file; the others are a fixed share of it", minimum=1)
    seed: int = flag(0, "the same seed writes the same files", minimum=0)


def main(argv: list[str]) -> int:
    config = parse(
        Config(),
        argv,
        command="minimind primer",
        description="Writes the primer, a bilingual primary school made from tables of facts and from rules, "
        "as data files for every stage. Nothing of its exam is in what the stages train on.",
        examples="minimind primer --out dataset\nminimind primer --out dataset --records 200_000 --seed 7",
    )
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from minimind.data.primer.write import write

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    with Progress(*columns, TimeRemainingColumn(), transient=True) as bar:
        tasks = {}

        def progress(name: str, done: int, wanted: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=wanted)
            bar.update(tasks[name], completed=done)

        written = write(config.out, config.records, config.seed, progress)
    for name, records in written.items():
        print(f"{config.out}/{name}: {records:,} records")
    return 0
