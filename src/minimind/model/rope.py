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
    """Radians per token of each pair, [D_head / 2] fp32."""
    exponent = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    plain = 1.0 / config.rope_theta**exponent
    if not config.inference_rope_scaling:
        return plain

    def pair_of(turns: float) -> float:
        """The pair, as a real number, that makes so many turns over the original positions."""
        return (
            config.head_dim
            * math.log(YARN_ORIGINAL_POSITIONS / (turns * 2 * math.pi))
            / (2 * math.log(config.rope_theta))
        )

    low = max(math.floor(pair_of(YARN_BETA_FAST)), 0)
    high = min(math.ceil(pair_of(YARN_BETA_SLOW)), config.head_dim // 2 - 1)
    # Fast pairs (below low) keep their frequency, slow ones (above high) are slowed down, a ramp lies between.
    pair = torch.arange(config.head_dim // 2, dtype=torch.float32)
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
        """[2, positions, D_head / 2] fp32: cosines, then sines."""
        if self._table is None or self._table.device != device:
            # A table made inside inference_mode could not be used by a later training step.
            with torch.inference_mode(False), torch.no_grad():
                position = torch.arange(self.config.max_position_embeddings, dtype=torch.float32)
                angle = torch.outer(position, frequencies(self.config))
                self._table = torch.stack((angle.cos(), angle.sin())).to(device)
        return self._table

    def at(self, positions: Tensor | int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Cosines and sines [B, T, 1, D_head / 2] at positions [B, T], or [1, T, 1, ...] at 0..T-1 for a number T."""
        table = self.table(device)
        chosen = table[:, None, :positions] if isinstance(positions, int) else table[:, positions]
        cos, sin = chosen.unsqueeze(3).unbind(0)
        return cos, sin


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [B, T, H, D] turned by its positions; computed in fp32 and returned in x's type."""
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)
