"""Attention inside the documents of packed rows, for CPUs: each document alone, similar lengths together.

A masked product over whole rows spends most of its time on pairs of tokens that do not see each other: with documents
of 40 to 100 tokens in rows of 256, four fifths. Here documents are sorted by length, cut into a few buckets, and padded
to the longest of their bucket, so that a bucket is a batch of small square products.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

# A bucket costs about as much time as this many pairs of tokens; measured with 4 heads of width 32.
PAIRS_PER_BUCKET = 8000
LENGTH_STEP = 8


class Moves(NamedTuple):
    """Between rows of a batch [B, T, H, D] and slots: bucket after bucket, [n, H, L] of them each."""

    take: Tensor  # [slots * H] the batch's row that stands in each slot; padding repeats row 0
    put: Tensor  # [B * T * H] the slot where each row of the batch lies
    real: Tensor  # [slots * H, 1] fp32, 0 for padding


class Plan:
    """How the documents of a batch are cut into buckets; the same for every layer.

    buckets: (documents n, length L) of each. tokens: of each, the flat places [n, L] of its tokens in the B x T batch,
    -1 for padding. pairs: how many (query, key) products there are, padding included.
    """

    def __init__(self, buckets: list[tuple[int, int]], tokens: list[Tensor]) -> None:
        self.buckets, self.tokens = buckets, tokens
        self.pairs = sum(count * length**2 for count, length in buckets)
        self._hidden = {length: torch.full((length, length), float("-inf")).triu_(1) for _, length in buckets}
        self._moves: dict[int, Moves] = {}

    def hidden(self, length: int) -> Tensor:
        """[L, L] fp32: -inf where the key comes after the query."""
        return self._hidden[length]

    def moves(self, heads: int) -> Moves:
        """For tensors of so many heads."""
        if heads not in self._moves:
            head = torch.arange(heads)[:, None]
            rows = torch.cat([(tokens[:, None] * heads + head).flatten() for tokens in self.tokens])
            slots = (rows >= 0).nonzero().squeeze(1)
            put = torch.empty_like(slots)
            put[rows[slots]] = slots
            real = (rows >= 0).unsqueeze(1).float()
            self._moves[heads] = Moves(rows.clamp_(min=0), put, real)
        return self._moves[heads]


def plan_documents(documents: Tensor) -> Plan:
    """documents [B, T]: a document is a run of equal numbers in a row."""
    starts = torch.ones_like(documents, dtype=torch.bool)
    starts[:, 1:] = documents[:, 1:] != documents[:, :-1]
    start = starts.flatten().nonzero().squeeze(1)  # [documents]
    length = start.diff(append=start.new_tensor([documents.numel()]))
    tops = torch.tensor(_bucket_lengths(length.tolist()))
    bucket_of = torch.searchsorted(tops, length)
    buckets, tokens = [], []
    for number, top in enumerate(tops.tolist()):
        chosen = (bucket_of == number).nonzero()  # [n, 1]
        offset = torch.arange(top)
        # So far below 0 that padding stays there for any number of heads.
        places = torch.where(offset < length[chosen], start[chosen] + offset, -documents.numel())
        buckets.append((len(chosen), top))
        tokens.append(places)
    return Plan(buckets, tokens)


def _bucket_lengths(lengths: list[int]) -> list[int]:
    """The longest length of each bucket, ascending.

    From the longest down, a length joins the bucket above until its padding costs more than another bucket would.
    """
    classes = sorted(Counter(-(-length // LENGTH_STEP) * LENGTH_STEP for length in lengths).items(), reverse=True)
    tops, wasted = [classes[0][0]], 0
    for length, count in classes:
        wasted += count * (tops[-1] ** 2 - length**2)
        if wasted > PAIRS_PER_BUCKET:
            tops.append(length)
            wasted = 0
    return tops[::-1]


def attend_documents(q: Tensor, k: Tensor, v: Tensor, plan: Plan) -> Tensor:
    """q [B, T, H, D], k and v [B, T, K, D], fp32 on a CPU -> [B, T, H, D]; causal inside each document."""
    return _AttendDocuments.apply(q, k, v, plan)


class _AttendDocuments(torch.autograd.Function):
    """Keeps the probabilities, as they are few. The heads that share a key stand one after the other in its batch."""

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, plan: Plan) -> Tensor:
        D = q.shape[3]
        for_queries, for_keys = plan.moves(q.shape[2]), plan.moves(k.shape[2])
        queries = _rows(q, for_queries.take).mul_(D**-0.5)  # [slots * H, D]
        keys, values = _rows(k, for_keys.take), _rows(v, for_keys.take)  # [slots * K, D]
        mixed = torch.empty_like(queries)
        kept = []
        for length, query, key, value, out in _buckets(plan, k.shape[2], queries, keys, values, mixed):
            scores = torch.bmm(query, key.mT)  # [n * K, H/K * L, L]
            scores.view(-1, length, length).add_(plan.hidden(length))
            probabilities = torch.softmax(scores, dim=-1)
            torch.bmm(probabilities, value, out=out)
            kept.append(probabilities)
        ctx.save_for_backward(queries, keys, values, mixed, *kept)
        ctx.plan = plan
        return mixed.index_select(0, for_queries.put).view(q.shape)

    @staticmethod
    def backward(ctx, upstream: Tensor):
        queries, keys, values, mixed, *kept = ctx.saved_tensors
        plan, (B, T, H, D) = ctx.plan, upstream.shape
        for_queries = plan.moves(H)
        K = H * len(keys) // len(queries)
        grad = _rows(upstream, for_queries.take).mul_(for_queries.real)
        # Row sums of probability x its gradient, which the gradient of softmax subtracts (arXiv 2205.14135).
        shift = (grad * mixed).sum(-1, keepdim=True)  # [slots * H, 1]
        grad_q, grad_k, grad_v = torch.empty_like(queries), torch.empty_like(keys), torch.empty_like(values)
        views = _buckets(plan, K, queries, keys, values, grad, shift, grad_q, grad_k, grad_v)
        for probabilities, (_, query, key, value, g, s, out_q, out_k, out_v) in zip(kept, views, strict=True):
            torch.bmm(probabilities.mT, g, out=out_v)
            grad_scores = torch.bmm(g, value.mT).sub_(s).mul_(probabilities)
            torch.bmm(grad_scores, key, out=out_q)
            torch.bmm(grad_scores.mT, query, out=out_k)
        put = plan.moves(K).put
        return (
            grad_q.index_select(0, for_queries.put).mul_(D**-0.5).view(B, T, H, D),
            grad_k.index_select(0, put).view(B, T, K, D),
            grad_v.index_select(0, put).view(B, T, K, D),
            None,
        )


def _rows(x: Tensor, rows: Tensor) -> Tensor:
    """x [B, T, H, D] -> [len(rows), D]."""
    return x.reshape(-1, x.shape[-1]).index_select(0, rows)


def _buckets(plan: Plan, K: int, *slots: Tensor) -> Iterator[tuple]:
    """For each bucket its length L, and of each tensor [slots * H or K, D] the view [n * K, H/K * L or L, D]."""
    total = sum(count * length for count, length in plan.buckets)
    heads = [len(x) // total for x in slots]
    start = 0
    for count, length in plan.buckets:
        end = start + count * length
        parts = [x[start * h : end * h].view(count * K, -1, x.shape[1]) for x, h in zip(slots, heads, strict=True)]
        yield length, *parts
        start = end
