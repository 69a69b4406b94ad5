"""Other names that the same weights go by, and their translation into ours."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from minimind.model.config import ModelConfig

EMBEDDING, OUTPUT = "model.embed_tokens.weight", "lm_head.weight"

# The first public generation: Llama's original names, and rotary pairs that lie side by side.
_FIRST_GENERATION = (
    (r"^tok_embeddings\.", "model.embed_tokens."),
    (r"^output\.", "lm_head."),
    (r"^norm\.", "model.norm."),
    (r"^layers\.", "model.layers."),
    (r"\.attention\.w([qkvo])\.", r".self_attn.\1_proj."),
    (r"\.attention_norm\.", ".input_layernorm."),
    (r"\.ffn_norm\.", ".post_attention_layernorm."),
    (r"\.feed_forward\.shared_experts\.w", ".feed_forward.shared_experts.0.w"),
    (r"\.feed_forward\.", ".mlp."),
    (r"\.w1\.", ".gate_proj."),
    (r"\.w2\.", ".down_proj."),
    (r"\.w3\.", ".up_proj."),
)


def current_names(state: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """`state` under the names of LanguageModel(config).

    Understands the first generation's names (their query and key rows are reordered as well), experts that are
    stacked in one tensor as recent transformers save them, and a tied output layer that was left out.
    """
    state = dict(state)
    if "tok_embeddings.weight" in state:
        state = _from_first_generation(state, config)
    for name in [name for name in state if name.endswith(".mlp.experts.gate_up_proj")]:
        _unstack_experts(state, name.removesuffix("gate_up_proj"))
    if config.tie_word_embeddings and EMBEDDING in state:
        state.setdefault(OUTPUT, state[EMBEDDING])
    return state


def _from_first_generation(state: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    translated = {}
    for name, tensor in state.items():
        for pattern, replacement in _FIRST_GENERATION:
            name = re.sub(pattern, replacement, name)
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            tensor = halves_from_pairs(tensor, int(config.head_dim))
        translated[name] = tensor
    return translated


def halves_from_pairs(weight: Tensor, head_dim: int) -> Tensor:
    """weight [H * D, D_model] whose rows 2i, 2i+1 of each head turn together -> rows i, i + D/2 turn together."""
    if weight.shape[0] % head_dim:
        return weight  # its shape will be reported with all the others
    pairs = weight.view(-1, head_dim // 2, 2, weight.shape[1])  # [H, D/2, 2, D_model]
    return pairs.transpose(1, 2).reshape(weight.shape)


def _unstack_experts(state: dict[str, Tensor], prefix: str) -> None:
    """[E, 2I, D] gates above ups, and [E, D, I] downs -> three matrices per expert, in place."""
    gates_and_ups = state.pop(f"{prefix}gate_up_proj")
    downs = state.pop(f"{prefix}down_proj", torch.empty(0))
    for expert, both in enumerate(gates_and_ups):
        state[f"{prefix}{expert}.gate_proj.weight"], state[f"{prefix}{expert}.up_proj.weight"] = both.chunk(2)
    for expert, down in enumerate(downs):
        state[f"{prefix}{expert}.down_proj.weight"] = down
