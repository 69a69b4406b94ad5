"""Streams of text on a random tiny model with the package's own tokenizer."""

from types import SimpleNamespace

import pytest
import torch

from minimind.config import UserError
from minimind.infer.decode import generate
from minimind.infer.text import fit, show_replies, show_samples, stream_chat, stream_text
from minimind.model.config import ModelConfig
from minimind.model.language_model import LanguageModel
from minimind.ops.sampling import Sampling
from minimind.tokenizer import Tokenizer

TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "Paris."},
    {"role": "user", "content": "法国有多少人口？"},
    {"role": "assistant", "content": "约六千八百万。"},
    {"role": "user", "content": "And of Spain?"},
]


@pytest.fixture(scope="module")
def bundle():
    torch.manual_seed(1)
    tokenizer = Tokenizer.load()
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
    )
    return SimpleNamespace(model=LanguageModel(config).eval(), tokenizer=tokenizer)


def test_stream_equals_generate(bundle):
    """Random weights make much invalid UTF-8; the joined pieces are the decoded ids all the same."""
    sampling = Sampling(max_new_tokens=60, seed=4)
    stream = stream_chat(bundle, TURNS, sampling)
    pieces = list(stream)
    prompt = bundle.tokenizer.render(TURNS, add_generation_prompt=True).ids
    completion = generate(bundle.model, [prompt], sampling, bundle.tokenizer.eos_id)[0]
    assert stream.ids == completion.ids[: len(stream.ids)] and len(stream.ids) > 20
    assert "".join(pieces) == stream.text == bundle.tokenizer.decode(stream.ids)
    assert stream.finish_reason in ("stop", "length") and stream.dropped == 0
    assert stream.tokens_per_second > 0


def test_stops_at_the_end_of_the_message(bundle):
    tokenizer = bundle.tokenizer

    class Scripted(torch.nn.Module):
        """Answers a script, whatever it is asked; then the end of message, then more that nobody may see."""

        def __init__(self, text):
            super().__init__()
            self.script = [*tokenizer.encode(text), tokenizer.eos_id, *tokenizer.encode("unseen")]
            self.config, self.inner, self.told = bundle.model.config, bundle.model, 0

        def forward(self, ids, cache, logits):
            return self.inner(ids, cache=cache, logits=False)

        def lm_head(self, hidden):
            logits = torch.zeros(1, self.config.vocab_size)
            logits[0, self.script[self.told]] = 50
            self.told += 1
            return logits

    text = "<think>\n想一想\n</think>\n\n四 🐼"
    spoken = SimpleNamespace(model=Scripted(text), tokenizer=tokenizer)
    stream = stream_chat(spoken, TURNS, Sampling(temperature=0, max_new_tokens=100))
    pieces = list(stream)
    assert "".join(pieces) == text and stream.finish_reason == "stop"
    assert "\ufffd" not in text and all("\ufffd" not in piece for piece in pieces)
    spoken.model.told = 0
    assert list(stream_chat(spoken, TURNS, Sampling(temperature=0, max_new_tokens=3)))
    left = stream_chat(spoken, TURNS, Sampling(temperature=0, max_new_tokens=3))
    spoken.model.told = 0
    for _ in left:
        break
    assert left.finish_reason == "cancelled" and len(left.ids) == 1


def test_history_is_cut_at_turns_and_counted(bundle):
    def size(messages):
        return len(bundle.tokenizer.render(messages, add_generation_prompt=True).ids)

    for kept, dropped in ((TURNS, 0), (TURNS[:1] + TURNS[3:], 2), (TURNS[:1] + TURNS[5:], 4)):
        ids, left_out = fit(bundle.tokenizer, TURNS, room=size(kept))
        assert ids == bundle.tokenizer.render(kept, add_generation_prompt=True).ids and left_out == dropped
    with pytest.raises(UserError, match=rf"{size(TURNS[:1] + TURNS[5:])} tokens .* only 5 fit"):
        fit(bundle.tokenizer, TURNS, room=5)


def test_long_conversations_leave_room_for_an_answer(bundle):
    """Window 256: at least a quarter is left for the answer, and the whole never exceeds the window."""
    turns = [message for _ in range(40) for message in TURNS[1:3]] + TURNS[-1:]
    stream = stream_chat(bundle, turns, Sampling(max_new_tokens=10_000))
    assert stream.dropped > 0 and len(stream.prompt) <= 192
    assert len(stream.prompt) + stream.sampling.max_new_tokens == 256


def test_conversations_must_ask_something(bundle):
    for messages in ([], TURNS[:1], TURNS[:3]):
        with pytest.raises(UserError, match="end with a message of the user"):
            stream_chat(bundle, messages, Sampling())


def test_pretrained_models_continue_the_text(bundle):
    stream = stream_text(bundle, "Once upon", Sampling(max_new_tokens=3))
    assert stream.prompt == [bundle.tokenizer.bos_id, *bundle.tokenizer.encode("Once upon")]
    with pytest.raises(UserError, match="256"):
        stream_text(bundle, "word " * 400, Sampling())


def test_samples_during_training(bundle):
    said = []
    run = SimpleNamespace(say=said.append, ranks=SimpleNamespace(first=True), autocast=lambda: torch.no_grad())
    bundle.model.train()
    show_samples(run, bundle.model, bundle.tokenizer, ["Once", "从前"])
    show_replies(run, bundle.model, bundle.tokenizer, ["Who?"])
    assert bundle.model.training
    bundle.model.eval()
    assert [line.split(" -> ")[0] for line in said] == ["Once", "从前", "Who?"]
    run.ranks.first = False
    show_samples(run, bundle.model, bundle.tokenizer, ["Once"])
    assert len(said) == 3
