"""Mixture of experts: grouped equals token by token, what the router learns from, and both balance losses."""

import pytest
import torch
from torch import Tensor

from minimind.model.config import ModelConfig
from minimind.model.moe import MixtureOfExperts, Segments, mix_plain, segments


def layer(**fields) -> MixtureOfExperts:
    torch.manual_seed(0)
    shape = dict(hidden_size=16, num_attention_heads=2, intermediate_size=24, use_moe=True, n_shared_experts=0)
    return MixtureOfExperts(ModelConfig(**shape | fields))


def gradients(value: Tensor, module: MixtureOfExperts, x: Tensor) -> list[Tensor]:
    inputs = (x, *module.parameters())
    found = torch.autograd.grad(value, inputs, torch.ones_like(value) * 0.5, allow_unused=True)
    return [torch.zeros_like(a) if g is None else g for a, g in zip(inputs, found, strict=True)]


@pytest.mark.parametrize(("experts", "k", "shared"), [(4, 1, 0), (4, 2, 1), (3, 3, 2), (8, 2, 0)])
def test_grouped_equals_token_by_token(experts: int, k: int, shared: int):
    """Values and all gradients; with 8 experts for 10 tokens some get none."""
    module = layer(num_experts=experts, num_experts_per_tok=k, n_shared_experts=shared)
    x = torch.randn(2, 5, 16, requires_grad=True)
    ours, routing = module(x)

    flat = x.view(10, 16)
    weights, chosen = module.route(module.gate(flat).softmax(-1))
    plain = mix_plain(module, flat, weights, chosen)
    for expert in getattr(module, "shared_experts", ()):
        plain = plain + expert(flat)
    torch.testing.assert_close(ours.view(10, 16), plain)
    torch.testing.assert_close(gradients(ours.view(10, 16), module, x), gradients(plain, module, x))
    torch.testing.assert_close(routing.load, chosen.flatten().bincount(minlength=experts) / (10.0 * k))


def test_every_parameter_gets_a_gradient_also_of_an_idle_expert():
    """Ranks must agree on which parameters have gradients."""
    module = layer(num_experts=8, num_experts_per_tok=1)
    module(torch.randn(1, 2, 16))[0].sum().backward()
    assert all(p.grad is not None for p in module.parameters())


def test_one_normalised_expert_has_weight_one_and_still_teaches_the_router():
    """Values as in the public model, to the bit; the router's gradient is that of log p of the expert it chose."""
    learning = layer(num_experts_per_tok=1)
    public = layer(num_experts_per_tok=1, router_straight_through=False)
    x = torch.randn(1, 6, 16)
    assert torch.equal(learning(x)[0], public(x)[0])
    flat, upstream = x[0], torch.randn(6, 16)
    weights, chosen = learning.route(learning.gate(flat).softmax(-1))
    assert torch.equal(weights, torch.ones(6, 1))

    (gradient,) = torch.autograd.grad(learning(x)[0][0], learning.gate.weight, upstream)
    worth = (upstream * mix_plain(learning, flat, torch.ones(6, 1), chosen)).sum(-1).detach()  # d loss / d weight
    log_p = learning.gate(flat).log_softmax(-1).gather(1, chosen)[:, 0]
    (expected,) = torch.autograd.grad((worth * log_p).sum(), learning.gate.weight)
    torch.testing.assert_close(gradient, expected)
    (nothing,) = torch.autograd.grad(public(x)[0][0], public.gate.weight, upstream)
    assert nothing.abs().max() < 1e-6 < gradient.abs().max()


def test_the_router_learns_from_the_loss_alone():
    """Two kinds of token, two frozen experts, one right for each kind: without a balance loss the router finds out."""
    module = layer(num_experts=2, num_experts_per_tok=1, router_aux_loss_coef=0.0)
    kinds = torch.randint(0, 2, (64,))
    torch.manual_seed(1)
    x = torch.randn(2, 16)[kinds] + 0.1 * torch.randn(64, 16)
    wanted = torch.stack([module.experts[1 - int(kind)](token) for kind, token in zip(kinds, x, strict=True)]).detach()
    optimizer = torch.optim.SGD(module.gate.parameters(), lr=3.0)
    torch.nn.init.normal_(module.gate.weight, std=1e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        optimizer.zero_grad()
        # Tokens try both experts only if the router is sometimes pushed: noise stands for the rest of training.
        with torch.no_grad():
            module.gate.weight += 0.02 * torch.randn(2, 16, generator=generator)
        ((module(x[None])[0][0] - wanted) ** 2).sum().backward()
        optimizer.step()
    chosen = module.route(module.gate(x).softmax(-1))[1][:, 0]
    assert (chosen == 1 - kinds).float().mean() > 0.95


def test_balance_over_the_batch_by_hand():
    """E sum_e load_e mean(p_e) over real tokens: the third token is padding."""
    module = layer(num_experts=2, num_experts_per_tok=1, seq_aux=False, router_aux_loss_coef=0.1)
    p = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]])
    chosen = p.argmax(-1, keepdim=True)
    routing = module._routing(p, chosen, Segments(torch.zeros(4, dtype=torch.int64), 1, torch.tensor([1.0, 1, 0, 1])))
    torch.testing.assert_close(routing.load, torch.tensor([2 / 3, 1 / 3]))
    expected = 0.1 * 2 * (2 / 3 * (0.9 + 0.4 + 0.7) / 3 + 1 / 3 * (0.1 + 0.6 + 0.3) / 3)
    assert routing.aux_loss.item() == pytest.approx(expected)


def test_balance_within_sequences_by_hand():
    """The mean over sequences of sum_e (count_e E / (k length)) mean(p_e); a sequence of padding does not count."""
    module = layer(num_experts=2, num_experts_per_tok=1, router_aux_loss_coef=0.1)
    p = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8], [0.5, 0.5]])
    place = Segments(torch.tensor([0, 0, 0, 1, 2]), 5, torch.tensor([1.0, 1, 1, 1, 0]))
    routing = module._routing(p, p.argmax(-1, keepdim=True), place)
    first = 2 * 2 / 3 * (0.9 + 0.4 + 0.7) / 3 + 1 * 2 / 3 * (0.1 + 0.6 + 0.3) / 3
    second = 1 * 2 / 1 * 0.8
    assert routing.aux_loss.item() == pytest.approx(0.1 * (first + second) / 2)
    assert module.eval()._routing(p, p.argmax(-1, keepdim=True), place).aux_loss == 0


def test_sequences_are_rows_or_documents():
    ids = torch.zeros(2, 4, dtype=torch.int64)
    rows = segments(ids, None, None)
    assert (rows.index.tolist(), rows.bound, rows.real.tolist()) == ([0] * 4 + [1] * 4, 2, [1.0] * 8)
    documents = torch.tensor([[5, 5, 5, 7], [7, 7, 9, 9]])
    mask = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])  # one cached token, then these four
    packed = segments(ids, documents, mask)
    assert packed.index.tolist() == [0, 0, 0, 1, 2, 2, 3, 3]
    assert packed.real.tolist() == [1, 1, 1, 0, 1, 1, 1, 1]
