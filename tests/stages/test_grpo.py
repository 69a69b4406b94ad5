"""GRPO's page: advantages, surrogates, divergence and normalisations, each against numbers worked out by hand."""

import math

import pytest
import torch
from plain import RUN, assert_same_gradients, gradients, plain_logprobs, rollout_of, tiny_model

from minimind.ops.advantage import group_advantages
from minimind.ops.kl import k3
from minimind.stages import grpo
from minimind.stages.grpo import OBJECTIVES, denominator, loss_of_part, token_weights


def test_advantages_by_hand():
    """Rewards 1, 0, 0, 1 have mean 1/2 and deviation 1/2 (divided by G), so the advantages are +-0.5 / 0.5001;
    0, 3, 0, 3 the same; 2, 2, 2, 2 teaches nothing. Without the division they are the distances from the mean."""
    rewards = torch.tensor([[1.0, 0, 0, 1], [0, 3, 0, 3], [2, 2, 2, 2]])
    scaled, plain = group_advantages(rewards), group_advantages(rewards, by_deviation=False)
    expected = torch.tensor([[1.0, -1, -1, 1], [-1, 1, -1, 1], [0, 0, 0, 0]])
    sizes = torch.tensor([[0.5 / 0.5001], [1.5 / 1.5001], [1.0]])
    torch.testing.assert_close(scaled, expected * sizes)
    torch.testing.assert_close(plain, expected * torch.tensor([[0.5], [1.5], [1.0]]))


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.0, 2.0, -2.0, -2.0),  # on the policy: the plain policy gradient -A
        (1.1, 2.0, -2.2, -2.2),  # inside the band: -R A, whose slope in log p is -R A
        (1.5, 2.0, -2.6, 0.0),  # far enough up: clipped at 1 + 0.3
        (0.5, 2.0, -1.0, -1.0),  # a good token that became rare is still pushed up
        (0.5, -2.0, 1.6, 0.0),  # far enough down: clipped at 1 - 0.2
        (1.5, -2.0, 3.0, 3.0),  # a bad token that became likely is still pushed down
    ],
)
def test_the_clipped_surrogate_by_hand(ratio, advantage, loss, slope):
    logprob = torch.tensor([-1.0 + math.log(ratio)], requires_grad=True)
    losses = OBJECTIVES["clip"](logprob, torch.tensor([-1.0]), torch.tensor([advantage]), 0.2, 0.3)
    losses.sum().backward()
    assert losses.item() == pytest.approx(loss, rel=1e-5)
    assert logprob.grad.item() == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize(("ratio", "weight"), [(1.0, 1.0), (0.1, 0.1), (1.2, 1.2), (3.0, 1.3)])
@pytest.mark.parametrize("advantage", [2.0, -2.0])
def test_cispo_by_hand(ratio, weight, advantage):
    """The weight min(R, 1.3) is a constant: the loss is -w A log p and its slope -w A, however far the token moved."""
    logprob = torch.tensor([-1.0 + math.log(ratio)], requires_grad=True)
    losses = OBJECTIVES["cispo"](logprob, torch.tensor([-1.0]), torch.tensor([advantage]), 0.2, 0.3)
    losses.sum().backward()
    assert losses.item() == pytest.approx(-weight * advantage * (-1 + math.log(ratio)), rel=1e-5)
    assert logprob.grad.item() == pytest.approx(-weight * advantage, rel=1e-5)


def test_k3_by_hand():
    """r - p = log 2: 2 - log 2 - 1; r = p: 0; r - p = -log 2: 1/2 + log 2 - 1. Its slope in p is 1 - exp(r - p)."""
    own = torch.tensor([-2.0, -2.0, -2.0], requires_grad=True)
    reference = torch.tensor([-2 + math.log(2), -2.0, -2 - math.log(2)])
    values = k3(own, reference)
    values.sum().backward()
    torch.testing.assert_close(values.detach(), torch.tensor([1 - math.log(2), 0.0, math.log(2) - 0.5]))
    torch.testing.assert_close(own.grad, torch.tensor([-1.0, 0.0, 0.5]))


def test_k3_is_the_divergence_on_average():
    """For p = (0.7, 0.3) and r = (0.4, 0.6) the mean under p is KL(p || r) = 0.7 log(7/4) + 0.3 log(1/2)."""
    p, r = torch.tensor([0.7, 0.3]), torch.tensor([0.4, 0.6])
    assert (p * k3(p.log(), r.log())).sum().item() == pytest.approx(0.7 * math.log(7 / 4) - 0.3 * math.log(2), rel=1e-5)


