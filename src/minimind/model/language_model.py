"""The language model: token ids in, logits for the next token out.

The names of its parameters are those of Llama and Qwen3 checkpoints.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minimind.config import UserError
from minimind.model.block import Block
from minimind.model.cache import Cache
from minimind.model.config import ModelConfig
from minimind.model.init import initialise
from minimind.model.moe import segments
from minimind.model.norm import RMSNorm
from minimind.model.rope import Rotary
from minimind.ops.attend import Visibility


class Output(NamedTuple):
    """The result of a forward pass. `logits = hidden @ lm_head.weight.T`, so a loss can be computed in chunks."""

    logits: Tensor | None  # [B, T, V], or None when not asked for
    hidden: Tensor  # [B, T, D] after the final norm
    aux_loss: Tensor  # scalar: load balancing, summed over the layers; 0 for a dense model and outside training
    expert_load: Tensor | None  # [L, E] share of each layer's assignments; None for a dense model


class Stack(nn.Module):
    """Embedding, blocks and final norm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class LanguageModel(nn.Module):
    """A decoder with rotary positions, RMSNorm before each sublayer, and SwiGLU or a mixture of experts."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Stack(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.rotary = Rotary(config)
        initialise(self, config.initializer_range)
        self.tie()

    def tie(self) -> None:
        """Makes the output layer's matrix the embedding's, if the configuration says so."""
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(
        self,
        ids: Tensor,
        positions: Tensor | None = None,
        documents: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        logits: bool = True,
    ) -> Output:
        """ids [B, T] int64 -> Output.

        positions [B, T]: default 0..T-1, after the cached tokens of each row where there is a cache.
        documents [B, T]: tokens see only earlier tokens of the same number in their row (packed rows).
        attention_mask [B, S] over all tokens, cached ones included: 0 marks padding, which nobody sees.
        cache: see model/cache.py; its rows grow by T.
        logits=False: leave out the output layer.
        """
        visible, places = self._look(ids, documents, attention_mask, cache)
        rotary = self.rotary.at(places if positions is None else positions, ids.device)
        balanced = segments(ids, documents, attention_mask) if self.config.use_moe else None
        x = self.model.embed_tokens(ids)  # [B, T, D]
        if self.config.dropout:
            x = F.dropout(x, self.config.dropout, self.training)
        routings = []
        for block in self.model.layers:
            x, routing = block(x, rotary, visible, cache, balanced)
            if routing is not None:
                routings.append(routing)
        if cache is not None:
            cache.advance(ids.shape[1])
        hidden = self.model.norm(x)
        return Output(
            logits=self.lm_head(hidden) if logits else None,
            hidden=hidden,
            aux_loss=torch.stack([r.aux_loss for r in routings]).sum() if routings else hidden.new_zeros(()),
            expert_load=torch.stack([r.load for r in routings]) if routings else None,
        )

    def _look(
        self, ids: Tensor, documents: Tensor | None, attention_mask: Tensor | None, cache: Cache | None
    ) -> tuple[Visibility, Tensor | int]:
        """What each token sees, and where the tokens stand: positions [B, T], or T for 0..T-1."""
        B, T = ids.shape
        if cache is None:
            self._check_length(T)
            return Visibility(T, documents=documents, attention_mask=attention_mask), T
        if documents is not None:
            raise UserError("documents and a cache cannot go together: a cached row is one document")
        shortest, longest = (int(length) for length in cache.lengths.aminmax())
        self._check_length(longest + T)
        places = cache.reserve(T)
        if longest == 0:
            return Visibility(T, attention_mask=attention_mask), T
        uneven = None if shortest == longest else places
        return Visibility(T, longest + T, uneven, attention_mask=attention_mask), places

    def _check_length(self, tokens: int) -> None:
        if tokens > self.config.max_position_embeddings:
            raise UserError(
                f"a sequence of {tokens} tokens is longer than the model's max_position_embeddings "
                f"({self.config.max_position_embeddings})"
            )
