"""Small models and batches, and the plain way to score tokens: one sequence at a time, all logits, nothing packed."""

from contextlib import nullcontext
from types import SimpleNamespace

import torch

from minimind.data.pack import Document
from minimind.model.config import ModelConfig
from minimind.model.language_model import LanguageModel
from minimind.rollout.collect import Rollout

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
}


def tiny_model(vocab_size: int = 64, seed: int = 0, spread: float = 0.15, **changes) -> LanguageModel:
    """A model whose weights are wide enough that its predictions differ clearly from token to token."""
    torch.manual_seed(seed)
    return LanguageModel(ModelConfig(vocab_size=vocab_size, initializer_range=spread, **{**TINY, **changes}))


def plain_logprobs(model: torch.nn.Module, ids, temperature: float = 1.0) -> torch.Tensor:
    """[n - 1]: the log-probability of each token of `ids` [n] after the first."""
    ids = torch.as_tensor(ids)
    logits = model(ids[None]).logits[0, :-1].float() / temperature
    return logits.log_softmax(-1).gather(1, ids[1:, None]).squeeze(1)


def gradients(model: torch.nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """The gradient of `loss` for each parameter; the model's own are left empty."""
    model.zero_grad(set_to_none=True)
    loss.backward()
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    return found


def assert_same_gradients(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], rtol: float = 1e-5) -> None:
    """Each parameter's gradients differ by at most `rtol` of their largest entry."""
    assert first.keys() == second.keys()
    for name, one in first.items():
        scale = max(float(one.abs().max()), 1e-8)
        assert float((one - second[name]).abs().max()) <= rtol * scale, name


def pairs(vocab_size=64, count=5, seed=3):
    """Documents chosen 0, rejected 0, chosen 1, ...: a shared prompt of 3 to 6 tokens, replies of 2 to 9 tokens."""
    generator = torch.Generator().manual_seed(seed)
    documents = []
    for _ in range(count):
        prompt = torch.randint(3, vocab_size, (int(torch.randint(3, 7, (), generator=generator)),), generator=generator)
        for _ in range(2):
            length = int(torch.randint(2, 10, (), generator=generator))
            reply = torch.randint(3, vocab_size, (length,), generator=generator)
            ids = torch.cat([prompt, reply]).numpy()
            documents.append(Document(ids, torch.arange(len(ids)).ge(len(prompt)).numpy()))
    return documents


RUN = SimpleNamespace(autocast=nullcontext)  # all that `loss_of_part` asks of a run


def rollout_of(model, groups=2, size=3, vocab_size=64, width=32, seed=5, noise=0.3) -> Rollout:
    """Random replies whose behaviour is the model's own plus noise."""
    generator = torch.Generator().manual_seed(seed)
    documents, behaviour, prompts = [], [], []
    for _ in range(groups):
        prompt = torch.randint(3, vocab_size, (int(torch.randint(2, 6, (), generator=generator)),), generator=generator)
        for _ in range(size):
            reply = torch.randint(
                3, vocab_size, (int(torch.randint(1, 9, (), generator=generator)),), generator=generator
            )
            ids = torch.cat([prompt, reply])
            documents.append(Document(ids.numpy(), torch.arange(len(ids)).ge(len(prompt)).numpy()))
            own = plain_logprobs(model, ids).detach()[len(prompt) - 1 :]
            behaviour.append(own + noise * torch.randn(own.shape, generator=generator))
            prompts.append(len(prompt))
    return Rollout(
        documents=documents,
        width=width,
        rewards=torch.randn(groups, size, generator=generator),
        parts={},
        behaviour=torch.nn.utils.rnn.pad_sequence(behaviour, batch_first=True),
        prompt_lengths=torch.tensor(prompts),
        lengths=torch.tensor([len(values) for values in behaviour]),
        finished=torch.ones(len(documents), dtype=torch.bool),
        replies=[""] * len(documents),
    )
