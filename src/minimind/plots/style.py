"""How all pictures look, and the care they take of text: a box in the place of a character is not a label."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from minimind.config import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, FAINT, PAPER = "#1f2933", "#66727f", "#e4e8ee", "#ffffff"
COLOURS = ("#2f6fde", "#e8833a", "#2a9d6f", "#8a5cd1", "#d6455d", "#1aa3b8", "#b08900", "#5f6b7a")
HEAT = ("#f3f6fb", "#cfe0f7", "#8db8ec", "#3f83d6", "#1a56a0")  # little to much
CHINESE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans GB", "Heiti SC", "Microsoft YaHei", "SimHei", "Arial Unicode MS",
)  # fmt: skip


def _chinese_font() -> str | None:
    """The first font of this machine, among the known ones, that has Chinese characters."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return next((font for font in CHINESE_FONTS if font in installed), None)


@contextmanager
def figure(width: float, height: float) -> Iterator[Figure]:
    """A figure of that size in inches, in the house style; it belongs to nobody else and opens no window."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("drawing needs matplotlib: pip install 'minimind[plots]'") from None
    chinese = _chinese_font()
    settings: Any = {
        "font.family": ["DejaVu Sans", *([chinese] if chinese else [])],
        "font.size": 10,
        "text.color": INK,
        "axes.labelcolor": MUTED,
        "axes.edgecolor": "#b8c0ca",
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "grid.color": FAINT,
        "legend.frameon": False,
        "axes.facecolor": PAPER,
        "figure.facecolor": PAPER,
    }
    with matplotlib.rc_context(settings):
        yield Figure(figsize=(width, height), layout="constrained")


def save(picture: Figure, path: Path) -> None:
    """Writes a PNG, without a trace of when and by what, so that equal pictures are equal files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=130, metadata={"Software": None})


def label(text: str, otherwise: str) -> str:
    """`text`, if this machine can draw it, or else `otherwise`."""
    drawable = all(ord(character) < 0x2E80 for character in text)
    return text if drawable or _chinese_font() else otherwise


def quiet_axes(axes: Axes, grid: Literal["x", "y"] = "y") -> None:
    """Thin lines across, no ticks."""
    axes.grid(axis=grid, linewidth=0.8)
    axes.tick_params(length=0)


def smooth(values: list[float], reach: int) -> list[float]:
    """The trend: at each place, the straight line that fits up to `reach` values on either side best.

    Local regression (Cleveland 1979) with equal weights. A plain mean would lag behind a slope near the ends.
    """
    smoothed = []
    for index in range(len(values)):
        start, stop = max(0, index - reach), min(len(values), index + reach + 1)
        window = values[start:stop]
        middle, mean = (start + stop - 1) / 2, sum(window) / len(window)
        spread = sum((place - middle) ** 2 for place in range(start, stop))
        tilt = sum((place - middle) * (value - mean) for place, value in zip(range(start, stop), window, strict=True))
        smoothed.append(mean + (index - middle) * tilt / spread if spread else mean)
    return smoothed
