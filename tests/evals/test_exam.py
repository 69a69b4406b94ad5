"""The exam judged on scripted pupils and on figures worked out by hand."""

import json
from types import SimpleNamespace

import pytest
import torch

from minimind.data.primer.subject import Example
from minimind.evals import exam
from minimind.model.config import ModelConfig
from minimind.model.language_model import LanguageModel
from minimind.tokenizer import Tokenizer


def item(subject, language, answer, split="numbers", question="Say the number"):
    messages = ({"role": "user", "content": f"{question} {answer}"},)
    return Example(subject, language, messages, f"<think>\n{answer}\n</think>\n\n{answer}", answer, split=split)


ITEMS = [
    *(item("sums", "zh", str(number)) for number in range(4)),
    *(item("sums", "en", str(number)) for number in range(4, 6)),
    *(item("words", "en", word, "strings") for word in ("cat", "dog", "cow", "hen")),
]


class Pupil(torch.nn.Module):
    """Says what it has been told for each question: a model in all that `generate` asks of one."""

    def __init__(self, tokenizer, replies):
        super().__init__()
        self.config = ModelConfig(
            vocab_size=tokenizer.vocab_size,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            num_key_value_heads=1,
            max_position_embeddings=512,
        )
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.script = {}
        for asked, reply in zip(ITEMS, replies, strict=True):
            prompt = tokenizer.render(asked.messages, add_generation_prompt=True).ids
            said = tokenizer.render([*asked.messages, {"role": "assistant", "content": reply}]).ids[len(prompt) :]
            self.script[tuple(prompt)] = said
        self.longest_script = max(map(len, self.script.values()))

    def forward(self, ids, cache, logits):
        """The 'hidden state' is what the row has read so far, which is kept in the cache."""
        positions = cache.reserve(ids.shape[1])
        kept = ids[:, None, :, None].expand(-1, 1, -1, 8).float()
        keys, _ = cache.append(0, kept, kept)
        cache.advance(ids.shape[1])
        read = keys[:, 0, :, 0].long()[:, None].expand(-1, ids.shape[1], -1)  # B T S
        seen = torch.arange(read.shape[2]) <= positions[:, :, None]
        return SimpleNamespace(hidden=torch.where(seen, read, -1))

    def lm_head(self, hidden):
        logits = torch.zeros(len(hidden), self.config.vocab_size)
        for row, read in enumerate(hidden.tolist()):
            ids = [token for token in read if token >= 0]
            for prompt, said in self.script.items():
                if tuple(ids[: len(prompt)]) == prompt:
                    told = len(ids) - len(prompt)
                    assert told < len(said), "asked for more after the end"
                    logits[row, said[told]] = 9
        return logits


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.load()


REPLIES = [
    "<think>\n0\n</think>\n\n0",  # the whole reply
    " 1。",  # only the answer, with closing mark
    "<answer>\n2\n</answer>",
    "33",  # wrong
    "4",
    "five",  # wrong
    "CAT",
    "I think dog",  # wrong: exact judgement
    "cow",
    "hen",
]


def test_scores_by_hand(tokenizer, tmp_path):
    """Sums: zh 3 of 4, en 1 of 2, so 4 of 6, error sqrt(2/3 * 1/3 / 6); words 3 of 4; the mean is that of subjects."""
    bundle = SimpleNamespace(model=Pupil(tokenizer, REPLIES), tokenizer=tokenizer)
    counted = []
    out = tmp_path / "deep" / "replies.jsonl"
    report = exam.run(bundle, ITEMS, batch_size=3, progress=lambda *done: counted.append(done), transcript=out)
    sums, words = report["subjects"]["sums"], report["subjects"]["words"]
    assert sums["zh"] == 0.75 and sums["zh_stderr"] == pytest.approx((0.75 * 0.25 / 4) ** 0.5)
    assert sums["en"] == 0.5 and sums["items"] == 6
    assert sums["score"] == pytest.approx(2 / 3) and sums["stderr"] == pytest.approx((2 / 9 / 6) ** 0.5)
    assert words["zh"] == words["zh_stderr"] == 0.0 and words["score"] == 0.75
    assert report["mean"] == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert report["stderr"] == pytest.approx((2 / 9 / 6 + 0.75 * 0.25 / 4) ** 0.5 / 2)
    assert report["splits"]["strings"]["items"] == 4 and report["splits"]["numbers"]["score"] == pytest.approx(2 / 3)
    assert counted[-1] == (10, 10) and counted == sorted(counted)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["reply"] for line in lines] == REPLIES
    assert [line["correct"] for line in lines] == [True, True, True, False, True, False, True, False, True, True]


def test_replies_are_cut_where_only_wrong_ones_can_be(tokenizer):
    """Allowed are twice the reference and 16: a rambling reply ends there, and is wrong."""
    rambling = ["1 " * 200] * len(ITEMS)
    bundle = SimpleNamespace(model=Pupil(tokenizer, rambling), tokenizer=tokenizer)
    replies = exam.answer(bundle, ITEMS[:1])
    assert len(tokenizer.encode(replies[0])) == 2 * len(tokenizer.encode(ITEMS[0].response)) + 16
    assert len(tokenizer.encode(exam.answer(bundle, ITEMS[:1], max_new_tokens=5)[0])) == 5


def test_any_model_can_sit_the_exam(tokenizer):
    torch.manual_seed(0)
    config = ModelConfig(vocab_size=tokenizer.vocab_size, hidden_size=32, num_hidden_layers=1, num_attention_heads=4)
    report = exam.run(SimpleNamespace(model=LanguageModel(config), tokenizer=tokenizer), ITEMS)
    assert report["mean"] == 0
