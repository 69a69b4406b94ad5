"""Rotary positions (arXiv 2104.09864), rotate-half layout, and their stretching by YaRN (arXiv 2309.00071).

Dimension i of a head is paired with dimension i + D/2; the pair is turned by position x frequency(i).
"""

import math

import torch
from torch import Tensor

from minimind.model.config import ModelConfig

# YaRN as the public models use it: positions up to 16 x 2048, with no change of temperature.
YARN_FACTOR = 16.0
YARN_ORIGINAL_POSITIONS = 2048
YARN_BETA_FAST = 32.0
YARN_BETA_SLOW = 1.0


def frequencies(config: ModelConfig) -> Tensor:
    """Radians per token of each pair, [D / 2] fp32 for heads of width D."""
    D = config.head_dim
    plain = 1.0 / config.rope_theta ** (torch.arange(0, D, 2, dtype=torch.float32) / D)
    if not config.inference_rope_scaling:
        return plain

    def pair_that_turns(times: float) -> float:
        """The pair, as a real number, that turns so many times over the original positions."""
        return D * math.log(YARN_ORIGINAL_POSITIONS / (times * 2 * math.pi)) / (2 * math.log(config.rope_theta))

    low = max(math.floor(pair_that_turns(YARN_BETA_FAST)), 0)
    high = min(math.ceil(pair_that_turns(YARN_BETA_SLOW)), D // 2 - 1)
    # Fast pairs (below low) keep their frequency, slow ones (above high) are slowed down, a ramp lies between.
    pair = torch.arange(D // 2, dtype=torch.float32)
    ramp = ((pair - low) / max(high - low, 1e-3)).clamp(0, 1)
    return plain * (1 - ramp + ramp / YARN_FACTOR)


class Rotary:
    """The cosines and sines of every position, worked out once per device.

    A plain object and no buffer: `model.half()` must not round the table, and no checkpoint needs it.
    """

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        self._table: Tensor | None = None

    def table(self, device: torch.device) -> Tensor:
        """[positions, 2, D] fp32: cosines twice over, then sines with the first half negative (see `rotate`)."""
        if self._table is None or self._table.device != device:
            # A table made inside inference_mode could not be used by a later training step.
            with torch.inference_mode(False), torch.no_grad():
                position = torch.arange(self.config.max_position_embeddings, dtype=torch.float32)
                angle = torch.outer(position, frequencies(self.config))
                cos, sin = angle.cos(), angle.sin()
                table = torch.stack((torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)), dim=1)
                self._table = table.to(device)
        return self._table

    def at(self, positions: Tensor | int, device: torch.device) -> tuple[Tensor, Tensor]:
        """The rows [B, T, 1, D] at positions [B, T], or [1, T, 1, D] at 0..T-1 for a number T."""
        table = self.table(device)
        rows = table[None, :positions] if isinstance(positions, int) else table[positions]  # [B or 1, T, 2, D]
        cos, sin = rows.unsqueeze(3).unbind(2)
        return cos, sin


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [B, T, H, D] turned by its positions; computed in fp32 and returned in x's type.

    (a, b) -> (a cos - b sin, b cos + a sin) for the halves a, b of a head: x cos + (b, a) (-sin, sin).
    """
    wide = x.float()
    return torch.addcmul(wide * cos, wide.roll(x.shape[-1] // 2, dims=-1), sin).to(x.dtype)
