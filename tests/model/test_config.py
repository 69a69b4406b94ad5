"""Configurations and presets: derived fields, impossible values, exact counts."""

import dataclasses
import json

import pytest
import torch

from minimind.config import UserError, from_dict, to_dict
from minimind.model.config import ModelConfig
from minimind.model.count import active_parameters, flops_per_token, parameters, summary, weight_bytes
from minimind.model.language_model import LanguageModel
from minimind.model.presets import PRESETS, preset

# name: (parameters, names in the state dict)
PUBLIC = {
    "minimind2-small": (25_829_888, 75),
    "minimind2": (104_030_976, 147),
    "minimind2-moe": (145_029_760, 179),
    "minimind-3": (63_912_192, 91),
    "minimind-3-moe": (198_416_640, 171),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_presets_have_the_public_counts(name: str):
    with torch.device("meta"):
        model = LanguageModel(PRESETS[name])
    assert (sum(p.numel() for p in model.parameters()), len(model.state_dict())) == PUBLIC[name]
    assert parameters(PRESETS[name]) == PUBLIC[name][0]


def test_the_primer_counts_what_it_holds():
    """2048 x 128 + 3 x (2 x 128 x (4 + 4) x 32 + 3 x 128 x 352 + 2 x 128 + 2 x 32) + 128, by hand."""
    assert parameters(PRESETS["primer"]) == 262_144 + 3 * (65_536 + 135_168 + 320) + 128 == 865_344


def test_active_parameters():
    """Per layer of minimind2-moe: 2 routed and 1 shared of 5 feed-forwards of 3 x 640 x 1728, so 2 are idle."""
    config = PRESETS["minimind2-moe"]
    assert parameters(config) - active_parameters(config) == 8 * 2 * 3 * 640 * 1728
    assert round(active_parameters(config) / 1e6, 1) == 91.9
    assert round(active_parameters(PRESETS["minimind-3-moe"]) / 1e6, 1) == 63.9
    assert active_parameters(PRESETS["minimind-3"]) == parameters(PRESETS["minimind-3"])


@pytest.mark.parametrize("name", PRESETS)
def test_flops_agree_with_those_that_torch_counts(name: str):
    from torch.utils.flop_counter import FlopCounterMode

    config = dataclasses.replace(PRESETS[name], num_hidden_layers=2, vocab_size=512)
    tokens = 128
    if config.use_moe:  # sorting tokens needs real ones, so this one is small
        config = dataclasses.replace(config, hidden_size=64, intermediate_size=96, head_dim=16)
    with torch.device("cpu" if config.use_moe else "meta"):
        model, ids = LanguageModel(config), torch.zeros(2, tokens, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        model(ids)
    assert counter.get_total_flops() / (2 * tokens) == pytest.approx(flops_per_token(config, tokens), rel=0.02)


def test_summary_and_bytes():
    config = PRESETS["minimind-3"]
    assert weight_bytes(config) == 2 * 63_912_192
    assert summary(config) == {
        "parameters": 63_912_192,
        "active_parameters": 63_912_192,
        "flops_per_token": flops_per_token(config, 512),
        "bytes": 127_824_384,
    }


def test_public_fields():
    three = PRESETS["minimind-3-moe"]
    assert (three.intermediate_size, three.moe_intermediate_size, three.head_dim) == (2432, 2432, 96)
    assert (three.num_key_value_heads, three.qk_norm, three.rms_norm_eps) == (4, True, 1e-6)
    assert (three.num_experts, three.num_experts_per_tok, three.n_shared_experts) == (4, 1, 0)
    assert (three.router_aux_loss_coef, three.seq_aux) == (5e-4, False)
    assert [ModelConfig(hidden_size=size).intermediate_size for size in (512, 640, 768)] == [1408, 1728, 2048]


def test_derived_fields_follow_a_change_and_given_ones_stay():
    assert dataclasses.replace(ModelConfig(), hidden_size=768).intermediate_size == 2048
    assert dataclasses.replace(ModelConfig(), hidden_size=768).head_dim == 96
    assert dataclasses.replace(ModelConfig(intermediate_size=100), hidden_size=768).intermediate_size == 100
    assert preset("minimind-3", hidden_size=512).intermediate_size == 1664  # ceil(512 pi / 64) x 64
    assert preset("minimind-3", hidden_size=512, intermediate_size=99).moe_intermediate_size == 99
    with pytest.raises(UserError, match="did you mean minimind-3"):
        preset("minimind3")


@pytest.mark.parametrize("name", PRESETS)
def test_configurations_survive_json(name: str):
    assert from_dict(ModelConfig, json.loads(json.dumps(to_dict(PRESETS[name])))) == PRESETS[name]
    assert from_dict(ModelConfig, to_dict(PRESETS[name])) == PRESETS[name]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (dict(num_attention_heads=8, num_key_value_heads=3), "multiple of num_key_value_heads"),
        (dict(hidden_size=100, num_attention_heads=8), "give head_dim"),
        (dict(hidden_size=24, num_attention_heads=8), "even"),
        (dict(head_dim=7), "even"),
        (dict(vocab_size=0), "vocab_size must be at least 1"),
        (dict(use_moe=True, num_experts=2, num_experts_per_tok=3), "larger than num_experts"),
        (dict(dropout=1.0), "dropout"),
        (dict(rope_theta=0.0), "rope_theta must be positive"),
    ],
)
def test_impossible_values_are_named(fields: dict, words: str):
    with pytest.raises(UserError, match=words):
        ModelConfig(**fields)
