"""Long work in sight: what is done, what it measures, how long it will still take.

On a terminal a live bar; elsewhere (a file, a pipe) a line every few seconds. A `Road` is a plan of several works, such
as all stages of a speedrun: while one is open, every progress also tells the time that the whole road still needs.
"""

import contextvars
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bars

SECONDS_BETWEEN_LINES = 5.0
_road: contextvars.ContextVar["Road | None"] = contextvars.ContextVar("road", default=None)


def clock(seconds: float) -> str:
    """75.2 -> "1:15", 4000 -> "1:06:40"."""
    seconds = max(0, round(seconds))
    hours, rest = divmod(seconds, 3600)
    text = f"{rest // 60}:{rest % 60:02d}" if not hours else f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
    return text


def compact(value: float) -> str:
    """A figure in few characters: 1234567 -> "1.23M", 0.00123 -> "0.00123"."""
    if isinstance(value, str):
        return value
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if suffix == 'k' else limit):.3g}{suffix}"
    return f"{value:.4g}"


class Road:
    """A plan of works with the seconds that each is expected to take; corrects itself by what earlier works took."""

    def __init__(self, plan: dict[str, float]):
        self.plan = plan
        self.taken: dict[str, float] = {}
        self.current: str | None = None
        self.started = 0.0

    @contextmanager
    def work(self, name: str) -> Iterator[None]:
        """The time inside belongs to the work called `name`, and progresses inside tell of the road."""
        self.current, self.started = name, time.monotonic()
        token = _road.set(self)
        try:
            yield
        finally:
            _road.reset(token)
            self.taken[name] = time.monotonic() - self.started
            self.current = None

    def skip(self, name: str) -> None:
        """The work called `name` was done by an earlier run."""
        self.plan = {**self.plan, name: 0.0}

    def label(self) -> str:
        return f"{list(self.plan).index(self.current) + 1}/{len(self.plan)} {self.current}"

    def remaining(self) -> float:
        """Seconds until the end of the plan."""
        planned = sum(self.plan[name] for name in self.taken) or 1.0
        pace = sum(self.taken[name] for name in self.taken if self.plan[name]) / planned if self.taken else 1.0
        ahead = sum(seconds for name, seconds in self.plan.items() if name not in self.taken and name != self.current)
        here = max(0.0, self.plan[self.current] * pace - (time.monotonic() - self.started))
        return here + ahead * pace


class Progress:
    """`with Progress("pretrain", 600, "steps") as progress: progress.update(done, loss=2.1)`."""

    def __init__(self, name: str, total: int, unit: str = "", quiet: bool = False):
        self.name, self.total, self.unit, self.quiet = name, max(1, total), unit, quiet
        self.done = self.first = 0
        self.started = time.monotonic()
        self.last_line = 0.0
        self.figures: dict[str, float | str] = {}
        self.console = Console(file=sys.stderr, highlight=False)
        self.bars = None

    def __enter__(self) -> "Progress":
        if self.console.is_terminal and not self.quiet:
            columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[text]}"))
            self.bars = Bars(*columns, console=self.console, transient=False)
            self.task = self.bars.add_task(escape(self.title()), total=self.total, text="")
            self.bars.start()
        return self

    def __exit__(self, *problem) -> None:
        if self.bars is not None:
            self.bars.stop()
        elif not self.quiet and self.done and problem[0] is None:
            self.line()

    def title(self) -> str:
        road = _road.get()
        return f"[{road.label()}] {self.name}" if road and road.current else self.name

    def resume_at(self, done: int) -> None:
        """Work that an earlier run did counts as done but not as speed."""
        self.first = self.done = done

    def seconds_left(self) -> float:
        pace = (time.monotonic() - self.started) / max(1, self.done - self.first)
        return pace * (self.total - self.done)

    def text(self) -> str:
        parts = [f"{self.done:,}/{self.total:,} {self.unit}".strip()]
        parts += [f"{name} {compact(value)}" for name, value in self.figures.items()]
        if self.done < self.total:
            parts.append(f"{clock(self.seconds_left())} left" if self.done > self.first else "estimating")
        road = _road.get()
        if road and road.current:
            parts.append(f"road {clock(road.remaining())} left")
        return "  ".join(parts)

    def update(self, done: int, **figures: float | str) -> None:
        """`done` of `total` is done; figures replace those of the same name."""
        self.done = done
        self.figures.update(figures)
        if self.bars is not None:
            self.bars.update(self.task, completed=done, text=self.text())
        elif not self.quiet and time.monotonic() - self.last_line >= SECONDS_BETWEEN_LINES:
            self.line()

    def line(self) -> None:
        self.last_line = time.monotonic()
        self.say(f"{self.title()}  {self.text()}")

    def say(self, text: str) -> None:
        """A line of text above the bar."""
        if self.quiet:
            return
        (self.bars.console if self.bars is not None else self.console).print(
            text, markup=False, emoji=False, soft_wrap=True
        )
