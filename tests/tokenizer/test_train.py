"""Training: whole characters, split digits, no shared line breaks, the same result twice; the report's arithmetic."""

import json
import subprocess
import sys

import pytest
from tokenizers import Tokenizer as Engine
from tokenizers import decoders, models, pre_tokenizers, trainers

from minimind.config import UserError
from minimind.tokenizer.report import Report, language_of, report
from minimind.tokenizer.special import RESERVED
from minimind.tokenizer.train import train

ZH = ["今天天气很好，我们去公园散步。", "万有引力是牛顿发现的，他是英国的科学家。", "三加五等于八。"]
EN = ["The capital of France is Paris.", "Three plus five is eight; 12 + 345 = 357.", "def f(x):\n    return x\n\n\n"]
CORPUS = [f"{line} {number}" for number in range(40) for line in ZH + EN]


def test_the_layout_of_a_trained_vocabulary():
    tokenizer = train(CORPUS, 470)
    assert tokenizer.vocab_size == 470
    assert [piece.decode() for piece in tokenizer.pieces[:36]] == list(RESERVED)
    assert sorted(tokenizer.pieces[36:292]) == [bytes([byte]) for byte in range(256)]
    assert len(set(tokenizer.pieces)) == 470
    text = "今天 Paris 12\n\n龘 <think>"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_every_character_of_a_curriculum_is_one_token_where_there_is_room():
    characters = sorted({character for line in ZH for character in line})
    tokenizer = train(CORPUS, 470)
    assert [len(tokenizer.encode(character)) for character in characters] == [1] * len(characters)


def test_frequent_characters_come_first_where_room_is_short_and_the_rest_stay_exact():
    """Room for 3 entries: 乙 (E4 B9 99) is seen most and takes two, its prefix and itself; no other fits."""
    texts = ["乙" * 50, "丙丁" * 20, "龘靐" * 5]
    tokenizer = train(texts, 292 + 3, character_share=1.0)
    assert [piece for piece in tokenizer.pieces[292:294]] == ["乙".encode()[:2], "乙".encode()]
    assert tokenizer.decode(tokenizer.encode("乙丙丁龘")) == "乙丙丁龘"


def test_without_characters_it_is_ordinary_byte_level_bpe():
    """The library's own training on the same text, its ids shifted by nothing: same entries in the same order."""
    corpus = [text for text in EN if "\n\n" not in text] * 10
    engine = Engine(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        special_tokens=list(RESERVED),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    engine.train_from_iterator(corpus, trainer)
    tokenizer = train(corpus, 340)
    ours = json.loads(json.dumps(tokenizer._definition["model"]))
    theirs = json.loads(engine.to_str())["model"]
    assert ours["vocab"] == theirs["vocab"] and ours["merges"] == theirs["merges"]


def test_split_digits_makes_every_digit_the_same_token_everywhere():
    tokenizer = train(CORPUS, 470, split_digits=True)
    digits = {digit: tokenizer.encode(digit) for digit in "0123456789"}
    assert all(len(ids) == 1 for ids in digits.values())
    for text in ("12 + 345 = 357", "x123", "第12天"):
        ids = tokenizer.encode(text)
        assert [token for token in ids if [token] in digits.values()] == [digits[c][0] for c in text if c.isdigit()]
        assert tokenizer.decode(ids) == text
    merged = train(CORPUS, 470)
    assert len(merged.encode(" 345")) < 3


def test_two_line_breaks_never_share_a_token():
    tokenizer = train(CORPUS, 470)
    assert all(piece.count(b"\n") < 2 for piece in tokenizer.pieces)


def test_training_twice_in_different_processes_gives_the_same_hash():
    code = f"from minimind.tokenizer.train import train\nprint(train({CORPUS!r}, 500).hash)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout == train(iter(CORPUS), 500).hash + "\n"


@pytest.mark.parametrize(
    "texts, size, complaint", [(["a"], 291, "too small"), ([], 400, "no text"), ([""], 400, "no text")]
)
def test_what_cannot_be_trained_is_refused(texts, size, complaint):
    with pytest.raises(UserError, match=complaint):
        train(texts, size)


def test_the_numbers_of_the_report():
    """292 entries and no merge: every byte a token. 你好 a: 8 bytes, 4 characters, 2 + 1 words, 6 torn pieces."""
    tokenizer = train(["x"], 292)
    found = report(tokenizer, ["你好 a", "it is", "f(x) = {y[0];}"])
    zh, en, code = (found.languages[name] for name in ("zh", "en", "code"))
    assert (zh.tokens, zh.characters, zh.bytes, zh.words, zh.unreadable_tokens) == (8, 4, 8, 3, 6)
    assert (zh.characters_per_token, zh.bytes_per_token, zh.tokens_per_word, zh.unreadable_share) == (
        0.5,
        1,
        8 / 3,
        0.75,
    )
    assert (en.characters_per_token, en.tokens_per_word, code.texts) == (1, 2.5, 1)
    assert found.unreadable_entries == 128
    assert found.round_trip_failures == 0
    assert found.to_dict()["languages"]["zh"]["characters_per_token"] == 0.5
    assert "| zh | 1 | 8 | 0.50 | 1.00 | 2.67 | 75.00% | exact |" in found.table()


def test_the_language_of_a_text():
    texts = [
        "我爱你",
        "I love you, 北京, more than all the other cities of the world",
        "for (i = 0; i < n; i++) { x[i] = 0; }",
    ]
    assert [language_of(text) for text in texts] == ["zh", "en", "code"]
    assert isinstance(report(train(["x"], 292), []), Report)
