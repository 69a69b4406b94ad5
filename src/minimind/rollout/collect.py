"""A rollout: groups of sampled replies to prompts, their rewards, and the packed batch to learn from.

The replies are sampled from the model's full distribution at the given temperature, nothing cut off, and the training
forward scores them under that same distribution: what is learned from is what was done.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from minimind.data.pack import IGNORED, Batch, Document, fill_rows, plan_rows
from minimind.infer.decode import generate
from minimind.ops.sampling import Sampling
from minimind.rewards import Reward
from minimind.tokenizer import Tokenizer


@dataclass(frozen=True)
class Rollout:
    """P prompts with G replies each; document i is prompt i // G with its reply i % G.

    rewards [P, G]; parts: each part of the reward, [P, G]; behaviour [P*G, K]: log-probabilities as sampled, padded
    with 0; lengths [P*G] in tokens; finished [P*G]: the reply ended by itself; replies: their texts.
    """

    documents: list[Document]
    width: int
    rewards: torch.Tensor
    parts: dict[str, torch.Tensor]
    behaviour: torch.Tensor
    prompt_lengths: torch.Tensor
    lengths: torch.Tensor
    finished: torch.Tensor
    replies: list[str]

    def packed(self, chosen: torch.Tensor | None = None) -> Batch:
        """The documents, or those chosen [P*G] (all where none is), in packed rows; they keep their numbers."""
        lengths = np.array([len(document.ids) for document in self.documents])
        numbers = np.arange(len(lengths))
        if chosen is not None and chosen.any():
            numbers = numbers[chosen.cpu().numpy()]
        rows = [numbers[row] for row in plan_rows(lengths[numbers], self.width)]
        return fill_rows(self.documents, rows, self.width)

    def of_targets(self, batch: Batch, table: torch.Tensor) -> torch.Tensor:
        """The entries of table [P*G] or [P*G, K] that belong to the supervised tokens of (a part of) the batch, [N]."""
        supervised = batch.targets != IGNORED
        owners = batch.documents[supervised]
        if table.ndim == 1:
            return table[owners]
        return table[owners, batch.positions[supervised] + 1 - self.prompt_lengths[owners]]

    def to(self, device: torch.device) -> "Rollout":
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, torch.Tensor)}
        return replace(self, **moved)


def collect(
    model: torch.nn.Module,
    tokenizer: Tokenizer,
    prompts: Sequence,
    group_size: int,
    sampling: Sampling,
    seeds: Sequence[int],
    reward: Reward,
    width: int,
    batch_size: int = 256,
) -> Rollout:
    """Samples `group_size` replies to each prompt (with .ids and .value) and judges them.

    seeds: one for each prompt, so that a prompt's replies do not depend on the other prompts or on the rank.
    width: of the packed rows; a reply is cut where prompt and reply would be longer than that.
    """
    requests, samplings = [], []
    for prompt, seed in zip(prompts, seeds, strict=True):
        room = width - len(prompt.ids)
        for index in range(group_size):
            requests.append(list(prompt.ids))
            request = Sampling(
                temperature=sampling.temperature, max_new_tokens=min(sampling.max_new_tokens, room), seed=seed
            )
            samplings.append(request.fork(index))
    was_training = model.training
    model.eval()
    completions = generate(model, requests, samplings, tokenizer.eos_id, batch_size=batch_size)
    model.train(was_training)

    documents, replies, scores = [], [], []
    for index, (request, completion) in enumerate(zip(requests, completions, strict=True)):
        ids = np.array(request + completion.ids)
        documents.append(Document(ids, np.arange(len(ids)) >= len(request)))
        replies.append(tokenizer.decode([token for token in completion.ids if token != tokenizer.eos_id]))
        prompt = prompts[index // group_size]
        scores.append(reward.score(prompt.messages[-1]["content"], replies[-1], prompt.answer))
    behaviour = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(completion.logprobs) for completion in completions], batch_first=True
    )
    shape = (len(prompts), group_size)
    rewards = {name: torch.tensor([float(score[name]) for score in scores]).view(shape) for name in scores[0]}
    return Rollout(
        documents=documents,
        width=width,
        rewards=rewards.pop("total"),
        parts=rewards,
        behaviour=behaviour,
        prompt_lengths=torch.tensor([len(request) for request in requests]),
        lengths=torch.tensor([len(completion.ids) for completion in completions]),
        finished=torch.tensor([completion.finish_reason == "stop" for completion in completions]),
        replies=replies,
    )
