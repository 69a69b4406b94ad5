"""`minimind plot`: curves from metrics, the report card from its JSON."""

from dataclasses import dataclass
from pathlib import Path

from minimind.config import UserError, flag, parse
from minimind.plots import curves, report_card


@dataclass
class Config:
    sources: list[str] = flag([], "runs, metrics files, or one report_card.json", positional=True)
    out: str = flag("", "picture of the curves to write; empty: curves.png beside the first source")


def main(argv: list[str]) -> int:
    config = parse(
        Config(),
        argv,
        command="minimind plot",
        description="Draws the curves of one run, or of several in one picture, from their metrics.jsonl. Given a "
        "report_card.json, or a folder that holds one, it writes the report card (.png, .html, .md) anew.",
        examples="minimind plot runs/pretrain_512\nminimind plot runs/*/metrics.jsonl --out curves.png\n"
        "minimind plot runs/speedrun/report_card.json",
    )
    if not config.sources:
        raise UserError("nothing to draw: name a run's folder, metrics.jsonl files or a report_card.json")
    for path in _draw(config):
        print(path)
    return 0


def _draw(config: Config) -> list[Path]:
    sources = [Path(source) for source in config.sources]
    cards = [path for path in sources if path.name == "report_card.json" or (path / "report_card.json").is_file()]
    if cards and (len(sources) > 1 or config.out):
        raise UserError("a report card is written beside its JSON file: name it alone and without --out")
    if cards:
        return report_card.write(cards[0])
    runs = curves.find_runs(sources)
    first = sources[0] if sources[0].is_dir() else sources[0].parent
    picture = Path(config.out) if config.out else first / "curves.png"
    curves.draw(runs, picture)
    return [picture]
