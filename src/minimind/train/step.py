"""One step: micro-batches, one gradient over all of them and all ranks, a checked update.

The loss of a step is a sum over tokens (or sequences) divided by how many there are in the whole step, over all
micro-batches and ranks. Each `backward` adds its part of that quotient to the gradient, so neither the number of
micro-batches nor the number of ranks changes the mathematics.
"""

import math
from collections.abc import Iterator

import torch

from minimind.config import UserError
from minimind.train.parallel import sum_gradients


class Step:
    """What happens between two updates. Made by `run.steps`; `number` counts from 1."""

    def __init__(self, run, number: int, total_steps: int, factor: float):
        self.run, self.number, self.total_steps, self.factor = run, number, total_steps, factor
        self.notes: dict[str, tuple] = {}
        self.denominator = 1.0
        self.loss_sum = torch.zeros((), device=run.device)
        self.loss_of_step = math.nan

    @property
    def last(self) -> bool:
        return self.number == self.total_steps

    def total(self, count: float) -> None:
        """Says how many tokens (or sequences) this rank's part of the step is a mean over; summed over the ranks."""
        self.denominator = max(1.0, self.run.ranks.add(count)[0])

    def split(self, batch, rows: int | None = None, count: float | None = None) -> Iterator:
        """The micro-batches of this rank's batch: `rows` rows each (--batch_size).

        The step's loss is a mean over `count` (of this rank), by default the batch's targets.
        """
        self.total(batch.count if count is None else count)
        self.saw(batch.tokens)
        rows = rows or self.run.config.batch_size
        for start in range(0, batch.ids.size(0), rows):
            yield batch.rows(start, min(batch.ids.size(0), start + rows)).to(self.run.device)

    def saw(self, tokens: int) -> None:
        """Counts this rank's real tokens into the run's."""
        self.run.tokens += round(self.run.ranks.add(tokens)[0])

    def backward(self, loss_sum: torch.Tensor) -> None:
        """Adds the gradient of loss_sum / denominator."""
        self.loss_sum += loss_sum.detach()
        self.run.scaler.scale(loss_sum / self.denominator).backward()

    def apply(self, optimizer) -> None:
        """Sums the gradients over the ranks, checks and clips them, updates, and clears them.

        Raises UserError before the update when the loss or the gradient is not finite on any rank: weights,
        optimizer and checkpoints stay as they were.
        """
        run = self.run
        extra = torch.stack([self.loss_sum.float(), torch.tensor(float(bool(run.stop_asked)), device=run.device)])
        loss_sum, stop = sum_gradients(optimizer.parameters, run.ranks, extra).tolist()
        self.loss_of_step = loss_sum / self.denominator
        run.stop_agreed = run.stop_agreed or stop > 0
        for part in optimizer.parts:
            run.scaler.unscale_(part)
        limit = run.config.grad_clip or math.inf
        norm = torch.nn.utils.clip_grad_norm_(optimizer.parameters, limit).item()
        if not math.isfinite(loss_sum) or not (math.isfinite(norm) or run.scaler.is_enabled()):
            optimizer.zero_grad()
            raise UserError(
                f"step {self.number}: the {'loss' if not math.isfinite(loss_sum) else 'gradient'} is not finite "
                f"(loss {self.loss_of_step}, gradient norm {norm}) in the batch at {run.place}. Nothing was updated; "
                f"{run.last_good()}. Lower --learning_rate, check that data, or use --dtype float32."
            )
        optimizer.scale(self.factor)
        for part in optimizer.parts:
            run.scaler.step(part)
        run.scaler.update()
        optimizer.zero_grad()
        self.loss_sum = torch.zeros_like(self.loss_sum)
        self.note(loss=self.loss_of_step, gradient_norm=norm, learning_rate=optimizer.learning_rate)

    def note(self, **values) -> None:
        """A metric of this step: a number, a pair (sum, count), or None for nothing. Notes of one name are summed over
        micro-batches and ranks and divided by their count. Tensors are read only when a record is written.
        """
        for name, value in values.items():
            if value is None:
                continue
            total, count = value if isinstance(value, tuple) else (value, 1)
            before, counted = self.notes.get(name, (0.0, 0))
            self.notes[name] = (before + total, counted + count)

    def reduced(self) -> dict[str, float]:
        """All notes over all ranks, in one exchange."""
        names = sorted(self.notes)
        flat = self.run.ranks.add(*(float(part) for name in names for part in self.notes[name]))
        pairs = zip(names, flat[::2], flat[1::2], strict=True)
        return {name: total / count if count else 0.0 for name, total, count in pairs}
