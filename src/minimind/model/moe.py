"""Mixture of experts (arXiv 1701.06538, 2101.03961): a router sends each token to a few of many feed-forwards.

The tokens are sorted by expert, so that each expert multiplies one contiguous block.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minimind.model.config import ModelConfig
from minimind.model.feed_forward import FeedForward


class Segments(NamedTuple):
    """The sequences over which the load is balanced: rows, or the documents inside packed rows."""

    index: Tensor  # [N] the sequence of each of the B x T tokens
    bound: int  # no index reaches this number
    real: Tensor  # [N] fp32, 1 for tokens and 0 for padding


class Routing(NamedTuple):
    """What a router did in one forward pass."""

    aux_loss: Tensor  # scalar fp32, already multiplied by its coefficient; 0 outside training
    load: Tensor  # [E] share of the real tokens' assignments that went to each expert


def segments(ids: Tensor, documents: Tensor | None, attention_mask: Tensor | None) -> Segments:
    """Numbers the sequences of a batch ids [B, T]; without documents each row is one."""
    B, T = ids.shape
    if attention_mask is None:
        real = torch.ones(B * T, device=ids.device)
    else:
        real = attention_mask[:, -T:].reshape(-1).float()
    if documents is None:
        return Segments(torch.arange(B, device=ids.device).repeat_interleave(T), B, real)
    starts = torch.ones_like(documents, dtype=torch.bool)
    starts[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return Segments(starts.flatten().cumsum(0) - 1, B * T, real)


class MixtureOfExperts(nn.Module):
    """x [B, T, D] -> (the chosen experts' weighted sum plus the shared experts [B, T, D], Routing)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        inner_size = int(config.moe_intermediate_size)
        self.gate = nn.Linear(config.hidden_size, config.num_experts, bias=False)
        self.experts = nn.ModuleList(FeedForward(config.hidden_size, inner_size) for _ in range(config.num_experts))
        if config.n_shared_experts:
            self.shared_experts = nn.ModuleList(
                FeedForward(config.hidden_size, inner_size) for _ in range(config.n_shared_experts)
            )

    def forward(self, x: Tensor, segments: Segments | None = None) -> tuple[Tensor, Routing]:
        flat = x.reshape(-1, x.shape[-1])  # [N, D]
        probabilities = F.softmax(self.gate(flat), dim=-1, dtype=torch.float32)  # [N, E]
        weights, chosen = self.route(probabilities)
        mixed = self.mix(flat, weights.to(flat.dtype), chosen)
        for expert in getattr(self, "shared_experts", ()):
            mixed = mixed + expert(flat)
        return mixed.view_as(x), self._routing(probabilities, chosen, segments)

    def route(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """The weights [N, k] and numbers [N, k] of each token's experts, from probabilities [N, E].

        One normalised expert always has weight p / p = 1, which tells the router nothing. With
        `router_straight_through` the divisor counts as a constant: the value stays 1, and its gradient is that of
        log p, so the router learns whether its choice helped.
        """
        weights, chosen = probabilities.topk(self.config.num_experts_per_tok, dim=-1)
        if self.config.norm_topk_prob:
            total = weights.sum(-1, keepdim=True)
            if self.config.num_experts_per_tok == 1 and self.config.router_straight_through:
                total = total.detach()
            weights = weights / total
        return weights, chosen

    def mix(self, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        """x [N, D] through the chosen experts, summed with the weights: [N, D]."""
        N, k = chosen.shape
        order = chosen.flatten().argsort(stable=True)  # [N*k] assignments, expert by expert
        sizes = chosen.flatten().bincount(minlength=len(self.experts)).tolist()
        # Rows are picked with F.embedding, because its backward pass adds rows up in parallel, unlike indexing's.
        sorted_x = F.embedding(order // k, x)  # [N*k, D]
        blocks = [expert(block) for expert, block in zip(self.experts, sorted_x.split(sizes), strict=True)]
        back = torch.empty_like(order).scatter_(0, order, torch.arange(N * k, device=order.device))
        return (F.embedding(back, torch.cat(blocks)).view(N, k, -1) * weights.unsqueeze(-1)).sum(1)

    def _routing(self, probabilities: Tensor, chosen: Tensor, segments: Segments | None) -> Routing:
        config, (N, E) = self.config, probabilities.shape
        real = probabilities.new_ones(N) if segments is None else segments.real
        picks = torch.zeros_like(probabilities).scatter_(1, chosen, 1.0) * real[:, None]  # [N, E]
        tokens = real.sum().clamp(min=1)
        load = picks.sum(0) / (tokens * config.num_experts_per_tok)
        if not self.training or segments is None or config.router_aux_loss_coef == 0:
            return Routing(probabilities.new_zeros(()), load)
        weighted = probabilities * real[:, None]
        if not config.seq_aux:  # E x sum over experts of (tokens sent there) x (mean probability)
            balance = E * (picks.sum(0) / tokens * weighted.sum(0) / tokens).sum()
            return Routing(config.router_aux_loss_coef * balance, load)
        # The same within each sequence, averaged over the sequences that have tokens (arXiv 2401.06066).
        place = segments.index[:, None].expand(N, E)
        empty = probabilities.new_zeros(segments.bound, E)
        length = empty[:, 0].scatter_add(0, segments.index, real)  # [M]
        sent = empty.scatter_add(0, place, picks) * E / config.num_experts_per_tok  # [M, E]
        mass = empty.scatter_add(0, place, weighted)
        balance = (sent * mass).sum(-1) / length.clamp(min=1).square()
        return Routing(config.router_aux_loss_coef * balance.sum() / (length > 0).sum().clamp(min=1), load)


def mix_plain(layer: MixtureOfExperts, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
    """What `MixtureOfExperts.mix` computes, token by token: the definition, and the oracle of its test."""
    return torch.stack(
        [
            sum(weight * layer.experts[int(expert)](token) for weight, expert in zip(*pair, strict=True))
            for token, *pair in zip(x, weights, chosen, strict=True)
        ]
    )
