"""Preferences of a model: margins worked out by hand, and the same from replies that stand alone."""

import math
from types import SimpleNamespace

import pytest
import torch
from plain import plain_logprobs, tiny_model

from minimind.evals import preference
from minimind.evals.preference import accuracy, last_reply, margins
from minimind.tokenizer import Tokenizer


def pair(question, chosen, rejected, before=()):
    head = [*before, {"role": "user", "content": question}]
    return {
        "chosen": [*head, {"role": "assistant", "content": chosen}],
        "rejected": [*head, {"role": "assistant", "content": rejected}],
    }


TURN = [{"role": "user", "content": "早上好"}, {"role": "assistant", "content": "Good morning"}]
PAIRS = [pair("1+1=?", "2", "2 2 2 2 2"), pair("你是谁？", "我是 MiniMind，一个小模型。", "是。", TURN)]


@pytest.fixture(scope="module")
def bundle():
    tokenizer = Tokenizer.load()
    return SimpleNamespace(model=tiny_model(tokenizer.vocab_size).eval(), tokenizer=tokenizer)


def test_only_the_last_reply_counts(bundle):
    for side in ("chosen", "rejected"):
        for example in PAIRS:
            document = last_reply(bundle.tokenizer, example[side])
            words = bundle.tokenizer.decode(document.ids[document.mask].tolist())
            assert words == example[side][-1]["content"] + "<|im_end|>"


def test_margins_of_a_model_that_knows_nothing_by_hand(bundle):
    """All weights 0: every token has probability 1/V, so the margin is (tokens of rejected - of chosen) log V."""
    model = tiny_model(bundle.tokenizer.vocab_size, spread=0.0)
    found = margins(SimpleNamespace(model=model, tokenizer=bundle.tokenizer), PAIRS)
    lengths = [
        [len(bundle.tokenizer.encode(example[side][-1]["content"])) for side in ("chosen", "rejected")]
        for example in PAIRS
    ]
    expected = [(rejected - chosen) * math.log(bundle.tokenizer.vocab_size) for chosen, rejected in lengths]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("at_once", [1, 64])
def test_margins_are_those_of_replies_that_stand_alone(bundle, monkeypatch, at_once):
    monkeypatch.setattr(preference, "PAIRS_AT_ONCE", at_once)
    expected = []
    for example in PAIRS:
        sums = []
        for side in ("chosen", "rejected"):
            document = last_reply(bundle.tokenizer, example[side])
            sums.append(plain_logprobs(bundle.model, document.ids)[document.mask[1:]].sum().item())
        expected.append(sums[0] - sums[1])
    assert margins(bundle, PAIRS).tolist() == pytest.approx(expected, rel=1e-5)


def test_accuracy_by_hand():
    """Margins 2, -1, 0: right, wrong, half. Against margins 3, -2, 0 before: fell, grew, stayed."""
    own = torch.tensor([2.0, -1.0, 0.0])
    assert accuracy(own) == 0.5
    assert accuracy(own, torch.tensor([3.0, -2.0, 0.0])) == 0.5
    assert accuracy(torch.tensor([1.0, 2.0, 0.0, 0.0])) == 0.75
