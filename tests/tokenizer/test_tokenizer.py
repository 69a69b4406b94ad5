"""Plain text: exact round trips, no reserved id ever, errors in words; loading and saving."""

import json
import pickle

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minimind.config import UserError
from minimind.tokenizer import Tokenizer
from minimind.tokenizer.special import RESERVED, STRUCTURAL

TOKENIZER = Tokenizer.load()

# Any Unicode, with the strings that matter made likely: reserved names and their halves, spaces, joined emoji.
PIECES = st.one_of(
    st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    st.sampled_from([*RESERVED, "<|im_", "end|>", "\n\n", "  ", "\u0000", "👩‍👩‍👧‍👦", "שלום", "e\u0301", "龘", "१२३"]),
)
TEXTS = st.lists(PIECES, max_size=8).map("".join)


def test_the_reserved_ids_are_those_of_the_public_layout_but_for_the_answer_tags():
    assert len(RESERVED) == 36 and len(STRUCTURAL) == 21
    assert [TOKENIZER.token_id(name) for name in RESERVED] == list(range(36))
    assert (TOKENIZER.pad_id, TOKENIZER.bos_id, TOKENIZER.eos_id) == (0, 1, 2)
    named = ("<|vision_pad|>", "<|audio_pad|>", "<tts_pad>", "<tool_call>", "</tool_response>", "<think>", "</answer>")
    assert [TOKENIZER.token_id(name) for name in named] == [11, 16, 17, 21, 24, 25, 28]
    assert TOKENIZER.token_id("<|buffer9|>") == 35
    assert TOKENIZER.token_id("hello") is None
    assert TOKENIZER.vocab_size == 6400


@settings(deadline=None, max_examples=150)
@given(TEXTS)
@example("a\x00b")
@example("\ufffd\ufffd")
@example("".join(RESERVED))
def test_round_trip_and_no_reserved_id(text: str):
    ids = TOKENIZER.encode(text)
    assert TOKENIZER.decode(ids) == text
    assert all(token >= 36 for token in ids)
    assert TOKENIZER.encode_batch([text, "x"])[0] == ids


@settings(deadline=None, max_examples=150)
@given(st.lists(st.integers(0, TOKENIZER.vocab_size - 1), max_size=30))
@example([36 + 128, 1, 36 + 200])
def test_streaming_equals_the_full_decode(ids: list[int]):
    stream = TOKENIZER.stream()
    assert "".join([*map(stream.push, ids), stream.flush()]) == TOKENIZER.decode(ids)


def test_streaming_equals_the_full_decode_on_every_kind_of_broken_bytes():
    """Byte triples at the edges of UTF-8: surrogates (ED A0), overlong forms (C0, E0 80), too large (F5)."""
    edges = [0x41, 0x80, 0x90, 0xA0, 0xC0, 0xC2, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xF5]
    byte_ids = {piece[0]: index for index, piece in enumerate(TOKENIZER.pieces) if len(piece) == 1}
    for triple in ((a, b, c, d) for a in edges for b in edges for c in edges for d in (0x41, 0x80)):
        stream = TOKENIZER.stream()
        pushed = "".join(stream.push(byte_ids[byte]) for byte in triple) + stream.flush()
        assert pushed == TOKENIZER.decode(byte_ids[byte] for byte in triple) == bytes(triple).decode("utf-8", "replace")


def test_a_character_comes_whole_and_a_torn_one_only_at_the_end():
    byte_ids = {piece[0]: index for index, piece in enumerate(TOKENIZER.pieces) if len(piece) == 1}
    stream = TOKENIZER.stream()
    assert [stream.push(byte_ids[byte]) for byte in "龘a".encode()] == ["", "", "龘", "a"]
    assert stream.push(byte_ids[0xE4]) == ""
    assert stream.flush() == "\ufffd"
    assert stream.flush() == ""
    with pytest.raises(UserError, match="outside the vocabulary"):
        stream.push(6400)


def test_decoding_agrees_with_the_tokenizers_library(tmp_path):
    from tokenizers import Tokenizer as Engine

    TOKENIZER.save(tmp_path)
    engine = Engine.from_file(str(tmp_path / "tokenizer.json"))
    samples = [[(7 * i * i + 131 * j) % 6400 for j in range(12)] for i in range(200)]
    for ids in samples:
        assert TOKENIZER.decode(ids) == engine.decode(ids, skip_special_tokens=False)
        assert TOKENIZER.decode(ids, skip_control=True) == engine.decode(ids, skip_special_tokens=True)


