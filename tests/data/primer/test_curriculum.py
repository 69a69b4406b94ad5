"""The streams of the curriculum: deterministic, well formed, balanced; the exam; the files."""

import itertools
import json
from collections import Counter

import pytest

from minimind.data.primer import curriculum
from minimind.data.primer.exam import exam_items
from minimind.data.primer.lessons import lesson_exam
from minimind.data.primer.subject import LANGUAGES, correct
from minimind.data.primer.write import FILES, write, write_records
from minimind.data.records import read_records

STREAMS = {
    "pretrain": curriculum.pretrain_texts,
    "chats": curriculum.chats,
    "reasoning": curriculum.reasoning,
    "preferences": curriculum.preferences,
    "rl_prompts": curriculum.rl_prompts,
    "identity": curriculum.identity_chats,
    "lessons": curriculum.lesson_chats,
    "tokenizer": curriculum.tokenizer_texts,
}


def first(stream, count, seed=0):
    return list(itertools.islice(stream(seed), count))


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_a_function_of_its_seed(name):
    stream = STREAMS[name]
    assert first(stream, 30) == first(stream, 30)
    assert first(stream, 30) != first(stream, 30, seed=1)


def test_documents_are_short_and_in_both_languages():
    texts = first(curriculum.pretrain_texts, 2000)
    assert all(2 <= len(text) <= 600 for text in texts)
    chinese = sum(any("\u4e00" <= letter <= "\u9fff" for letter in text) for text in texts)
    assert 0.35 < chinese / len(texts) < 0.75


@pytest.mark.parametrize("name", ["chats", "reasoning", "identity", "lessons"])
def test_conversations_take_turns_and_end_with_the_assistant(name):
    for record in first(STREAMS[name], 800):
        roles = [message["role"] for message in record["conversations"]]
        spoken = roles[1:] if roles[0] == "system" else roles
        assert "system" not in spoken and spoken[0] == "user" and spoken[-1] == "assistant"
        assert all(left != right for left, right in itertools.pairwise(spoken))
        assert all(isinstance(message["content"], str) for message in record["conversations"])


def test_chats_hold_every_kind_of_conversation():
    chats = [record["conversations"] for record in first(curriculum.chats, 2000)]
    assert sum(len(messages) > 2 for messages in chats) > 300
    assert any(message.get("tools") for messages in chats for message in messages)
    assert any(messages[0]["role"] == "system" and messages[0]["content"] for messages in chats)
    assert any("<think>" in messages[-1]["content"] for messages in chats)


def test_reasoning_works_in_steps():
    for record in first(curriculum.reasoning, 200):
        reply = record["conversations"][-1]["content"]
        assert reply.startswith("<think>\n") and "\n</think>\n<answer>\n" in reply and reply.endswith("\n</answer>")


def test_the_exam_has_two_hundred_items_for_each_subject_and_is_always_the_same():
    items = exam_items()
    counts = Counter((item.subject, item.language) for item in items)
    assert set(counts.values()) == {100}
    assert len(counts) == len(curriculum.subjects()) * len(LANGUAGES) and len(curriculum.subjects()) >= 12
    assert all(item.split != "train" for item in items)
    assert items == exam_items() and items is not exam_items()
    for subject in curriculum.subjects():
        asked = [json.dumps(item.messages, ensure_ascii=False) for item in items if item.subject == subject.name]
        assert len(set(asked)) == len(asked), subject.name


def test_the_model_reply_is_right_and_another_subject_s_reply_is_not():
    items = [*exam_items(), *lesson_exam()]
    assert all(correct(item, item.response) for item in items)
    assert not any(correct(item, "xyz") or correct(item, "") for item in items)


def test_one_file_for_each_stage_in_its_format(tmp_path):
    heard = []
    written = write(tmp_path, 1000, seed=3, progress=lambda *report: heard.append(report))
    assert len(list(tmp_path.glob("*pretrain*.jsonl"))) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(written)
    assert written["primer_pretrain.jsonl"] == 1000 and heard == [("primer_pretrain.jsonl", 1000, 1000)]
    assert set(written) == {f"primer_{kind}.jsonl" for kind in (*FILES, "exam")}
    keys = {
        "pretrain": {"text"},
        "tokenizer": {"text"},
        "sft": {"conversations"},
        "reason": {"conversations"},
        "lora_identity": {"conversations"},
        "lora_lessons": {"conversations"},
        "dpo": {"chosen", "rejected"},
    }
    for kind, wanted in keys.items():
        lines = (tmp_path / f"primer_{kind}.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(lines) == written[f"primer_{kind}.jsonl"]
        assert all(set(json.loads(line)) == wanted for line in lines)
    for line in (tmp_path / "primer_grpo.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        assert record["conversations"][-1]["role"] == "user" and record["answer"]


def test_the_stages_readers_find_nothing_to_complain_of(tmp_path):
    """The same readers as for any other data, with no record allowed to be bad."""
    write(tmp_path, 600, seed=4)
    kinds = {"pretrain": "text", "tokenizer": "text", "dpo": "preference", "grpo": "prompt"}
    for kind in FILES:
        path = tmp_path / f"primer_{kind}.jsonl"
        records = list(read_records(str(path), kinds.get(kind, "chat"), strict=True))
        assert len(records) == len(path.read_text(encoding="utf-8").splitlines())


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    def torn():
        yield "a line"
        raise RuntimeError("interrupted")

    path = tmp_path / "primer_pretrain.jsonl"
    with pytest.raises(RuntimeError):
        write_records(path, torn())
    assert not path.exists()
    assert write_records(path, ["one", {"conversations": []}]) == 2
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"text": "one"}, {"conversations": []}]
