"""How likely given replies are: the log-probabilities of a packed batch's supervised tokens."""

from typing import Any

import torch
from torch import Tensor, nn

from minimind.ops.loss import IGNORED, token_logprobs


def target_logprobs(model: nn.Module, batch: Any, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """(log-probability of each supervised token [N], the document it belongs to [N]), in the order of the rows.

    batch: a `data.pack.Batch`. temperature divides the logits, as sampling at that temperature does.
    """
    output = model(batch.ids, positions=batch.positions, documents=batch.documents, logits=False)
    supervised = batch.targets != IGNORED
    targets = batch.targets[supervised]
    logprobs = token_logprobs(output.hidden[supervised], model.lm_head.weight, targets, temperature=temperature)
    return logprobs, batch.documents[supervised]


def reply_logprobs(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
    """(log-probability of each document's supervised tokens together [M], how many they are [M])."""
    logprobs, owners = target_logprobs(model, batch)
    sums = torch.zeros(batch.padding, device=logprobs.device, dtype=logprobs.dtype).index_add(0, owners, logprobs)
    return sums, torch.bincount(owners, minlength=batch.padding)
