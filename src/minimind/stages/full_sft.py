"""Supervised fine-tuning: a model that continues text learns to answer, by imitating an assistant's words.

    loss = - 1/N  sum over the assistant's tokens t of  log p(x_t | everything before it in the dialogue)

The assistant's words and the token that ends its turn are learned, nothing else: not the system's text, not the user's,
not a tool's. N is their number in the whole step. Source: Ouyang et al., "Training language models to follow
instructions with human feedback", arXiv 2203.02155, section 3.5.

Departures from the public recipe: (1) dialogues are packed and do not see each other; (2) roles come from the records
and never from the turn's number; (3) what a user types can never become a control token; (4) no system prompt is
invented; (5) the mean is over the assistant's tokens of the whole step.

CPU:  minimind full_sft --preset primer --data_path 'dataset/*sft*.jsonl'
GPU:  torchrun --nproc_per_node 8 trainer/train_full_sft.py --data_path dataset/sft_t2t_mini.jsonl --epochs 2
"""

from dataclasses import dataclass

import torch

from minimind.config import flag, to_dict
from minimind.data.material import DataGroup, data_group, open_packed
from minimind.data.pack import Batch
from minimind.infer.text import show_replies
from minimind.lineage import begin, publisher
from minimind.model.count import flops_per_token
from minimind.model.settings import ModelGroup, model_group
from minimind.ops.loss import linear_cross_entropy
from minimind.train.run import start
from minimind.train.settings import OptimGroup, RunGroup, make_optimizer, optim_group, run_group


@dataclass
class Config:
    """Defaults are those of the spec's train_full_sft.py (its last generation, on a 512-wide model)."""

    questions: list[str] = flag(["你是谁？", "What is the capital of France?"], "questions answered as samples")
    model: ModelGroup = model_group(from_weight="pretrain")
    data: DataGroup = data_group(data_path="dataset/sft_mini_512.jsonl", max_seq_len=768)
    optim: OptimGroup = optim_group(learning_rate=1e-5)
    run: RunGroup = run_group(epochs=2, batch_size=16)


def objective(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """(sum of the losses of the batch's assistant tokens, how many they are); balance loss is one a token."""
    output = model(batch.ids, positions=batch.positions, documents=batch.documents, logits=False)
    loss_sum, count = linear_cross_entropy(output.hidden, model.lm_head.weight, batch.targets)
    return loss_sum + output.aux_loss * count, count


def train(config: Config) -> None:
    """Reads `data_path`, trains, and writes `{save_dir}/full_sft_{hidden_size}.pth` with its card."""
    origin = begin("full_sft", config.model, config.run)
    data = open_packed("chat", config.data, config.run, origin.tokenizer)
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
            show_replies(run, model, origin.tokenizer, config.questions)
