"""How often a model prefers the better of two replies."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from minimind.data.pack import Document, pack
from minimind.infer.score import reply_logprobs

PAIRS_AT_ONCE = 64


@torch.no_grad()
def margins(bundle: Any, pairs: Sequence[dict]) -> torch.Tensor:
    """[pairs]: log p(chosen) - log p(rejected) of the last messages, each summed over the message's tokens.

    pairs: {"chosen": messages, "rejected": messages}. `bundle` has .model and .tokenizer.
    """
    found = []
    for begin in range(0, len(pairs), PAIRS_AT_ONCE):
        part = pairs[begin : begin + PAIRS_AT_ONCE]
        documents = [last_reply(bundle.tokenizer, pair[side]) for pair in part for side in ("chosen", "rejected")]
        batch = pack(documents, max(len(document.ids) for document in documents))
        sums, _ = reply_logprobs(bundle.model, batch.to(next(bundle.model.parameters()).device))
        found.append(sums.view(-1, 2).cpu())
    chosen, rejected = torch.cat(found).unbind(1)
    return chosen - rejected


def last_reply(tokenizer: Any, messages: Sequence[dict]) -> Document:
    """The dialogue with its last message supervised and nothing else."""
    whole = tokenizer.render(messages)
    start = len(tokenizer.render(messages[:-1], add_generation_prompt=True).ids)
    mask = np.array(whole.mask) & (np.arange(len(whole.ids)) >= start)
    return Document(np.array(whole.ids), mask)


def accuracy(own: torch.Tensor, reference: torch.Tensor | None = None) -> float:
    """The share of pairs with a positive margin, or one that grew against the reference's; a tie is half a point."""
    gain = own if reference is None else own - reference
    return ((gain > 0).double() + 0.5 * (gain == 0).double()).mean().item()
