"""Curves of runs: the loss large, with its validation, and every other metric small beneath it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minimind.config import UserError
from minimind.plots.style import COLOURS, MUTED, figure, label, quiet_axes, save, smooth
from minimind.runtime.records import read_records

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Records = list[dict[str, Any]]
NOT_METRICS = ("step", "tokens", "seconds", "time", "loss", "val_loss")
COLUMNS = 3


def find_runs(paths: Sequence[str | Path]) -> dict[str, Records]:
    """Records by run name. A path is a metrics file, a run's folder, or a folder of runs."""
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_file():
            files.append(path)
        elif path.is_dir():
            found = sorted(path.rglob("metrics.jsonl"))
            if not found:
                raise UserError(f"{path}: no metrics.jsonl in this folder or below it")
            files += found
        else:
            raise UserError(f"{path}: no such file or folder")
    runs: dict[str, Records] = {}
    for file in files:
        name = file.parent.name if file.name == "metrics.jsonl" else file.stem
        records = read_records(file)
        if not records:
            raise UserError(f"{file}: no records in it")
        runs[name if name not in runs else str(file.parent)] = records
    return runs


def series(records: Records, name: str) -> tuple[list[float], list[float]]:
    """Steps and values of one metric, where it was recorded and finite."""
    pairs = [(record["step"], record[name]) for record in records if _is_number(record.get(name))]
    return [float(step) for step, _ in pairs], [float(value) for _, value in pairs]


def metrics_of(runs: Mapping[str, Records]) -> list[str]:
    """The names of the metrics besides the loss, in the order of their first appearance."""
    names: dict[str, None] = {}
    for records in runs.values():
        for record in records:
            names |= {name: None for name, value in record.items() if _is_number(value) and name not in NOT_METRICS}
    return list(names)


def draw(runs: Mapping[str, Records], path: Path) -> None:
    """Writes the picture: one colour a run."""
    others = metrics_of(runs)
    rows = math.ceil(len(others) / COLUMNS)
    with figure(12, 4.5 + 2.3 * rows) as picture:
        grid = picture.add_gridspec(rows + 1, COLUMNS, height_ratios=[4.5, *[2.3] * rows])
        large = picture.add_subplot(grid[0, :])
        large.set_title("loss")
        labels = [label(name, f"run {number}") for number, name in enumerate(runs, 1)]
        for colour, name, records in zip(_colours(len(runs)), labels, runs.values(), strict=True):
            plot_metric(large, records, "loss", colour, name)
            steps, values = series(records, "val_loss")
            if steps:
                large.plot(steps, values, "o--", color=colour, markersize=4, linewidth=1, label=f"{name}: validation")
        large.set_xlabel("step")
        quiet_axes(large)
        large.legend(loc="upper right")
        for index, metric in enumerate(others):
            small = picture.add_subplot(grid[1 + index // COLUMNS, index % COLUMNS])
            small.set_title(metric.replace("_", " "), fontsize=9)
            for colour, records in zip(_colours(len(runs)), runs.values(), strict=True):
                plot_metric(small, records, metric, colour, None)
            small.tick_params(labelsize=8)
            quiet_axes(small)
        save(picture, path)


def plot_metric(axes: Axes, records: Records, metric: str, colour: str, name: str | None) -> None:
    """Every value thin, and the trend over it; a short series as it is."""
    steps, values = series(records, metric)
    if not steps:
        return
    is_long = len(values) > 40
    if is_long:
        axes.plot(steps, values, color=colour, linewidth=0.7, alpha=0.3)
        values = smooth(values, reach=len(values) // 20)
    axes.plot(steps, values, color=colour, linewidth=1.8, label=name, marker="" if len(values) > 1 else "o")


def _colours(count: int) -> list[str]:
    return [COLOURS[index] if index < len(COLOURS) else MUTED for index in range(count)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
