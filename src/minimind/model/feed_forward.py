"""SwiGLU (arXiv 2002.05202): down(silu(gate(x)) * up(x))."""

import torch.nn.functional as F
from torch import Tensor, nn


class FeedForward(nn.Module):
    """x [..., D] -> [..., D] through an inner width."""

    def __init__(self, hidden_size: int, inner_size: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(hidden_size, inner_size, bias=False)
        self.up_proj = nn.Linear(hidden_size, inner_size, bias=False)
        self.down_proj = nn.Linear(inner_size, hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
