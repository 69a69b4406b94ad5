"""`minimind primer`: the built-in curriculum as files in the formats of the stages."""

from dataclasses import dataclass

from minimind.config import flag, parse


@dataclass
class Config:
    out: str = flag("dataset", "folder to write to", "out_dir")
    records: int = flag(20_000, "records of the largest file; the others keep their proportion to it", minimum=1)
    seed: int = flag(0, "seed of the curriculum: the same seed writes the same files", minimum=0)


def main(argv: list[str]) -> int:
    config = parse(
        Config(),
        argv,
        command="minimind primer",
        description="Writes the primer, a bilingual primary school made from tables of facts and from rules, "
        "as data files for every stage. Nothing of its exam is in them.",
        examples="minimind primer --out dataset\nminimind primer --out dataset --records 50000 --seed 7",
    )
    from rich.progress import Progress

    from minimind.data.primer.write import write

    with Progress(transient=True) as bar:
        task = bar.add_task("writing", total=1.0)
        files = write(config.out, config.records, config.seed, lambda share: bar.update(task, completed=share))
    for file in files:
        print(file)
    return 0
