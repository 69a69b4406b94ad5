"""One layer: attention, then a feed-forward, each on a normalised copy and added to the stream."""

import torch.nn.functional as F
from torch import Tensor, nn

from minimind.model.attention import Attention
from minimind.model.cache import Cache
from minimind.model.config import ModelConfig
from minimind.model.feed_forward import FeedForward
from minimind.model.moe import MixtureOfExperts, Routing, Segments
from minimind.model.norm import RMSNorm
from minimind.ops.attend import Visibility


class Block(nn.Module):
    """x [B, T, D] -> (x [B, T, D], what the router did, or None when the feed-forward is dense)."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.self_attn = Attention(config, layer)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = (
            MixtureOfExperts(config)
            if config.use_moe
            else FeedForward(config.hidden_size, int(config.intermediate_size))
        )

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor],
        visible: Visibility,
        cache: Cache | None = None,
        segments: Segments | None = None,
    ) -> tuple[Tensor, Routing | None]:
        x = x + self._drop(self.self_attn(self.input_layernorm(x), rotary, visible, cache))
        normed = self.post_attention_layernorm(x)
        if isinstance(self.mlp, MixtureOfExperts):
            mixed, routing = self.mlp(normed, segments)
        else:
            mixed, routing = self.mlp(normed), None
        return x + self._drop(mixed), routing

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x
