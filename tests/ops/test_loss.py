"""Chunked losses against torch's own on whole logits."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from minimind.ops.loss import cross_entropy_sum, linear_cross_entropy, token_logprobs


def case(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """hidden [2, 9, 12], weight [31, 12], targets [2, 9] of which some are ignored."""
    torch.manual_seed(0)
    hidden = torch.randn(2, 9, 12, dtype=dtype, requires_grad=True)
    weight = torch.randn(31, 12, dtype=dtype, requires_grad=True)
    targets = torch.randint(0, 31, (2, 9))
    targets[0, 2:6] = -100
    targets[1, 8] = -100
    return hidden, weight, targets


def plain(hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    losses = F.cross_entropy((hidden @ weight.T).flatten(0, 1).float(), targets.flatten(), reduction="none")
    return (losses if weights is None else losses * weights.flatten()).sum()


def assert_same(ours: Tensor, theirs: Tensor, inputs: tuple[Tensor, ...], upstream: Tensor | None = None) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    for a, b in zip(
        torch.autograd.grad(ours, inputs, upstream, retain_graph=True),
        torch.autograd.grad(theirs, inputs, upstream, retain_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_cross_entropy_sum():
    hidden, weight, targets = case(torch.float32)
    loss, count = cross_entropy_sum(hidden @ weight.T, targets)
    torch.testing.assert_close(loss, plain(hidden, weight, targets))
    assert count == 13


@pytest.mark.parametrize("chunk", [1, 4, 5, 100, None])
@pytest.mark.parametrize("weighted", [False, True])
def test_linear_cross_entropy_equals_the_plain_one(chunk: int | None, weighted: bool):
    hidden, weight, targets = case(torch.float32)
    weights = torch.rand(2, 9) if weighted else None
    loss, count = linear_cross_entropy(hidden, weight, targets, weights, chunk)
    assert count == 13
    # A factor, because the gradient that reaches the loss is rarely one.
    assert_same(loss * 0.3, plain(hidden, weight, targets, weights) * 0.3, (hidden, weight))


def test_tied_weight_used_twice():
    """The same matrix looks the tokens up and scores them: both gradients add up."""
    _, weight, targets = case(torch.float32)
    ids = torch.randint(0, 31, (2, 9))
    ours, _ = linear_cross_entropy(F.embedding(ids, weight).tanh(), weight, targets, chunk=4)
    assert_same(ours, plain(F.embedding(ids, weight).tanh(), weight, targets), (weight,))


def test_only_one_input_needs_a_gradient():
    hidden, weight, targets = case(torch.float32)
    for inputs in ((hidden.detach(), weight), (hidden, weight.detach())):
        wanted = tuple(x for x in inputs if x.requires_grad)
        assert_same(linear_cross_entropy(*inputs, targets)[0], plain(*inputs, targets), wanted)
        assert_same(token_logprobs(*inputs, targets).sum(), -plain(*inputs, targets), wanted)


@pytest.mark.parametrize("score", ["loss", "logprobs"])
def test_nothing_to_predict(score: str):
    hidden, weight, targets = case(torch.float32)
    targets = torch.full_like(targets, -100)
    if score == "loss":
        value, count = linear_cross_entropy(hidden, weight, targets)
        assert count == 0
    else:
        value = token_logprobs(hidden, weight, targets).sum()
    assert value == 0
    for gradient in torch.autograd.grad(value, (hidden, weight)):
        assert not gradient.any()


@pytest.mark.parametrize("chunk", [1, 4, 100, None])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_token_logprobs_equal_log_softmax(chunk: int | None, temperature: float):
    hidden, weight, targets = case(torch.float32)
    ours = token_logprobs(hidden, weight, targets, temperature, chunk)
    logprobs = F.log_softmax(hidden @ weight.T / temperature, dim=-1)
    theirs = logprobs.gather(-1, targets.clamp(min=0)[..., None])[..., 0] * (targets != -100)
    assert_same(ours, theirs, (hidden, weight), torch.randn(2, 9))


def test_gradients_are_derivatives():
    """Finite differences agree, for the scalar and for the vector."""
    hidden, weight, targets = case()
    hidden = hidden.detach().flatten(0, 1)[:5].requires_grad_()
    targets = torch.tensor([3, -100, 7, 0, 3])

    def both(hidden: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        loss = linear_cross_entropy(hidden, weight, targets, chunk=2)[0]
        return loss, token_logprobs(hidden, weight, targets, temperature=0.8, chunk=2)

    # The sums are kept in fp32, so the steps cannot be small.
    torch.autograd.gradcheck(both, (hidden, weight), eps=1e-2, atol=2e-3, rtol=1e-2, nondet_tol=1e-6)


def test_half_precision_and_autocast():
    """Half-precision products, fp32 sums: near the fp32 result, and the gradients keep the inputs' types."""
    hidden, weight, targets = case(torch.float32)
    exact = plain(hidden, weight, targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = linear_cross_entropy(hidden, weight, targets, chunk=4)
        logprobs = token_logprobs(hidden, weight, targets, chunk=4)
    assert loss.dtype == logprobs.dtype == torch.float32
    torch.testing.assert_close(loss, exact, rtol=0.02, atol=0)
    torch.testing.assert_close(logprobs.sum(), -exact, rtol=0.02, atol=0)
    halves = hidden.detach().bfloat16().requires_grad_(), weight.detach().bfloat16().requires_grad_()
    loss, _ = linear_cross_entropy(*halves, targets)
    gradients = torch.autograd.grad(loss, halves)
    assert [gradient.dtype for gradient in gradients] == [torch.bfloat16] * 2
    for half, full in zip(gradients, torch.autograd.grad(exact, (hidden, weight)), strict=True):
        assert (half - full).norm() < 0.02 * full.norm()
