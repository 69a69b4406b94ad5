"""Cross-entropy and log-probabilities of the next token, without ever holding all logits.

Everywhere: hidden [..., D], weight [V, D], targets [...] int64 with -100 = no target. Positions without a target are
left out before anything is multiplied, so they cost nothing.
"""

import contextlib

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100
# Logits held at once. On a CPU a chunk should stay in the caches; an accelerator wants large products.
CHUNK_ELEMENTS = {"cpu": 1 << 19}
CHUNK_ELEMENTS_ELSEWHERE = 1 << 26


def cross_entropy_sum(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(sum over the targets of -log softmax(logits)[target], number of targets). logits [..., V], targets [...]."""
    total = F.cross_entropy(
        logits.reshape(-1, logits.shape[-1]).float(), targets.reshape(-1), ignore_index=IGNORED, reduction="sum"
    )
    return total, (targets != IGNORED).sum()


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor | None = None, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """(sum of the losses, number of targets) of logits = hidden weight^T; both scalars, the sum in fp32.

    weights [...]: each target's loss is multiplied by its number, which gets no gradient; the count stays the same.
    chunk: rows of logits held at once; by default what suits the device.
    The gradients are worked out together with the loss, chunk by chunk, so nothing is computed twice.
    """
    rows, chosen = _targeted(targets)
    picked = hidden.reshape(-1, hidden.shape[-1]).index_select(0, rows)
    scale = None if weights is None else weights.detach().reshape(-1).index_select(0, rows).float()
    loss = _LinearCrossEntropy.apply(picked, weight, chosen, scale, chunk or _chunk(weight))
    return loss, torch.tensor(len(chosen), device=targets.device)


def token_logprobs(
    hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float = 1.0, chunk: int | None = None
) -> Tensor:
    """log softmax(hidden weight^T / temperature)[target], shaped like targets, fp32; 0 where there is no target.

    The backward pass computes the logits of each chunk again.
    """
    rows, chosen = _targeted(targets)
    picked = hidden.reshape(-1, hidden.shape[-1]).index_select(0, rows)
    logprobs = _TokenLogprobs.apply(picked, weight, chosen, temperature, chunk or _chunk(weight))
    return logprobs.new_zeros(targets.numel()).index_copy(0, rows, logprobs).view_as(targets)


def _targeted(targets: Tensor) -> tuple[Tensor, Tensor]:
    """The numbers of the positions that have a target, and these targets."""
    flat = targets.reshape(-1)
    rows = (flat != IGNORED).nonzero().squeeze(1)
    return rows, flat.index_select(0, rows)


def _chunk(weight: Tensor) -> int:
    return max(1, CHUNK_ELEMENTS.get(weight.device.type, CHUNK_ELEMENTS_ELSEWHERE) // weight.shape[0])


def _working_type(hidden: Tensor) -> torch.dtype:
    """The type of the products: autocast's if it is on."""
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


def _without_autocast(tensor: Tensor) -> contextlib.AbstractContextManager:
    return torch.autocast(tensor.device.type, enabled=False)


class _LinearCrossEntropy(torch.autograd.Function):
    """hidden [N, D], weight [V, D], targets [N], scale [N] or None -> sum of the losses."""

    @staticmethod
    def forward(ctx, hidden: Tensor, weight: Tensor, targets: Tensor, scale: Tensor | None, chunk: int) -> Tensor:
        dtype = _working_type(hidden)
        x, w = hidden.to(dtype), weight.to(dtype)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        wants_x, wants_w = ctx.needs_input_grad[:2]
        grad_x = torch.empty_like(x) if wants_x else None
        # fp32: in half precision the sum over many tokens would overflow or stop growing.
        grad_w = torch.zeros_like(weight, dtype=torch.float32) if wants_w else None
        with _without_autocast(hidden):
            for start in range(0, len(targets), chunk):
                part = slice(start, start + chunk)
                logits = (x[part] @ w.T).float()  # [C, V]
                logprobs = F.log_softmax(logits, dim=-1)
                at = targets[part, None]
                losses = logprobs.gather(1, at).squeeze(1).neg_()
                total += (losses if scale is None else losses * scale[part]).sum()
                if not (wants_x or wants_w):
                    continue
                grad = logprobs.exp_()  # d loss / d logits = softmax - one-hot
                grad.scatter_add_(1, at, grad.new_full(at.shape, -1.0))
                if scale is not None:
                    grad *= scale[part, None]
                grad = grad.to(dtype)
                if grad_x is not None:
                    torch.mm(grad, w, out=grad_x[part])
                if grad_w is not None:
                    _add_product(grad_w, grad.T, x[part])
        ctx.save_for_backward(grad_x, grad_w)
        ctx.types = hidden.dtype, weight.dtype
        return total

    @staticmethod
    def backward(ctx, upstream: Tensor):
        grad_x, grad_w = ctx.saved_tensors
        hidden_type, weight_type = ctx.types
        return (
            None if grad_x is None else (grad_x.float() * upstream).to(hidden_type),
            None if grad_w is None else (grad_w * upstream).to(weight_type),
            None,
            None,
            None,
        )


class _TokenLogprobs(torch.autograd.Function):
    """hidden [N, D], weight [V, D], targets [N] -> log-probabilities [N]."""

    @staticmethod
    def forward(ctx, hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float, chunk: int) -> Tensor:
        dtype = _working_type(hidden)
        x, w = hidden.to(dtype), weight.to(dtype)
        normalisers, logprobs = (torch.empty(len(targets), dtype=torch.float32, device=x.device) for _ in range(2))
        with _without_autocast(hidden):
            for start in range(0, len(targets), chunk):
                part = slice(start, start + chunk)
                logits = (x[part] @ w.T).float().div_(temperature)
                torch.logsumexp(logits, dim=-1, out=normalisers[part])
                logprobs[part] = logits.gather(1, targets[part, None]).squeeze(1) - normalisers[part]
        ctx.save_for_backward(hidden, weight, targets, normalisers)
        ctx.settings = dtype, temperature, chunk
        return logprobs

    @staticmethod
    def backward(ctx, upstream: Tensor):
        hidden, weight, targets, normalisers = ctx.saved_tensors
        dtype, temperature, chunk = ctx.settings
        x, w = hidden.to(dtype), weight.to(dtype)
        wants_x, wants_w = ctx.needs_input_grad[:2]
        grad_x = torch.empty_like(x) if wants_x else None
        grad_w = torch.zeros_like(weight, dtype=torch.float32) if wants_w else None
        upstream = upstream.float() / temperature
        with _without_autocast(hidden):
            for start in range(0, len(targets), chunk):
                part = slice(start, start + chunk)
                logits = (x[part] @ w.T).float().div_(temperature)
                # d logprob / d logits = (one-hot - softmax) / temperature
                grad = logits.sub_(normalisers[part, None]).exp_().mul_(-upstream[part, None])
                grad = grad.scatter_add_(1, targets[part, None], upstream[part, None]).to(dtype)
                if grad_x is not None:
                    torch.mm(grad, w, out=grad_x[part])
                if grad_w is not None:
                    _add_product(grad_w, grad.T, x[part])
        return (
            None if grad_x is None else grad_x.to(hidden.dtype),
            None if grad_w is None else grad_w.to(weight.dtype),
            None,
            None,
            None,
        )


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += a b, where total is fp32 and a, b may be half precision."""
    if a.dtype == total.dtype:
        total.addmm_(a, b)
    else:
        total += a @ b