def test_skipping_control_tokens_keeps_the_tags():
    think, end = TOKENIZER.token_id("<think>"), TOKENIZER.token_id("</think>")
    ids = [1, think, *TOKENIZER.encode("好"), end, 2, 0]
    assert TOKENIZER.decode(ids, skip_control=True) == "<think>好</think>"
    assert TOKENIZER.decode(ids) == "<|im_start|><think>好</think><|im_end|><|endoftext|>"


@pytest.mark.parametrize("ids", [[-1], [6400], [5, 10**9]])
def test_ids_outside_the_vocabulary_are_refused(ids):
    with pytest.raises(UserError, match="outside the vocabulary"):
        TOKENIZER.decode(ids)


def test_texts_that_are_no_text_are_named():
    with pytest.raises(UserError, match=r"text 1 has a lone surrogate U\+D800 at character 2"):
        TOKENIZER.encode_batch(["fine", "ab\ud800"])
    with pytest.raises(UserError, match="text 0 is NoneType"):
        TOKENIZER.encode(None)
    assert TOKENIZER.encode("") == [] and TOKENIZER.encode_batch([]) == []


def test_save_and_load_keep_everything(tmp_path):
    TOKENIZER.save(tmp_path / "t")
    for path in (tmp_path / "t", tmp_path / "t" / "tokenizer.json"):
        again = Tokenizer.load(path)
        assert again.hash == TOKENIZER.hash
        assert again.encode("今天 hello 123") == TOKENIZER.encode("今天 hello 123")


def test_the_hash_ignores_the_spelling_of_the_file_and_sees_a_changed_merge(tmp_path):
    TOKENIZER.save(tmp_path)
    file = tmp_path / "tokenizer.json"
    definition = json.loads(file.read_text(encoding="utf-8"))
    definition["model"]["merges"] = [" ".join(merge) for merge in definition["model"]["merges"]]
    file.write_text(json.dumps(definition, indent=2), encoding="utf-8")
    assert Tokenizer.load(tmp_path).hash == TOKENIZER.hash
    merges = definition["model"]["merges"]
    merges[0], merges[1] = merges[1], merges[0]
    file.write_text(json.dumps(definition), encoding="utf-8")
    assert Tokenizer.load(tmp_path).hash != TOKENIZER.hash


def test_it_can_be_sent_to_another_process():
    again = pickle.loads(pickle.dumps(TOKENIZER))
    messages = [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "好"}]
    assert again.render(messages) == TOKENIZER.render(messages)


def test_what_cannot_be_loaded_is_refused_in_words(tmp_path):
    file = tmp_path / "tokenizer.json"
    with pytest.raises(UserError, match="no tokenizer at"):
        Tokenizer.load(tmp_path / "nowhere")
    for content, complaint in [("{", "is not JSON"), ("[]", "not a byte-level BPE"), ("{}", "not a byte-level BPE")]:
        file.write_text(content)
        with pytest.raises(UserError, match=complaint):
            Tokenizer.load(tmp_path)
    TOKENIZER.save(tmp_path)
    definition = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**definition, "added_tokens": []}), encoding="utf-8")
    with pytest.raises(UserError, match="lacks the control tokens"):
        Tokenizer.load(tmp_path)
    word = next(index for index, piece in enumerate(TOKENIZER.pieces) if index > 292 and piece.isalpha())
    reachable = {**definition["added_tokens"][0], "id": word, "content": TOKENIZER.pieces[word].decode()}
    file.write_text(json.dumps({**definition, "added_tokens": [*definition["added_tokens"], reachable]}))
    with pytest.raises(UserError, match="can merge plain text into the reserved"):
        Tokenizer.load(tmp_path)


def test_the_public_layout_loads_and_its_tags_are_text(public_style: Tokenizer):
    assert (public_style.pad_id, public_style.bos_id, public_style.eos_id) == (0, 1, 2)
    assert public_style.token_id("<think>") is None
    text = "<|im_start|>你好<|im_end|>"
    assert min(public_style.encode(text)) >= 3 and public_style.decode(public_style.encode(text)) == text
