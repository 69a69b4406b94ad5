"""Attention: the weighted mean of values, weighted by how well keys match queries.

`attend_plain` is the definition, `attend` computes the same quickly. Shapes: q [B, H, T, D], k and v [B, K, S, D];
each of the K key/value heads serves H / K query heads. The T queries are the last of the S tokens.
"""

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from minimind.ops.attend_documents import Plan, attend_documents, plan_documents

# Probabilities that the CPU's path for packed rows may keep for the backward pass, per layer.
KEPT_BYTES = 1 << 26


class Visibility:
    """Which keys each query sees; made once per forward pass and used by every layer.

    queries, keys: how many per row; by default the queries are their own keys. Without more, query t sees all keys up
    to its own place, places being counted so that the last query stands at the last key.
    places [B, T]: the key at which each query stands, where rows differ.
    documents [B, T]: a query sees only keys of its own document, a run of equal numbers.
    attention_mask [B, S]: a query sees only keys marked with 1, and itself (or a padding query would see nothing, and
    its weights would be 0 / 0).
    """

    def __init__(
        self,
        queries: int,
        keys: int | None = None,
        places: Tensor | None = None,
        *,
        documents: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> None:
        self.queries, self.keys = queries, keys or queries
        self.places, self.documents, self.attention_mask = places, documents, attention_mask

    @cached_property
    def mask(self) -> Tensor | None:
        """[B or 1, 1, T, S] bool, True = seen; None when everything up to the query's place is."""
        given = [x for x in (self.places, self.documents, self.attention_mask) if x is not None]
        if not given:
            return None
        key = torch.arange(self.keys, device=given[0].device)
        place = key[None, self.keys - self.queries :] if self.places is None else self.places
        place = place[:, None, :, None]  # [B or 1, 1, T, 1]
        seen = key <= place
        if self.documents is not None:
            run = (self.documents.diff(dim=-1) != 0).cumsum(-1)
            run = F.pad(run, (1, 0))
            seen = seen & (run[:, None, :, None] == run[:, None, None, :])
        if self.attention_mask is not None:
            seen = (seen & self.attention_mask.bool()[:, None, None, :]) | (key == place)
        return seen

    @cached_property
    def plan(self) -> Plan | None:
        """How to attend document by document; None where there are no documents or it is no use."""
        if self.documents is None or self.attention_mask is not None or not self.documents.is_cpu:
            return None
        return plan_documents(self.documents)


def attend_plain(q: Tensor, k: Tensor, v: Tensor, visible: Visibility) -> Tensor:
    """[B, H, T, D]. Written out: softmax(q k^T / sqrt(D)) v, in fp32."""
    T, S = visible.queries, visible.keys
    k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1).float() for x in (k, v))  # [B, H, S, D]
    scores = q.float() @ k.transpose(-1, -2) / q.shape[-1] ** 0.5  # [B, H, T, S]
    seen = visible.mask
    if seen is None:
        seen = torch.ones(T, S, dtype=torch.bool, device=q.device).tril(S - T)
    return (scores.masked_fill(~seen, float("-inf")).softmax(-1) @ v).to(q.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, visible: Visibility) -> Tensor:
    """The same as `attend_plain`, quickly."""
    plan = visible.plan if q.dtype == torch.float32 else None
    if plan is not None and plan.pairs * q.shape[1] * q.element_size() <= KEPT_BYTES:
        return attend_documents(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), plan).transpose(1, 2)
    (B, H, T, D), K = q.shape, k.shape[1]
    mask = visible.mask
    if T == 1 and H != K:
        # One query: the heads that share a key can stand where time does, and no key is repeated.
        return F.scaled_dot_product_attention(q.view(B, K, H // K, D), k, v, attn_mask=mask).view(q.shape)
    if mask is None and T != visible.keys and T > 1:
        mask = torch.ones(T, visible.keys, dtype=torch.bool, device=q.device).tril(visible.keys - T)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None and T > 1, enable_gqa=H != K)
