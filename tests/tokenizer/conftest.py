"""Tokenizers that the tests share: the default one, and small ones laid out as the public generations are."""

import json

import pytest
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Engine

from minimind.tokenizer import Tokenizer

CORPUS = ["<think>The answer is</think>", "你好，世界。", "assistant user system", "hello world\n\nhello"] * 3


@pytest.fixture(scope="session")
def default() -> Tokenizer:
    return Tokenizer.load()


@pytest.fixture(scope="session")
def public_style(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """The layout of minimind2: three control tokens, byte entries from id 3, every tag ordinary text."""
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    engine = Engine(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=names, initial_alphabet=alphabet, show_progress=False)
    engine.train_from_iterator(CORPUS, trainer)
    engine.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in names])
    folder = tmp_path_factory.mktemp("public")
    definition = json.loads(engine.to_str())
    definition["model"]["merges"] = [" ".join(merge) for merge in definition["model"]["merges"]]  # the older spelling
    (folder / "tokenizer.json").write_text(json.dumps(definition), encoding="utf-8")
    return Tokenizer.load(folder)
