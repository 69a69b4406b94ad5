"""The report card: what a model can do after each stage, as a picture, a web page and Markdown.

Its source is `report_card.json`:

    {"stages": [{"name", "seconds", "tokens", "preference_accuracy", "exam": {"mean", "stderr", "subjects": {name:
     {"score", "stderr", "items", "zh": share, "en": share}}}}, ...],
     "machine": {name: value}, "seconds": of everything, "samples": [{"question", "answer", "stage"}, ...]}

Scores are shares between 0 and 1. Of a stage, only the name is required; the curves come from the `metrics.jsonl`
files beneath the card's folder.
"""

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minimind.config import UserError
from minimind.plots.curves import Records
from minimind.runtime.records import read_records

LANGUAGES: tuple[str, ...] = ("zh", "en")


@dataclass(frozen=True)
class Score:
    """A share of right answers and its standard error; per language where it was examined in both."""

    share: float
    stderr: float = 0.0
    languages: dict[str, float] = field(default_factory=dict)
    items: int = 0

    def differs_from(self, other: "Score") -> bool:
        """More than two standard errors of the difference away."""
        return abs(self.share - other.share) > 2 * math.hypot(self.stderr, other.stderr)


@dataclass(frozen=True)
class Stage:
    name: str
    seconds: float | None
    tokens: int | None
    mean: Score | None
    subjects: dict[str, Score]
    preference_accuracy: float | None


@dataclass(frozen=True)
class Card:
    stages: list[Stage]
    machine: dict[str, Any]
    samples: list[dict[str, Any]]
    curves: dict[str, Records]  # stage name -> records
    seconds: float  # of everything, the exams included

    @property
    def examined(self) -> list[Stage]:
        return [stage for stage in self.stages if stage.mean is not None]

    @property
    def subjects(self) -> list[str]:
        """All subjects, the best known at last first."""
        names = {name: None for stage in self.examined for name in stage.subjects}
        last = self.examined[-1].subjects if self.examined else {}
        return sorted(names, key=lambda name: -last[name].share if name in last else 1.0)


def write(source: str | Path) -> list[Path]:
    """Writes report_card.png, .html and .md; `source` is the card's JSON file or the folder that holds it."""
    from minimind.plots.pages import html_page, markdown_page
    from minimind.plots.picture import draw

    card_file = Path(source)
    if card_file.is_dir():
        card_file /= "report_card.json"
    card = read(card_file)
    png, html, markdown = (card_file.with_suffix(suffix) for suffix in (".png", ".html", ".md"))
    draw(card, png)
    html.write_text(html_page(card, png.read_bytes()), encoding="utf-8")
    markdown.write_text(markdown_page(card, png.name), encoding="utf-8")
    return [png, html, markdown]


def read(card_file: Path) -> Card:
    """The card of a JSON file. Raises UserError, naming the file and the place, for anything else."""
    try:
        values = json.loads(card_file.read_text(encoding="utf-8"))
        stages = [_stage(stage) for stage in values["stages"]]
    except OSError as error:
        raise UserError(f"{card_file}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{card_file}: not a report card ({type(error).__name__}: {error})") from None
    if not stages:
        raise UserError(f"{card_file}: the card has no stages yet")
    return Card(
        stages=stages,
        machine=values.get("machine", {}),
        samples=values.get("samples", []),
        curves=_curves(card_file.parent, stages),
        seconds=values.get("seconds") or sum(stage.seconds or 0.0 for stage in stages),
    )


def _stage(values: dict[str, Any]) -> Stage:
    exam = values.get("exam")
    subjects = {name: _score(name, subject) for name, subject in exam["subjects"].items()} if exam else {}
    mean = None
    if exam:
        # the mean of independent subjects: the errors add in squares
        stderr = math.sqrt(sum(score.stderr**2 for score in subjects.values())) / max(len(subjects), 1)
        mean = Score(_share("mean", exam["mean"]), exam.get("stderr", stderr))
    accuracy = values.get("preference_accuracy")
    return Stage(
        name=values["name"],
        seconds=values.get("seconds"),
        tokens=values.get("tokens"),
        mean=mean,
        subjects=subjects,
        preference_accuracy=None if accuracy is None else _share("preference_accuracy", accuracy),
    )


def _score(name: str, values: dict[str, Any]) -> Score:
    languages = {key: _share(name, values[key]) for key in LANGUAGES if key in values}
    return Score(_share(name, values["score"]), values.get("stderr") or 0.0, languages, values.get("items", 0))


def _share(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}, but a score is a share between 0 and 1")
    return float(value)


def _curves(folder: Path, stages: list[Stage]) -> dict[str, Records]:
    """Records by stage: of the run in a folder named after the stage, such as `pretrain` or `pretrain_128`."""
    files = sorted(folder.rglob("metrics.jsonl"))
    curves = {}
    for stage in stages:
        name = re.compile(re.escape(stage.name) + r"(_\d+)?(_moe)?")
        records = next((read_records(file) for file in files if name.fullmatch(file.parent.name)), [])
        if records:
            curves[stage.name] = records
    return curves
