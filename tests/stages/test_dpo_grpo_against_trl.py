"""The losses of TRL's trainers on the same model, sequences and masks: value and gradient.

The loss methods are called without a trainer: what they ask of one stands in a namespace. One module for both, as the
import takes long.
"""

from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from plain import RUN, assert_same_gradients, gradients, pairs, plain_logprobs, rollout_of, tiny_model

from minimind.data.pack import pack
from minimind.infer.score import reply_logprobs
from minimind.ops.advantage import group_advantages
from minimind.stages import dpo, grpo

pytestmark = pytest.mark.slow
ALONE = SimpleNamespace(  # the accelerator of a single process
    device=torch.device("cpu"),
    num_processes=1,
    gather=lambda values: values,
    gather_for_metrics=lambda values: values,
    reduce=lambda values, reduction: values,
)


@pytest.fixture(scope="module")
def dpo_loss():
    return pytest.importorskip("trl.trainer.dpo_trainer").DPOTrainer._compute_loss


@pytest.fixture(scope="module")
def grpo_loss():
    return pytest.importorskip("trl.trainer.grpo_trainer").GRPOTrainer._compute_loss


def padded(rows):
    """[rows, longest] of tensors of different lengths, filled up with 0 on the right."""
    return torch.nn.utils.rnn.pad_sequence([torch.as_tensor(row) for row in rows], batch_first=True)


def as_trl_calls_it(model):
    """A model that answers as TRL's fused head does: log-probabilities of the labels, 0 where there is none."""

    def forward(input_ids, labels, **_):
        logprobs = model(input_ids).logits[:, :-1].log_softmax(-1)
        chosen = logprobs.gather(2, input_ids[:, 1:, None]).squeeze(2) * (labels[:, 1:] != -100)
        nothing = torch.zeros_like(chosen)
        return SimpleNamespace(log_probs=chosen, entropy=nothing, mean_logits=nothing, is_top1=nothing.bool())

    return forward


@pytest.mark.parametrize(
    ("ours", "losses"),
    [
        ({"loss_type": "sigmoid"}, {"sigmoid": 1.0}),
        ({"loss_type": "ipo"}, {"ipo": 1.0}),
        # with one pair a batch the sorting of "aot" does nothing, and what is left is the smoothed sigmoid loss
        ({"loss_type": "sigmoid", "label_smoothing": 0.1}, {"aot": 1.0}),
        ({"loss_type": "sigmoid", "sft_weight": 0.3}, {"sigmoid": 1.0, "sft": 0.3}),
    ],
)
def test_dpo(dpo_loss, ours, losses):
    model, anchor, documents = tiny_model(seed=1), tiny_model(seed=2), pairs()
    batch = pack(documents, 40)
    with torch.no_grad():
        reference = reply_logprobs(anchor, batch)[0].view(-1, 2)
    loss, _ = dpo.pair_losses(model, batch, reference, dpo.Config(beta=0.3, **ours))

    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True),
        accelerator=ALONE,
        beta=0.3,
        loss_types=list(losses),
        loss_weights=list(losses.values()),
        label_smoothing=ours.get("label_smoothing", 0.0),
        f_divergence_type="reverse_kl",
        ld_alpha=None,
        aux_loss_enabled=False,
        use_weighting=False,
        precompute_ref_logps=True,
        _total_train_tokens=0,
        _tp_size=1,
        _metrics=defaultdict(lambda: defaultdict(list)),
    )
    theirs = torch.zeros(())
    for index in range(0, len(documents), 2):  # a pair a call, since TRL takes the mean over its batch
        pair = documents[index : index + 2]
        inputs = {
            "input_ids": padded([document.ids for document in pair]),
            "attention_mask": padded([torch.ones(len(document.ids), dtype=torch.int64) for document in pair]),
            "completion_mask": padded([torch.as_tensor(document.mask).long() for document in pair]),
            "ref_chosen_logps": reference[index // 2, :1],
            "ref_rejected_logps": reference[index // 2, 1:],
        }
        theirs = theirs + dpo_loss(trainer, as_trl_calls_it(model), inputs, False)
    assert loss.item() == pytest.approx(theirs.item(), rel=1e-5)
    assert_same_gradients(gradients(model, loss), gradients(model, theirs))


@pytest.mark.parametrize("beta", [0.0, 0.1])
@pytest.mark.parametrize(
    ("loss_type", "normalise", "name"),
    [
        ("clip", "sequence", "grpo"),
        ("clip", "token", "dapo"),
        ("clip", "constant", "dr_grpo"),
        ("cispo", "token", "cispo"),
    ],
)
def test_grpo(grpo_loss, loss_type, normalise, name, beta):
    """TRL's upper bound of CISPO is of the ratio itself, ours of its distance from 1 (MiniMax-M1): 1.3 and 0.3."""
    model, anchor = tiny_model(seed=1), tiny_model(seed=2)
    rollout = rollout_of(model)
    documents = rollout.documents
    settings = {"loss_type": loss_type, "normalise": normalise, "beta": beta, "max_new_tokens": 8}
    config = grpo.Config(epsilon=0.2, epsilon_high=0.3, **settings)
    advantages = group_advantages(rollout.rewards)
    reference = anchor if beta else None
    loss, _ = grpo.loss_of_part(RUN, model, reference, rollout, advantages, rollout.packed(), config)
    loss = loss / grpo.denominator(rollout.lengths, normalise)

    replies = [torch.as_tensor(document.ids)[document.mask] for document in documents]
    mask = padded([torch.ones(len(reply), dtype=torch.int64) for reply in replies])

    def scored(of):
        return padded([plain_logprobs(of, document.ids)[document.mask[1:]] for document in documents])

    own = scored(model)
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True),
        accelerator=ALONE,
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1),
        loss_type=name,
        beta=beta,
        epsilon_low=0.2,
        epsilon_high=1.3 if name == "cispo" else 0.3,
        importance_sampling_level="token",
        max_completion_length=8,
        current_gradient_accumulation_steps=1,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        use_vllm=False,
        vllm_importance_sampling_correction=False,
        aux_loss_enabled=False,
        _entropy_bonus_enabled=False,
        _metrics=defaultdict(lambda: defaultdict(list)),
        _get_per_token_logps_and_entropies=lambda *_, **__: (own, torch.zeros_like(own), None),
    )
    inputs = {
        "prompt_ids": torch.zeros(len(replies), 1, dtype=torch.int64),
        "prompt_mask": torch.ones(len(replies), 1, dtype=torch.int64),
        "completion_ids": padded(replies),
        "completion_mask": mask,
        "advantages": advantages.flatten(),
        "old_per_token_logps": rollout.behaviour,
        "ref_per_token_logps": scored(anchor).detach(),
        "num_items_in_batch": mask.sum(),
    }
    theirs = grpo_loss(trainer, model, inputs)
    assert loss.item() == pytest.approx(theirs.item(), rel=1e-5)
    assert_same_gradients(gradients(model, loss), gradients(model, theirs))


def test_advantages(grpo_loss):
    """TRL divides by the deviation with G - 1, the spec (and GRPO's code before it) by the one with G."""
    utils = pytest.importorskip("trl.trainer.utils")
    rewards = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    deviation = utils.nanstd(rewards, dim=1, keepdim=True) * (3 / 4) ** 0.5
    expected = (rewards - rewards.mean(dim=1, keepdim=True)) / (deviation + 1e-4)
    torch.testing.assert_close(group_advantages(rewards), expected, rtol=1e-6, atol=1e-6)
