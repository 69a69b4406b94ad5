"""Causal self-attention with grouped key/value heads (GQA, arXiv 2305.13245)."""

from torch import Tensor, nn

from minimind.model.cache import Cache
from minimind.model.config import ModelConfig
from minimind.model.norm import RMSNorm
from minimind.model.rope import rotate
from minimind.ops.attend import Visibility, attend


class Attention(nn.Module):
    """x [B, T, D] -> [B, T, D]; each token looks at what `visible` lets it see."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_dim = int(config.head_dim)
        query_size = config.num_attention_heads * self.head_dim
        shared_size = config.num_key_value_heads * self.head_dim
        self.q_proj = nn.Linear(config.hidden_size, query_size, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, shared_size, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, shared_size, bias=False)
        self.o_proj = nn.Linear(query_size, config.hidden_size, bias=False)
        self.q_norm = RMSNorm(self.head_dim, config.rms_norm_eps) if config.qk_norm else None
        self.k_norm = RMSNorm(self.head_dim, config.rms_norm_eps) if config.qk_norm else None

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], visible: Visibility, cache: Cache | None = None
    ) -> Tensor:
        B, T, _ = x.shape
        q = self.q_proj(x).view(B, T, -1, self.head_dim)  # [B, T, H, D]
        k = self.k_proj(x).view(B, T, -1, self.head_dim)  # [B, T, K, D]
        v = self.v_proj(x).view(B, T, -1, self.head_dim)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = rotate(q, *rotary), rotate(k, *rotary)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # [B, H or K, T, D]
        if cache is not None:
            k, v = cache.append(self.layer, k, v)  # [B, K, S, D]
        mixed = attend(q, k, v, visible)  # [B, H, T, D]
        return self.o_proj(mixed.transpose(1, 2).reshape(B, T, -1))
