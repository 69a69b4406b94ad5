"""Our model against transformers' Llama, Qwen3 and Qwen3-MoE with the same random weights, in fp32 on the CPU."""

import pytest
import torch
from torch import Tensor

from minimind.model.cache import ContiguousCache
from minimind.model.config import ModelConfig
from minimind.model.language_model import LanguageModel
from minimind.model.names import current_names
from minimind.model.store import load_strict
from minimind.ops.loss import cross_entropy_sum

transformers = pytest.importorskip("transformers")

SHAPE = dict(
    vocab_size=97,
    hidden_size=48,
    num_hidden_layers=3,
    num_attention_heads=6,
    num_key_value_heads=2,
    intermediate_size=80,
    max_position_embeddings=4096,
)
YARN = dict(
    rope_type="yarn",
    factor=16.0,
    original_max_position_embeddings=2048,
    beta_fast=32.0,
    beta_slow=1.0,
    attention_factor=1.0,
)
FAMILIES = {
    "llama": ("LlamaForCausalLM", dict(head_dim=8), {}),
    "qwen3": ("Qwen3ForCausalLM", dict(head_dim=16, qk_norm=True), {}),
    "qwen3-moe": (
        "Qwen3MoeForCausalLM",
        dict(head_dim=8, qk_norm=True, use_moe=True, num_experts=5, num_experts_per_tok=2, n_shared_experts=0),
        dict(num_experts=5, num_experts_per_tok=2, moe_intermediate_size=80, norm_topk_prob=True),
    ),
    "qwen3-moe-top1": (
        "Qwen3MoeForCausalLM",
        dict(
            head_dim=8,
            qk_norm=True,
            use_moe=True,
            num_experts_per_tok=1,
            n_shared_experts=0,
            router_straight_through=False,
        ),
        dict(num_experts=4, num_experts_per_tok=1, moe_intermediate_size=80, norm_topk_prob=True),
    ),
}


def twins(family: str, yarn: bool = False) -> tuple[LanguageModel, torch.nn.Module]:
    """Our model and theirs with equal weights; the gains are random too."""
    name, fields, theirs = FAMILIES[family]
    config = ModelConfig(**SHAPE, **fields, rope_theta=1e6, rms_norm_eps=1e-6, inference_rope_scaling=yarn)
    model_class = getattr(transformers, name)
    rope = dict(YARN if yarn else dict(rope_type="default"), rope_theta=1e6)
    their_config = model_class.config_class(
        **SHAPE,
        head_dim=fields["head_dim"],
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        rope_parameters=rope,
        attn_implementation="eager",
        **theirs,
    )
    torch.manual_seed(0)
    their = model_class(their_config).float().train()
    with torch.no_grad():
        for parameter in their.parameters():
            parameter.normal_(1.0 if parameter.dim() == 1 else 0.0, 0.15)
    ours = LanguageModel(config)
    load_strict(ours, their.state_dict())
    return ours.train(), their


def batch(padding: str) -> tuple[Tensor, Tensor, Tensor | None]:
    """ids, targets and mask [3, 21]; rows 1 and 2 are shorter when there is padding."""
    torch.manual_seed(1)
    ids = torch.randint(0, 97, (3, 21))
    targets = ids.roll(-1, dims=1)
    targets[:, -1] = -100
    if padding == "none":
        return ids, targets, None
    mask = torch.ones_like(ids)
    for row, missing in ((1, 4), (2, 11)):
        mask[row, slice(-missing, None) if padding == "right" else slice(0, missing)] = 0
    return ids, targets.masked_fill(mask == 0, -100).masked_fill(mask.roll(-1, dims=1) == 0, -100), mask


def assert_logits_equal(ours: Tensor, theirs: Tensor, mask: Tensor | None) -> None:
    real = torch.ones(ours.shape[:2], dtype=torch.bool) if mask is None else mask.bool()
    torch.testing.assert_close(ours[real], theirs[real], rtol=1.3e-6, atol=1e-5)


@pytest.mark.parametrize("yarn", [False, True], ids=["plain", "yarn"])
@pytest.mark.parametrize("padding", ["none", "right", "left"])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_all_gradients_equal(family: str, padding: str, yarn: bool):
    ours, theirs = twins(family, yarn)
    ids, targets, mask = batch(padding)
    our_logits = ours(ids, attention_mask=mask).logits
    their_logits = theirs(input_ids=ids, attention_mask=mask, use_cache=False).logits
    assert_logits_equal(our_logits, their_logits, mask)

    for logits in (our_logits, their_logits):
        loss, count = cross_entropy_sum(logits, targets)
        (loss / count).backward()
    expected = current_names({name: p.grad for name, p in theirs.named_parameters()}, ours.config)
    gradients = {name: p.grad for name, p in ours.named_parameters()}
    assert gradients.keys() == expected.keys() - {"lm_head.weight"}
    largest = max(gradient.norm().item() for gradient in expected.values())
    for name, gradient in gradients.items():
        # The router of one normalised expert has no gradient but rounding errors, in theirs as in ours.
        empty = family == "qwen3-moe-top1" and name.endswith("mlp.gate.weight")
        scale = largest if empty else expected[name].norm().item()
        assert (gradient - expected[name]).norm().item() <= 1e-5 * scale, name


@pytest.mark.parametrize("yarn", [False, True], ids=["plain", "yarn"])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_through_the_cache_equal_theirs_without(family: str, yarn: bool):
    """A prefill of right-padded prompts, one step of several tokens, then single tokens, at different lengths."""
    ours, theirs = twins(family, yarn)
    ids, _, _ = batch("none")
    expected = theirs(input_ids=ids, use_cache=False).logits
    cache = ContiguousCache(ours.config, rows=3, capacity=32)
    with torch.no_grad():
        logits = ours(ids[:, :9], cache=cache).logits
        assert_logits_equal(logits, expected[:, :9], None)
        cache.truncate([9, 4, 6])
        for tokens in (5, *[1] * 7):
            places = cache.lengths[:, None] + torch.arange(tokens)
            logits = ours(ids.gather(1, places), cache=cache).logits
            assert_logits_equal(logits, expected.gather(1, places[..., None].expand_as(logits)), None)
    assert cache.lengths.tolist() == [21, 16, 18]


@pytest.mark.parametrize("family", ["qwen3", "qwen3-moe"])
def test_left_padding_with_a_cache(family: str):
    """Left-padded rows keep their absolute positions, so a mask over all cached tokens is all it needs."""
    ours, theirs = twins(family)
    ids, _, mask = batch("left")
    expected = theirs(input_ids=ids, attention_mask=mask, use_cache=False).logits
    cache = ContiguousCache(ours.config, rows=3, capacity=21)
    with torch.no_grad():
        pieces = [ours(ids[:, :15], attention_mask=mask[:, :15], cache=cache).logits]
        for end in range(16, 22):
            pieces.append(ours(ids[:, end - 1 : end], attention_mask=mask[:, :end], cache=cache).logits)
    assert_logits_equal(torch.cat(pieces, dim=1), expected, mask)


def test_half_precision_is_as_near_as_theirs():
    """In bf16 both round at other places; ours is no further from fp32 than theirs is (times two)."""
    ours, theirs = twins("qwen3")
    ids, _, _ = batch("none")
    exact = theirs(input_ids=ids, use_cache=False).logits
    our_error = (ours.bfloat16()(ids).logits - exact).abs().mean()
    their_error = (theirs.bfloat16()(input_ids=ids, use_cache=False).logits - exact).abs().mean()
    assert our_error < 2 * their_error
