"""What a model is like, read from the shapes of its weights: for files that come without a description."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from minimind.config import UserError
from minimind.model.config import ModelConfig
from minimind.model.names import EMBEDDING, OUTPUT, current_names

PUBLIC_HEADS = 8  # of every public MiniMind; shapes alone do not tell it

# What a config.json may add that no shape shows.
FOREIGN_FIELDS = (
    "num_attention_heads",
    "head_dim",
    "rope_theta",
    "rms_norm_eps",
    "max_position_embeddings",
    "num_experts_per_tok",
    "norm_topk_prob",
)


def config_of_weights(state: Mapping[str, Tensor], described: Mapping[str, Any] | None = None) -> ModelConfig:
    """The configuration that fits a state dict of the public MiniMinds (of any generation), Llama or Qwen3.

    What shapes leave open is taken from `described` (a Hugging Face config.json), or is as in the public models: 8
    heads, rotary base 1e6, epsilon 1e-6 with normalised queries and 1e-5 without, one expert a token where none is
    shared, else two. Raises UserError for anything else.
    """
    described = dict(described or {})
    described.setdefault("rope_theta", (described.get("rope_parameters") or {}).get("rope_theta", 1e6))
    given = {name: described[name] for name in FOREIGN_FIELDS if described.get(name) is not None}
    embedding = state.get(EMBEDDING, state.get("tok_embeddings.weight"))
    if embedding is None or embedding.ndim != 2:
        raise UserError(f"these are no weights of a language model: {EMBEDDING} is missing")
    vocab_size, hidden_size = embedding.shape
    heads = given.pop("num_attention_heads", PUBLIC_HEADS)
    size = {"vocab_size": vocab_size, "hidden_size": hidden_size, "num_attention_heads": heads}
    names = current_names(state, ModelConfig(**size, num_key_value_heads=heads, head_dim=given.get("head_dim")))
    shape = {name: tuple(tensor.shape) for name, tensor in names.items()}
    layer = "model.layers.0."
    try:
        query, key = shape[f"{layer}self_attn.q_proj.weight"][0], shape[f"{layer}self_attn.k_proj.weight"][0]
        qk_norm = f"{layer}self_attn.q_norm.weight" in shape
        head_dim = shape[f"{layer}self_attn.q_norm.weight"][0] if qk_norm else query // heads
        use_moe = f"{layer}mlp.gate.weight" in shape
        inner = shape[f"{layer}mlp.{'experts.0.' if use_moe else ''}gate_proj.weight"][0]
    except KeyError as error:
        raise UserError(f"these are no weights of a model known here: {error.args[0]} is missing") from None
    fields = size | {
        "num_attention_heads": query // head_dim,
        "num_key_value_heads": key // head_dim,
        "head_dim": head_dim,
        "num_hidden_layers": 1 + max(int(i) for name in shape for i in re.findall(r"^model\.layers\.(\d+)\.", name)),
        "intermediate_size": inner,
        "qk_norm": qk_norm,
        "rms_norm_eps": 1e-6 if qk_norm else 1e-5,
        "tie_word_embeddings": OUTPUT not in names or torch.equal(names[EMBEDDING], names[OUTPUT]),
        "inference_rope_scaling": bool(described.get("rope_scaling")),
    }
    if use_moe:
        shared = {name.split(".")[5] for name in shape if name.startswith(f"{layer}mlp.shared_experts.")}
        fields |= {
            "use_moe": True,
            "num_experts": shape[f"{layer}mlp.gate.weight"][0],
            "n_shared_experts": len(shared),
            "num_experts_per_tok": 2 if shared else 1,
            "seq_aux": bool(shared),
        }
    return ModelConfig(**{**fields, **given})
