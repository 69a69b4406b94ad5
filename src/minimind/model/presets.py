"""The models that have names. `preset("minimind-3", num_hidden_layers=4)` is a variation on one."""

import dataclasses
import math
from typing import Any

from minimind.config import UserError, nearest
from minimind.model.config import ModelConfig


def _minimind_3_width(hidden_size: int) -> int:
    """The rule of minimind-3: pi x hidden_size, rounded up to a multiple of 64."""
    return math.ceil(hidden_size * math.pi / 64) * 64


_MINIMIND_3 = dict(
    hidden_size=768, num_key_value_heads=4, intermediate_size=_minimind_3_width(768), qk_norm=True, rms_norm_eps=1e-6
)

PRESETS: dict[str, ModelConfig] = {
    "minimind2-small": ModelConfig(),
    "minimind2": ModelConfig(hidden_size=768, num_hidden_layers=16),
    "minimind2-moe": ModelConfig(hidden_size=640, use_moe=True),
    "minimind-3": ModelConfig(**_MINIMIND_3),
    "minimind-3-moe": ModelConfig(
        **_MINIMIND_3, use_moe=True, num_experts_per_tok=1, n_shared_experts=0, router_aux_loss_coef=5e-4, seq_aux=False
    ),
    "primer": ModelConfig(
        vocab_size=2048,
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        intermediate_size=352,
        rope_theta=1e4,
        rms_norm_eps=1e-6,
        qk_norm=True,
        max_position_embeddings=2048,
    ),
}


def preset(name: str, **changes: Any) -> ModelConfig:
    """A new configuration of that name, with some fields changed; a minimind-3 keeps its own width rule."""
    if name not in PRESETS:
        near = nearest(name, PRESETS)
        hint = f"did you mean {near}?" if near else f"known: {', '.join(PRESETS)}"
        raise UserError(f"there is no model preset {name!r}: {hint}")
    if name.startswith("minimind-3") and "hidden_size" in changes:
        changes.setdefault("intermediate_size", _minimind_3_width(changes["hidden_size"]))
    return dataclasses.replace(PRESETS[name], **changes)
