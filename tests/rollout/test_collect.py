"""Rollouts of a real model: each reply with its own prompt, reward and log-probabilities, whoever shares its batch."""

from types import SimpleNamespace

import pytest
import torch
from plain import plain_logprobs, tiny_model

from minimind.infer.score import target_logprobs
from minimind.ops.sampling import Sampling
from minimind.rollout.collect import collect
from minimind.tokenizer import Tokenizer

WIDTH = 40
GROUP = 3
QUESTIONS = ["1+1=?", "你好", "Sort 3, 1, 2.", "苹果是水果吗？"]


class Judge:
    """A reward that remembers what it was shown."""

    def __init__(self):
        self.seen = []

    def score(self, prompt, reply, answer):
        self.seen.append((prompt, reply, answer))
        return {"length": float(len(reply)), "ones": 1.0, "total": float(len(self.seen))}


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.load()


@pytest.fixture(scope="module")
def model(tokenizer):
    """Wide enough weights that the end of the reply is sometimes drawn."""
    return tiny_model(tokenizer.vocab_size, spread=0.4)


@pytest.fixture(scope="module")
def prompts(tokenizer):
    found = []
    for index, question in enumerate(QUESTIONS):
        messages = [{"role": "user", "content": question}]
        ids = tokenizer.render(messages, add_generation_prompt=True).ids
        found.append(SimpleNamespace(messages=messages, answer=str(index), ids=ids))
    return found


def roll(model, tokenizer, prompts, temperature=1.0, seeds=(11, 12, 13, 14), judge=None, **settings):
    sampling = Sampling(temperature=temperature, max_new_tokens=12)
    judge = judge or Judge()
    return collect(model, tokenizer, prompts, GROUP, sampling, seeds[: len(prompts)], judge, WIDTH, **settings)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_replies_are_scored_under_the_distribution_they_were_sampled_from(model, tokenizer, prompts, temperature):
    """Before an update every ratio of the scoring forward to the sampling is 1."""
    rollout = roll(model, tokenizer, prompts, temperature)
    batch = rollout.packed()
    for row in range(len(batch.ids)):
        part = batch.rows(row, row + 1)
        own, owners = target_logprobs(model, part, temperature)
        behaviour = rollout.of_targets(part, rollout.behaviour)
        torch.testing.assert_close(own, behaviour, rtol=0, atol=1e-4)
        assert torch.equal(rollout.of_targets(part, torch.arange(len(rollout.lengths))), owners)
    plain = [
        plain_logprobs(model, document.ids, temperature)[document.mask[1:]].detach() for document in rollout.documents
    ]
    for index, values in enumerate(plain):
        torch.testing.assert_close(rollout.behaviour[index, : len(values)], values, rtol=0, atol=1e-4)
        assert rollout.behaviour[index, len(values) :].eq(0).all()


def test_each_reply_stands_with_its_prompt_its_text_and_its_reward(model, tokenizer, prompts):
    judge = Judge()
    rollout = roll(model, tokenizer, prompts, judge=judge)
    assert rollout.rewards.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]]
    assert rollout.parts["ones"].eq(1).all() and set(rollout.parts) == {"length", "ones"}
    for index, (document, reply) in enumerate(zip(rollout.documents, rollout.replies, strict=True)):
        prompt = prompts[index // GROUP]
        ids = document.ids.tolist()
        assert ids[: len(prompt.ids)] == prompt.ids and document.mask.sum() == rollout.lengths[index]
        assert rollout.prompt_lengths[index] == len(prompt.ids)
        assert rollout.finished[index] == (ids[-1] == tokenizer.eos_id)
        words = ids[len(prompt.ids) :]
        assert reply == tokenizer.decode(words[:-1] if rollout.finished[index] else words)
        assert judge.seen[index] == (prompt.messages[-1]["content"], reply, prompt.answer)
        assert rollout.parts["length"].flatten()[index] == len(reply)
    assert len(set(rollout.replies)) > GROUP  # the replies of a group are drawn independently


def test_a_prompts_replies_do_not_depend_on_the_others(model, tokenizer, prompts):
    """As on another rank, or in another batch."""
    whole = roll(model, tokenizer, prompts)
    for index, prompt in enumerate(prompts):
        alone = roll(model, tokenizer, [prompt], seeds=(11 + index,))
        assert alone.replies == whole.replies[GROUP * index : GROUP * (index + 1)]
    assert roll(model, tokenizer, prompts, batch_size=2).replies == whole.replies


def test_a_reply_ends_where_the_row_is_full(model, tokenizer, prompts):
    """The prompt is so long that 4 tokens are left of the 12 allowed."""
    messages = [{"role": "user", "content": "a b c d e f g h i j k l m n o p q r s t u v w x y z"}]
    ids = tokenizer.render(messages, add_generation_prompt=True).ids[-(WIDTH - 4) :]
    long = SimpleNamespace(messages=messages, answer="", ids=[*ids[:1]] * (WIDTH - 4 - len(ids)) + ids)
    rollout = roll(model, tokenizer, [long])
    assert rollout.lengths.max() == 4 and rollout.packed().ids.shape[1] == WIDTH


def test_the_model_learns_on_after_it(model, tokenizer, prompts):
    model.train()
    roll(model, tokenizer, prompts[:1])
    assert model.training
    model.eval()
