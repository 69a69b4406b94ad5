"""Attention inside the documents of packed rows, for CPUs: each document alone, similar lengths together.

A masked product over whole rows spends most of its time on pairs of tokens that do not see each other: with documents
of 40 to 100 tokens in rows of 256, four fifths. Here documents are sorted by length, cut into a few buckets, and padded
to the longest of their bucket, so that a bucket is a batch of small square products.
"""

from collections import Counter
from typing import NamedTuple

import torch
from torch import Tensor

# A bucket costs about as much time as this many pairs of tokens; measured with 4 heads of width 32.
PAIRS_PER_BUCKET = 6000
LENGTH_STEP = 8


class Bucket(NamedTuple):
    """Documents of similar length."""

    tokens: Tensor  # [n, L] flat position of each token in the B x T batch; padding points at token 0
    real: Tensor | None  # [n, 1, L, 1] fp32, 0 for padding; None when there is none
    hidden: Tensor  # [L, L] fp32, -inf where the key comes after the query


class Plan(NamedTuple):
    """How the documents of a batch are cut into buckets; the same for every layer."""

    buckets: list[Bucket]
    places: Tensor  # [B * T] where each token lies when the buckets' slots are numbered one after the other
    pairs: int  # number of (query, key) products, padding included


def plan_documents(documents: Tensor) -> Plan:
    """documents [B, T]: a document is a run of equal numbers in a row."""
    lengths, starts = _runs(documents)
    classes = sorted(Counter(-(-length // LENGTH_STEP) * LENGTH_STEP for length in lengths).items(), reverse=True)
    tops = _bucket_lengths(classes)
    members: dict[int, list[int]] = {top: [] for top in tops}
    for document, length in enumerate(lengths):
        members[min(top for top in tops if top >= length)].append(document)
    start_of, length_of = torch.tensor(starts), torch.tensor(lengths)
    buckets, places, taken = [], torch.empty(documents.numel(), dtype=torch.int64), 0
    for top, chosen in members.items():
        offset = torch.arange(top)
        real = offset < length_of[chosen][:, None]  # [n, L]
        tokens = torch.where(real, start_of[chosen][:, None] + offset, 0)
        places[tokens[real]] = real.flatten().nonzero().squeeze(1) + taken
        taken += real.numel()
        hidden = torch.full((top, top), float("-inf")).triu_(1)
        buckets.append(Bucket(tokens, None if bool(real.all()) else real[:, None, :, None].float(), hidden))
    return Plan(buckets, places, sum(len(bucket.tokens) * len(bucket.hidden) ** 2 for bucket in buckets))


def _runs(documents: Tensor) -> tuple[list[int], list[int]]:
    """Length and first flat position of each document."""
    starts = torch.ones_like(documents, dtype=torch.bool)
    starts[:, 1:] = documents[:, 1:] != documents[:, :-1]
    first = starts.flatten().nonzero().squeeze(1)
    return first.diff(append=first.new_tensor([documents.numel()])).tolist(), first.tolist()


def _bucket_lengths(classes: list[tuple[int, int]]) -> list[int]:
    """Where to cut: a length joins the bucket above it until the padding costs more than another bucket would."""
    tops, wasted = [], 0
    for length, count in classes:
        more = count * (tops[-1] ** 2 - length**2) if tops else 0
        if not tops or wasted + more > PAIRS_PER_BUCKET:
            tops.append(length)
            wasted = 0
        else:
            wasted += more
    return tops


def attend_documents(q: Tensor, k: Tensor, v: Tensor, plan: Plan) -> Tensor:
    """q [B, T, H, D], k and v [B, T, K, D], fp32 on a CPU -> [B, T, H, D]; causal inside each document."""
    return _AttendDocuments.apply(q, k, v, plan)


class _AttendDocuments(torch.autograd.Function):
    """Keeps the probabilities, as they are few, and spends no time on what autograd would do between the products."""

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, plan: Plan) -> Tensor:
        H, K, D = q.shape[2], k.shape[2], q.shape[3]
        mixed, saved = [], []
        for bucket in plan.buckets:
            n, L = bucket.tokens.shape
            queries = _take(q, bucket).view(n * K, -1, D).mul_(D**-0.5)  # [n*K, H/K*L, D]: a group shares its keys
            keys, values = _take(k, bucket).view(n * K, L, D), _take(v, bucket).view(n * K, L, D)
            scores = torch.bmm(queries, keys.mT)  # [n*K, H/K*L, L]
            scores.view(-1, L, L).add_(bucket.hidden)
            probabilities = torch.softmax(scores, dim=-1)
            mixed.append(torch.bmm(probabilities, values).view(n, H, L, D))
            saved += [queries, keys, values, probabilities]
        out = _put_back(mixed, plan)
        ctx.save_for_backward(out, *saved)
        ctx.plan = plan
        return out.view(q.shape)

    @staticmethod
    def backward(ctx, upstream: Tensor):
        out, *saved = ctx.saved_tensors
        H, D = upstream.shape[2:]
        upstream = upstream.contiguous()
        # Row sums of probability x its gradient, which the gradient of softmax subtracts (arXiv 2205.14135).
        shift = (upstream * out.view_as(upstream)).sum(-1, keepdim=True)  # [B, T, H, 1]
        grads_q, grads_k, grads_v = [], [], []
        for number, bucket in enumerate(ctx.plan.buckets):
            n, L = bucket.tokens.shape
            queries, keys, values, probabilities = saved[4 * number : 4 * number + 4]
            grad, sums = _take(upstream, bucket), _take(shift, bucket)  # [n, H, L, D], [n, H, L, 1]
            if bucket.real is not None:
                grad.mul_(bucket.real)
                sums.mul_(bucket.real)
            grad, sums = grad.view(len(keys), -1, D), sums.view(len(keys), -1, 1)
            grads_v.append(torch.bmm(probabilities.mT, grad).view(n, -1, L, D))
            grad_scores = torch.bmm(grad, values.mT).sub_(sums).mul_(probabilities)
            grads_q.append(torch.bmm(grad_scores, keys).mul_(D**-0.5).view(n, H, L, D))
            grads_k.append(torch.bmm(grad_scores.mT, queries).view(n, -1, L, D))
        shape = (*upstream.shape[:2], -1, D)
        return *(_put_back(grads, ctx.plan).view(shape) for grads in (grads_q, grads_k, grads_v)), None


def _take(x: Tensor, bucket: Bucket) -> Tensor:
    """x [B, T, H, D] -> the bucket's rows [n, H, L, D]."""
    H, D = x.shape[2:]
    rows = bucket.tokens[:, None, :] * H + torch.arange(H)[:, None]  # [n, H, L]
    return x.reshape(-1, D).index_select(0, rows.view(-1)).view(*rows.shape, D)


def _put_back(parts: list[Tensor], plan: Plan) -> Tensor:
    """The buckets' rows, each [n, H, L, D] -> [B * T, H, D]."""
    H, D = parts[0].shape[1], parts[0].shape[3]
    slots = torch.cat([part.transpose(1, 2).reshape(-1, H * D) for part in parts])
    return slots.index_select(0, plan.places).view(-1, H, D)