def test_normalisations_by_hand():
    """Replies of 1 and 3 tokens, every token's loss 1, longest reply allowed 4.
    sequence: (1 + 3/3) / 2 = 1; token: 4 / 4 = 1; constant: (1/4 + 3/4) / 2 = 1/2. With losses 4 and 0:
    sequence (4 + 0) / 2 = 2; token 4 / 4 = 1; constant (4/4 + 0) / 2 = 1/2."""
    lengths = torch.tensor([1, 3])
    for losses, expected in (([1, 1], [1, 1, 0.5]), ([4, 0], [2, 1, 0.5])):
        of_reply = torch.tensor(losses) * lengths
        found = [
            ((of_reply * token_weights(lengths, how, 4)).sum() / denominator(lengths, how)).item()
            for how in ("sequence", "token", "constant")
        ]
        assert found == pytest.approx(expected)


@pytest.mark.parametrize("loss_type", ["clip", "cispo"])
@pytest.mark.parametrize("normalise", ["sequence", "token", "constant"])
def test_the_loss_in_parts_is_that_of_plain_sequences(loss_type, normalise):
    """The equations of the page's docstring, token by token over sequences that stand alone."""
    model, reference = tiny_model(seed=1), tiny_model(seed=2)
    rollout = rollout_of(model)
    batch = rollout.packed()
    config = grpo.Config(loss_type=loss_type, normalise=normalise, beta=0.1, max_new_tokens=8)
    advantages = group_advantages(rollout.rewards)
    divisor = denominator(rollout.lengths, normalise)
    total = torch.zeros(())
    for row in range(len(batch.ids)):  # one row a micro-batch
        part = batch.rows(row, row + 1)
        total = total + loss_of_part(RUN, model, reference, rollout, advantages, part, config)[0] / divisor

    expected = torch.zeros(())
    for index, document in enumerate(rollout.documents):
        reply = document.mask[1:]
        own = plain_logprobs(model, document.ids)[reply]
        anchor = plain_logprobs(reference, document.ids)[reply].detach()
        behaviour, A = rollout.behaviour[index, : len(own)], advantages.flatten()[index]
        ratio = (own - behaviour).exp()
        if loss_type == "clip":
            losses = -torch.minimum(ratio * A, ratio.clamp(0.8, 1.2) * A)
        else:
            losses = -ratio.clamp(max=1.2).detach() * A * own
        losses = losses + 0.1 * ((anchor - own).exp() - (anchor - own) - 1)
        weight = {"sequence": 1 / len(own), "token": 1.0, "constant": 1 / 8}[normalise]
        expected = expected + losses.sum() * weight / divisor
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert_same_gradients(gradients(model, total), gradients(model, expected))


def test_replies_without_an_advantage_may_be_left_out():
    """Without the divergence they add nothing: the loss of the others alone is the same, and so is its gradient."""
    model, config = tiny_model(), grpo.Config(beta=0.0)
    rollout = rollout_of(model, groups=3)
    advantages = group_advantages(rollout.rewards)
    advantages[1] = 0.0
    whole, part = rollout.packed(), rollout.packed(advantages.flatten() != 0)
    assert part.count == rollout.lengths[advantages.flatten() != 0].sum() < whole.count
    losses = [loss_of_part(RUN, model, None, rollout, advantages, batch, config)[0] for batch in (whole, part)]
    assert losses[0].item() == pytest.approx(losses[1].item(), abs=1e-5)
    assert_same_gradients(*(gradients(model, loss) for loss in losses))


def test_statistics_by_hand():
    """Behaviour equal to the model's own: every ratio is 1, nothing is clipped; against itself the divergence is 0."""
    model = tiny_model()
    rollout = rollout_of(model, noise=0.0)
    advantages = group_advantages(rollout.rewards)
    _, statistics = loss_of_part(RUN, model, model, rollout, advantages, rollout.packed(), grpo.Config())
    tokens = int(rollout.lengths.sum())
    assert {count for _, count in statistics.values()} == {tokens}
    assert statistics["clipped"][0].item() == 0 and statistics["ratio_error"][0].item() / tokens < 1e-5
    assert statistics["kl"][0].item() == 0
