"""Rotary positions: the definition by complex numbers, and YaRN's ramp by hand."""

import math

import pytest
import torch

from minimind.model.config import ModelConfig
from minimind.model.rope import Rotary, frequencies, rotate


def test_rotation_is_multiplication_by_a_complex_number():
    """Dimensions i and i + D/2 as one number z_i: z_i exp(1j x position x theta^(-2i/D))."""
    config = ModelConfig(hidden_size=32, num_attention_heads=4, rope_theta=100.0, max_position_embeddings=50)
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 8)
    positions = torch.tensor([[0, 1, 2], [7, 49, 3]])
    angle = positions[..., None, None] * 100.0 ** (-torch.arange(4) / 4)
    turned = torch.complex(x[..., :4], x[..., 4:]) * torch.polar(torch.ones_like(angle), angle)
    rotary = Rotary(config)
    ours = rotate(x, *rotary.at(positions, x.device))
    torch.testing.assert_close(ours, torch.cat((turned.real, turned.imag), dim=-1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(rotate(x[:1], *rotary.at(3, x.device)), ours[:1])


@pytest.mark.parametrize(("head_dim", "low", "high"), [(64, 5, 14), (80, 6, 17), (96, 8, 21)])
def test_yarn_keeps_fast_pairs_and_slows_slow_ones(head_dim: int, low: int, high: int):
    """The bounds are those of the public models; between them the share of slowing down grows linearly."""
    fields = dict(hidden_size=8 * head_dim, num_attention_heads=8)
    plain = frequencies(ModelConfig(**fields))
    ratio = frequencies(ModelConfig(**fields, inference_rope_scaling=True)) / plain
    expected = [1 - min(max((i - low) / (high - low), 0), 1) * (1 - 1 / 16) for i in range(head_dim // 2)]
    torch.testing.assert_close(ratio, torch.tensor(expected))
    assert plain[1].item() == pytest.approx(math.exp(-2 / head_dim * math.log(1e6)))
