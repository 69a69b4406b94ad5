"""DPO's page: numbers worked out by hand, and the same loss from sequences that were never packed."""

import math

import pytest
import torch
import torch.nn.functional as F
from plain import assert_same_gradients, gradients, pairs, plain_logprobs, tiny_model

from minimind.data.pack import pack
from minimind.infer.score import reply_logprobs, target_logprobs
from minimind.stages import dpo
from minimind.stages.dpo import objective, pair_losses


def logprobs(*values):
    return torch.tensor(values, requires_grad=True)


def test_the_sigmoid_loss_by_hand():
    """Gains are -2 + 2.5 = 0.5 and -3 + 2.5 = -0.5, so h = 1; with beta = 1/2 the loss is log(1 + e^(-1/2)) and its
    slope in log p(y_w) is -beta sigmoid(-beta h) = -0.5 / (1 + e^(1/2))."""
    chosen, rejected = logprobs(-2.0), logprobs(-3.0)
    loss, statistics = objective(chosen, rejected, torch.tensor([-2.5]), torch.tensor([-2.5]), beta=0.5)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-0.5)), rel=1e-6)
    assert chosen.grad.item() == pytest.approx(-0.5 / (1 + math.exp(0.5)), rel=1e-6)
    assert rejected.grad.item() == pytest.approx(0.5 / (1 + math.exp(0.5)), rel=1e-6)
    assert [statistics[name].item() for name in ("accuracy", "reward_chosen", "reward_rejected")] == [1, 0.25, -0.25]


def test_label_smoothing_by_hand():
    """The same pair, one in ten taken to be the wrong way round: 0.9 log(1 + e^(-1/2)) + 0.1 log(1 + e^(1/2))."""
    settings = {"beta": 0.5, "label_smoothing": 0.1}
    loss, _ = objective(logprobs(-2.0), logprobs(-3.0), torch.tensor([-2.5]), torch.tensor([-2.5]), **settings)
    expected = 0.9 * math.log(1 + math.exp(-0.5)) + 0.1 * math.log(1 + math.exp(0.5))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_ipo_by_hand():
    """h = 1 and beta = 1/4: (1 - 2)^2 = 1 with slope 2 (1 - 2) = -2; at beta = 1/2 the aim 1 is reached, loss 0."""
    chosen = logprobs(-2.0)
    loss, _ = objective(chosen, logprobs(-3.0), torch.tensor([-2.5]), torch.tensor([-2.5]), beta=0.25, loss_type="ipo")
    loss.backward()
    assert (loss.item(), chosen.grad.item()) == (1.0, -2.0)
    at_aim, _ = objective(
        logprobs(-2.0), logprobs(-3.0), torch.tensor([-2.5]), torch.tensor([-2.5]), beta=0.5, loss_type="ipo"
    )
    assert at_aim.item() == 0.0


def test_losses_are_sums_and_a_tie_is_half_right():
    """Margins 1, 0, -1: the losses of a batch are those of its pairs, and 1 + 1/2 + 0 of them are right."""
    zero = torch.zeros(3)
    loss, statistics = objective(logprobs(1.0, 0.0, 0.0), logprobs(0.0, 0.0, 1.0), zero, zero, beta=1.0)
    assert loss.item() == pytest.approx(sum(math.log(1 + math.exp(-h)) for h in (1, 0, -1)), rel=1e-6)
    assert statistics["accuracy"].item() == 1.5


@pytest.mark.parametrize("width", [16, 40])
def test_packed_replies_score_as_they_do_alone(width):
    model, documents = tiny_model(), pairs()
    batch = pack(documents, width)
    sums, lengths = reply_logprobs(model, batch)
    alone = [plain_logprobs(model, document.ids)[document.mask[1:]] for document in documents]
    assert lengths.tolist() == [len(values) for values in alone]
    torch.testing.assert_close(sums, torch.stack([values.sum() for values in alone]), rtol=1e-5, atol=1e-5)


def test_a_temperature_divides_the_logits():
    model, documents = tiny_model(), pairs()
    values, owners = target_logprobs(model, pack(documents, 40), temperature=0.7)
    for index, document in enumerate(documents):
        alone = plain_logprobs(model, document.ids, 0.7)[document.mask[1:]]
        torch.testing.assert_close(values[owners == index], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss_type", ["sigmoid", "ipo"])
@pytest.mark.parametrize("sft_weight", [0.0, 0.3])
def test_the_loss_of_packed_pairs_is_that_of_plain_sequences(loss_type, sft_weight):
    model, reference_model, documents = tiny_model(seed=1), tiny_model(seed=2), pairs()
    batch = pack(documents, 40)
    with torch.no_grad():
        reference = reply_logprobs(reference_model, batch)[0].view(-1, 2)
    settings = {"beta": 0.3, "loss_type": loss_type, "label_smoothing": 0.05 if loss_type == "sigmoid" else 0.0}
    loss, statistics = pair_losses(model, batch, reference, dpo.Config(sft_weight=sft_weight, **settings))

    expected, likely = torch.zeros(()), 0.0
    for chosen, rejected in zip(documents[::2], documents[1::2], strict=True):
        gains = []
        for document in (chosen, rejected):
            own = plain_logprobs(model, document.ids)[document.mask[1:]]
            anchor = plain_logprobs(reference_model, document.ids)[document.mask[1:]].detach()
            gains.append((own - anchor).mean() if loss_type == "ipo" else (own - anchor).sum())
        own = plain_logprobs(model, chosen.ids)[chosen.mask[1:]]
        h = gains[0] - gains[1]
        if loss_type == "ipo":
            expected = expected + (h - 1 / 0.6) ** 2
        else:
            expected = expected - 0.95 * F.logsigmoid(0.3 * h) - 0.05 * F.logsigmoid(-0.3 * h)
        expected = expected - sft_weight * own.mean()
        likely += own.mean().item()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert statistics["logprob_chosen"].item() == pytest.approx(likely, rel=1e-5)
    assert_same_gradients(gradients(model, loss), gradients(model, expected))
