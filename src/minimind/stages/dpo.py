"""Direct preference optimisation: of two replies to one prompt, the better one becomes more likely than it was.

    h = (log p(y_w|x) - log p_ref(y_w|x)) - (log p(y_l|x) - log p_ref(y_l|x))
    sigmoid:  - (1 - eps) log sigmoid(beta h) - eps log sigmoid(-beta h)      (eps: label smoothing; 0 is plain DPO)
    ipo:      (h / length - 1 / (2 beta))^2        with log-probabilities averaged over each reply's tokens
    + sft_weight * -(log p(y_w|x) / length of y_w)   keeps the good replies likely, not only likelier than the bad

w is the chosen reply, l the rejected one, p_ref the model as it was at the start; log p(y|x) is summed over the reply's
tokens. Sources: DPO, arXiv 2305.18290; label smoothing, Mitchell's note "cDPO" (2023); IPO, arXiv 2310.12036; the
added likelihood term, arXiv 2404.19733 equation 2.

Departures from the public recipe: (1) the reference's log-probabilities are computed once, before the first step, and
the reference is let go; (2) only the reply that differs is scored; (3) both replies of a pair are packed, so that no
padding is computed.

CPU:  minimind dpo --preset primer --data_path 'dataset/*dpo*.jsonl'
GPU:  torchrun --nproc_per_node 8 trainer/train_dpo.py --data_path dataset/dpo.jsonl --batch_size 4
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from minimind.config import flag, to_dict
from minimind.data.material import DataGroup, data_group, open_pairs
from minimind.data.pack import Batch
from minimind.infer.score import reply_logprobs
from minimind.infer.text import show_replies
from minimind.lineage import begin, fingerprint, publisher
from minimind.model.count import flops_per_token
from minimind.model.settings import ModelGroup, model_group
from minimind.train.run import start
from minimind.train.settings import OptimGroup, RunGroup, make_optimizer, optim_group, run_group


@dataclass
class Config:
    """Defaults are those of the spec's train_dpo.py; beta is its last generation's."""

    beta: float = flag(0.15, "how strongly a change against the reference counts", minimum=0)
    loss_type: str = flag("sigmoid", "sigmoid (DPO) or ipo", choices=("sigmoid", "ipo"))
    label_smoothing: float = flag(
        0.0, "share of pairs taken to be labelled the wrong way round", minimum=0, maximum=0.5
    )
    sft_weight: float = flag(0.0, "weight of the chosen replies' own mean log-loss", minimum=0)
    questions: list[str] = flag(["你是谁？", "What is the capital of France?"], "questions answered as samples")
    model: ModelGroup = model_group(from_weight="full_sft")
    data: DataGroup = data_group(data_path="dataset/dpo.jsonl", max_seq_len=1024)
    optim: OptimGroup = optim_group(learning_rate=4e-8)
    run: RunGroup = run_group(epochs=1, batch_size=4)


def objective(
    chosen: torch.Tensor,
    rejected: torch.Tensor,
    reference_chosen: torch.Tensor,
    reference_rejected: torch.Tensor,
    *,
    beta: float,
    loss_type: str = "sigmoid",
    label_smoothing: float = 0.0,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Log-probabilities [P] of the replies (summed; averaged for ipo) -> (sum of the P losses, statistics as sums)."""
    gain_chosen, gain_rejected = chosen - reference_chosen, rejected - reference_rejected
    margin = gain_chosen - gain_rejected
    if loss_type == "ipo":
        losses = (margin - 1 / (2 * beta)) ** 2
    else:
        losses = -(1 - label_smoothing) * F.logsigmoid(beta * margin) - label_smoothing * F.logsigmoid(-beta * margin)
    # half a point for a tie, so that an untrained model, whose margins are all 0, scores one half and not nothing
    right = (margin > 0).float() + 0.5 * (margin == 0).float()
    statistics = {
        "accuracy": right.sum(),
        "reward_chosen": beta * gain_chosen.detach().sum(),
        "reward_rejected": beta * gain_rejected.detach().sum(),
    }
    return losses.sum(), statistics


def pair_losses(model: torch.nn.Module, batch: Batch, reference: torch.Tensor, config: Config):
    """(sum of the losses of the batch's pairs, statistics as sums). reference [P, 2]: chosen and rejected, summed."""
    sums, lengths = reply_logprobs(model, batch)
    policy, lengths = sums.view(-1, 2), lengths.view(-1, 2).clamp(min=1)
    mean_chosen = policy[:, 0] / lengths[:, 0]
    if config.loss_type == "ipo":
        policy, reference = policy / lengths, reference / lengths
    loss, statistics = objective(
        *policy.unbind(1),
        *reference.unbind(1),
        beta=config.beta,
        loss_type=config.loss_type,
        label_smoothing=config.label_smoothing,
    )
    return loss - config.sft_weight * mean_chosen.sum(), statistics | {"logprob_chosen": mean_chosen.detach().sum()}


@torch.no_grad()
def reference_logprobs(run, model: torch.nn.Module, data, store) -> torch.Tensor:
    """[pairs of the store, 2]: chosen and rejected under the model as it is now; every rank computes its share."""
    table = torch.zeros(len(store) // 2, 2, device=run.device)
    model.eval()
    for batch in data.once(store, run.ranks):
        with run.autocast():
            sums, _ = reply_logprobs(model, batch.to(run.device))
        table[batch.index] = sums.view(-1, 2).float()
    model.train()
    return run.ranks.sum(table)


def train(config: Config) -> None:
    """Reads pairs from `data_path`, trains, and writes `{save_dir}/dpo_{hidden_size}.pth` with its card."""
    origin = begin("dpo", config.model, config.run)
    data = open_pairs(config.data, config.run, origin.tokenizer)
    run = start(
        config.run, config.optim, name=origin.name, snapshot=to_dict(config), identity=origin.identity | data.identity
    )
    model = run.ready(origin.model(), "trained")
    run.identity["starting_weights"] = fingerprint(model)  # a resumed run must measure against the same model
    # before a resume puts trained weights into the model
    reference = reference_logprobs(run, model, data, data.training)
    reference_held_out = reference_logprobs(run, model, data, data.held_out)
    optimizer = make_optimizer(model, config.optim)
    stream = data.stream(run.ranks)
    run.keep(model=model, optimizer=optimizer, data=stream)
    run.publish = publisher(origin, model, data.card | {"config": to_dict(config)})
    run.flops_per_token = 3 * flops_per_token(origin.config, config.data.max_seq_len)

    def accuracy(model, batch):
        _, statistics = pair_losses(model, batch, reference_held_out[batch.index], config)
        return statistics["accuracy"], len(batch.index)

    for step in run.steps(data.steps(run.ranks)):
        step.total(config.run.batch_size * config.run.accumulation_steps)
        for _ in range(config.run.accumulation_steps):
            batch = stream.next(config.run.batch_size).to(run.device)
            with run.autocast():
                loss_sum, statistics = pair_losses(model, batch, reference[batch.index], config)
            step.backward(loss_sum)
            step.saw(batch.tokens)
            step.note(**{name: (value, len(batch.index)) for name, value in statistics.items()})
        step.apply(optimizer)
        if run.every(config.run.eval_interval):
            step.note(val_accuracy=run.validate(model, accuracy, data.once(data.held_out, run.ranks)))
        if run.every(config.run.sample_interval):
            show_replies(run, model, origin.tokenizer, config.questions)
