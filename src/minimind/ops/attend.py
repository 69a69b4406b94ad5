"""Attention: the weighted mean of values, weighted by how well keys match queries.

`attend_plain` is the definition, `attend` computes the same quickly. Shapes: q [B, H, T, D], k and v [B, K, S, D];
each of the K key/value heads serves H / K query heads. The T queries are the last of the S tokens.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Visibility(NamedTuple):
    """Which keys each query sees; worked out once per forward pass and used by every layer."""

    mask: Tensor | None  # [B or 1, 1, T, S] bool, True = seen; None when `causal` says it all
    causal: bool  # without a mask: True = query t sees keys 0..t, False = every key


def visibility(
    tokens: int,
    keys: int | None = None,
    places: Tensor | None = None,
    *,
    documents: Tensor | None = None,
    attention_mask: Tensor | None = None,
) -> Visibility:
    """What `tokens` queries per row see of `keys` tokens (default: of themselves only).

    places [B, T]: the key number at which each query stands, when rows differ; default: all see all earlier keys.
    documents [B, T]: only keys of the query's own document. attention_mask [B, S]: only keys marked with 1, and
    itself (so that a padding query sees something, and no row of weights is 0 / 0).
    """
    if documents is None and attention_mask is None and places is None:
        return Visibility(None, causal=keys is None)
    device = next(given for given in (documents, attention_mask, places) if given is not None).device
    keys = keys or tokens
    key = torch.arange(keys, device=device)
    if places is None:
        places = torch.arange(keys - tokens, keys, device=device)[None]
    at, where = places[:, None, :, None], key  # [B or 1, 1, T, 1], [S]
    seen = where <= at
    if documents is not None:
        seen = seen & (documents[:, None, :, None] == documents[:, None, None, :])
    if attention_mask is not None:
        seen = (seen & attention_mask.bool()[:, None, None, :]) | (where == at)
    return Visibility(seen, causal=False)


def attend_plain(q: Tensor, k: Tensor, v: Tensor, visible: Visibility) -> Tensor:
    """[B, H, T, D]. Written out: softmax(q k^T / sqrt(D)) v, in fp32."""
    groups = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(groups, dim=1).float() for x in (k, v))  # [B, H, S, D]
    scores = q.float() @ k.transpose(-1, -2) / q.shape[-1] ** 0.5  # [B, H, T, S]
    if visible.mask is not None:
        scores = scores.masked_fill(~visible.mask, float("-inf"))
    elif visible.causal:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
        scores = scores.masked_fill(~seen, float("-inf"))
    return (scores.softmax(-1) @ v).to(q.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, visible: Visibility) -> Tensor:
    """The same as `attend_plain` by torch's fused kernels."""
    grouped = q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=visible.mask, is_causal=visible.causal and q.shape[2] > 1, enable_gqa=grouped
    )
