"""Pretraining: the model learns what text looks like, and what the text says, by guessing the next token.

    loss = - 1/N  sum over tokens t of  log p(x_t | x_<t, same document)  (+ the experts' load balance)

N is the number of predicted tokens of the whole step. Source of the objective: Radford et al., "Improving Language
Understanding by Generative Pre-Training" (2018).

Departures from the public recipe: (1) documents are packed end to end instead of padded, and do not see each other;
(2) a document longer than a row is cut into several pieces instead of losing its tail; (3) the mean is taken over the
tokens of the whole step, not of each micro-batch; (4) a held-out part of the records measures a validation loss.

CPU:  minimind pretrain --preset primer --data_path 'dataset/*pretrain*.jsonl'
GPU:  torchrun --nproc_per_node 8 trainer/train_pretrain.py --data_path dataset/pretrain_t2t_mini.jsonl --epochs 2
"""

from dataclasses import dataclass

import torch

from minimind.config import flag, to_dict
from minimind.data.material import DataGroup, data_group, open_packed
from minimind.data.pack import Batch
from minimind.infer.text import show_samples
from minimind.lineage import begin, publisher
from minimind.model.count import flops_per_token
from minimind.model.settings import ModelGroup, model_group
from minimind.ops.loss import linear_cross_entropy
from minimind.train.run import start
from minimind.train.settings import OptimGroup, RunGroup, make_optimizer, optim_group, run_group


@dataclass
class Config:
    """Defaults are those of the spec's train_pretrain.py."""

    prompts: list[str] = flag(["万有引力", "The capital of France is"], "texts continued as samples")
    model: ModelGroup = model_group()
    data: DataGroup = data_group(data_path="dataset/pretrain_hq.jsonl", max_seq_len=340)
    optim: OptimGroup = optim_group(learning_rate=5e-4)
    run: RunGroup = run_group(epochs=1, batch_size=32, accumulation_steps=8)


def objective(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """(sum of the losses of the batch's predicted tokens, how many they are); balance loss is one a token."""
    output = model(batch.ids, positions=batch.positions, documents=batch.documents, logits=False)
    loss_sum, count = linear_cross_entropy(output.hidden, model.lm_head.weight, batch.targets)
    return loss_sum + output.aux_loss * count, count


def train(config: Config) -> None:
    """Reads `data_path`, trains, and writes `{save_dir}/pretrain_{hidden_size}.pth` with its card."""
    origin = begin("pretrain", config.model, config.run)
    data = open_packed("text", config.data, config.run, origin.tokenizer)
    run = start(
        config.run, config.optim, name=origin.name, snapshot=to_dict(config), identity=origin.identity | data.identity
    )
    model = run.ready(origin.model(), "trained")
    optimizer = make_optimizer(model, config.optim)
    stream = data.stream(run.ranks)
    run.keep(model=model, optimizer=optimizer, data=stream)
    run.publish = publisher(origin, model, data.card | {"config": to_dict(config)})
    run.flops_per_token = 3 * flops_per_token(origin.config, config.data.max_seq_len)

    for step in run.steps(data.steps(run.ranks)):
        for part in step.split(stream.next()):
            with run.autocast():
                loss_sum, _ = objective(model, part)
            step.backward(loss_sum)
        step.apply(optimizer)
        if run.every(config.run.eval_interval):
            step.note(val_loss=run.validate(model, objective, data.validation(run.ranks)))
        if run.every(config.run.sample_interval):
            show_samples(run, model, origin.tokenizer, config.prompts)
