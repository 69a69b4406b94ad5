"""The picture of a report card: subjects by stages, the means, the time, and how the losses went."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from minimind.plots.curves import plot_metric, series
from minimind.plots.report_card import Card, Score
from minimind.plots.style import COLOURS, HEAT, INK, MUTED, figure, label, quiet_axes, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEADLINES = ("reward", "loss")  # the metric that tells how a stage went: the first that it recorded


def draw(card: Card, path: Path) -> None:
    """Writes the picture. All of its words are English; names it cannot draw are numbered."""
    rows = len(card.subjects) + 2
    curves = [stage.name for stage in card.stages if stage.name in card.curves]
    upper = max(0.36 * rows + 1.0, 4.5)
    with figure(14, upper + (2.6 if curves else 0) + 0.6) as picture:
        grid = picture.add_gridspec(2 if curves else 1, 1, height_ratios=[upper, 2.6] if curves else [1])
        above = grid[0].subgridspec(2, 2, width_ratios=[1.25, 1])
        _heat_map(picture.add_subplot(above[:, 0]), card)
        _means(picture.add_subplot(above[0, 1]), card)
        _times(picture.add_subplot(above[1, 1]), card)
        if curves:
            below = grid[1].subgridspec(1, len(curves))
            for index, name in enumerate(curves):
                _curve(picture.add_subplot(below[0, index]), card, name, COLOURS[_index(card, name) % len(COLOURS)])
        picture.suptitle(_headline(card), x=0.012, ha="left", fontsize=15, fontweight="bold")
        save(picture, path)


def _headline(card: Card) -> str:
    words = "MiniMind report card"
    mean = card.examined[-1].mean if card.examined else None
    if mean is not None:
        words += f": {100 * mean.share:.0f} % of the exam right"
    if card.seconds:
        words += f" after {card.seconds / 60:.1f} minutes"
    if str(card.machine.get("device", "cpu")) == "cpu":
        place = f"{card.machine['cores']} cores" if "cores" in card.machine else ""
    else:
        place = label(str(card.machine.get("processor", "")), "")
    return words + (f" on {place}" if place else "")


def _heat_map(axes: Axes, card: Card) -> None:
    """Rows: the mean, the subjects, the preferences. Columns: the stages that were examined."""
    from matplotlib.colors import LinearSegmentedColormap

    stages = card.examined
    rows: list[tuple[str, list[Score | None]]] = [("all subjects", [stage.mean for stage in stages])]
    for number, name in enumerate(card.subjects, 1):
        rows.append((label(name, f"subject {number}").replace("_", " "), [s.subjects.get(name) for s in stages]))
    accuracies = [None if s.preference_accuracy is None else Score(s.preference_accuracy) for s in stages]
    if any(accuracies):
        rows.append(("preference pairs", list(accuracies)))
    colours = LinearSegmentedColormap.from_list("little to much", HEAT)
    for row, (_, scores) in enumerate(rows):
        for column, score in enumerate(scores):
            if score is None:
                continue
            axes.fill_between([column + 0.02, column + 0.98], row + 0.04, row + 0.96, color=colours(score.share), lw=0)
            earlier = scores[column - 1] if column else None
            moved = earlier is not None and score.stderr > 0 and score.differs_from(earlier)
            arrow = "" if not moved or earlier is None else " ▲" if score.share > earlier.share else " ▼"
            axes.text(
                column + 0.5, row + 0.52, f"{100 * score.share:.0f}{arrow}", ha="center", va="center",
                color="white" if score.share > 0.55 else INK, fontweight="bold" if row == 0 else "normal",
            )  # fmt: skip
    axes.set_xlim(0, max(len(stages), 1))
    axes.set_ylim(len(rows), 0)
    axes.set_xticks([index + 0.5 for index in range(len(stages))], [_name(card, stage.name) for stage in stages])
    axes.set_yticks([index + 0.5 for index in range(len(rows))], [name for name, _ in rows])
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.tick_params(length=0, labelcolor=INK)
    axes.xaxis.tick_top()
    axes.spines[:].set_visible(False)
    axes.set_title("right answers after each stage, in percent", pad=26)
    axes.set_xlabel("arrows: more than two standard errors from the exam before", loc="left", fontsize=8)


def _means(axes: Axes, card: Card) -> None:
    stages = card.examined
    axes.set_title("all subjects")
    for position, stage in enumerate(stages):
        assert stage.mean is not None
        share, error = 100 * stage.mean.share, 200 * stage.mean.stderr
        colour = COLOURS[_index(card, stage.name) % len(COLOURS)]
        axes.bar(position, share, width=0.62, color=colour)
        axes.errorbar(position, share, yerr=error, color=INK, capsize=4, linewidth=1.2)
        axes.text(position, share + error + 2, f"{share:.1f} %", ha="center", va="bottom", fontweight="bold")
    axes.set_xticks(range(len(stages)), [_name(card, stage.name) for stage in stages])
    axes.set_xlim(-0.6, max(len(stages), 1) - 0.4)
    axes.set_ylim(0, 112)
    axes.set_yticks(range(0, 101, 25))
    axes.set_ylabel("percent right, with two\nstandard errors", fontsize=8)
    quiet_axes(axes)


def _times(axes: Axes, card: Card) -> None:
    stages = [stage for stage in card.stages if stage.seconds is not None]
    axes.set_title("time and tokens of each stage")
    longest = max((stage.seconds or 0.0 for stage in stages), default=1.0) or 1.0
    for position, stage in enumerate(stages):
        seconds = stage.seconds or 0.0
        axes.barh(position, seconds, height=0.62, color=COLOURS[_index(card, stage.name) % len(COLOURS)])
        tokens = f", {short(stage.tokens)} tokens" if stage.tokens else ""
        axes.text(seconds + longest * 0.015, position, f"{seconds:.0f} s{tokens}", va="center", fontsize=9)
    axes.set_yticks(range(len(stages)), [_name(card, stage.name) for stage in stages])
    axes.set_ylim(max(len(stages), 1) - 0.4, -0.6)
    axes.set_xlim(0, longest * 1.42)
    axes.set_xlabel("seconds", fontsize=8)
    quiet_axes(axes, "x")


def _curve(axes: Axes, card: Card, stage: str, colour: str) -> None:
    records = card.curves[stage]
    metric = next((name for name in HEADLINES if series(records, name)[0]), HEADLINES[-1])
    axes.set_title(f"{_name(card, stage)}: {metric}", fontsize=10)
    plot_metric(axes, records, metric, colour, None)
    if metric == "loss":
        steps, values = series(records, "val_loss")
        axes.plot(steps, values, "o", color=INK, markersize=3.5, label="validation")
        if steps:
            axes.legend(fontsize=8, loc="upper right")
    axes.set_xlabel("step", fontsize=8)
    axes.tick_params(labelsize=8, labelcolor=MUTED)
    quiet_axes(axes)


def _index(card: Card, stage: str) -> int:
    return [known.name for known in card.stages].index(stage)


def _name(card: Card, stage: str) -> str:
    return label(stage, f"stage {_index(card, stage) + 1}")


def short(count: int) -> str:
    """1,234,567 as 1.2 M."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)
