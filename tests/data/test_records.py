"""Files are found and read in bounded memory; a record that cannot be used is named with its place and the reason."""

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest

from minimind.config import UserError
from minimind.data import read
from minimind.data.records import BadRecords, read_records

GOOD = {"text": "一段好的文字。"}


def chat(*messages: dict, **more: object) -> dict:
    return {"conversations": list(messages), **more}


def said(role: str, content: object = "x", **more: object) -> dict:
    return {"role": role, "content": content, **more}


def pair(chosen: list, rejected: list) -> dict:
    return {"chosen": chosen, "rejected": rejected}


USER, REPLY, CALL = said("user"), said("assistant"), [{"name": "f", "arguments": {}}]
TOOLS = [{"name": "f", "parameters": {}}]

FAULTS = [
    ("text", b'{"text": "a"', "broken JSON"),
    ("text", b'{"text": "a",}', "broken JSON"),
    ("text", b'{"text": "a"} {"text": "b"}', "broken JSON"),
    ("text", b"[" * 100_000, "broken JSON"),
    ("text", b'{"text": "a", "n": ' + b"9" * 5000 + b"}", "broken JSON"),
    ("text", b'{"text": "a\x00b"}', "broken JSON"),
    ("text", b'{"text": "a\\u0000b"}', "NUL character"),
    ("text", b'{"text": "a\xff\xfe"}', "invalid UTF-8"),
    ("text", b'{"text": "\xed\xa0\x80"}', "invalid UTF-8"),
    ("text", b'{"text": "a \\ud83d b"}', "lone surrogate"),
    ("text", b'{"text": "a", "text": "b"}', "duplicate key"),
    ("text", {"content": "a"}, "missing key"),
    ("text", {}, "missing key"),
    ("text", {"text": None}, "wrong type"),
    ("text", {"text": 7}, "wrong type"),
    ("text", {"text": ["a"]}, "wrong type"),
    ("text", {"text": ""}, "empty text"),
    ("text", {"text": " \n\u3000"}, "empty text"),
    ("text", ["a"], "not an object"),
    ("text", b"null", "not an object"),
    ("text", b"12", "not an object"),
    ("chat", {"conversations": None}, "wrong type"),
    ("chat", {"conversations": "hello"}, "wrong type"),
    ("chat", {"conversations": []}, "empty conversation"),
    ("chat", {"instruction": "a", "output": "b"}, "missing key"),
    ("chat", chat("hello"), "wrong type"),
    ("chat", chat(said("user", None), REPLY), "wrong type"),
    ("chat", chat(said("user", 5), REPLY), "wrong type"),
    ("chat", chat(USER, said("assistant", [{"type": "text", "text": "x"}])), "wrong type"),
    ("chat", chat(USER, {"role": "assistant"}), "missing key"),
    ("chat", chat({"content": "x"}, REPLY), "missing key"),
    ("chat", chat(USER, said("assistant", "")), "empty text"),
    ("chat", chat(said("user", "  "), REPLY), "empty text"),
    ("chat", chat(said("system", ""), USER, REPLY), "empty text"),
    ("chat", chat(USER, said("assistant", "", reasoning_content="hm")), "empty text"),
    ("chat", chat(USER, USER, REPLY), "wrong role order"),
    ("chat", chat(USER, REPLY, REPLY), "wrong role order"),
    ("chat", chat(REPLY, USER, REPLY), "wrong role order"),
    ("chat", chat(USER, REPLY, said("system"), USER, REPLY), "wrong role order"),
    ("chat", chat(USER, REPLY, USER), "wrong role order"),
    ("chat", chat(USER), "no assistant message"),
    ("chat", chat(said("system"), USER), "no assistant message"),
    ("chat", chat(said("human"), REPLY), "unknown role"),
    ("chat", chat(USER, REPLY, said("tool"), REPLY), "tool message without a call"),
    ("chat", chat(USER, said("assistant", tool_calls="[{oops")), "broken JSON string"),
    ("chat", chat(USER, said("assistant", tool_calls='{"name": "f"}')), "wrong type"),
    ("chat", chat(USER, said("assistant", tool_calls=[{"arguments": {}}])), "tool call without name"),
    ("chat", chat(USER, said("assistant", tool_calls=[{"name": "f", "arguments": "{"}])), "broken JSON string"),
    ("chat", chat(USER, said("assistant", tool_calls=[{"name": "f", "arguments": [1]}])), "wrong type"),
    (
        "chat",
        chat(USER, said("assistant", tool_calls=[{"name": "f", "arguments": '{"a": "\\ud800"}'}])),
        "lone surrogate",
    ),
    ("chat", chat(said("user", tool_calls=CALL), REPLY), "key on the wrong message"),
    ("chat", chat(said("user", tools=TOOLS), REPLY), "key on the wrong message"),
    ("chat", chat(said("user", reasoning_content="hm"), REPLY), "key on the wrong message"),
    ("chat", chat(USER, REPLY, tools=TOOLS), "key on the wrong message"),
    ("chat", chat(said("system", tools="{"), USER, REPLY), "broken JSON string"),
    ("chat", chat(said("user", loss=1), REPLY), "unknown key"),
    ("preference", pair([USER, REPLY], [said("user", "y"), said("assistant", "z")]), "different prompts"),
    ("preference", pair([USER, REPLY], [USER, REPLY]), "chosen equals rejected"),
    ("preference", pair([USER, REPLY], [USER]), "wrong role order"),
    ("preference", pair([USER, REPLY], []), "empty conversation"),
    ("preference", {"chosen": [USER, REPLY]}, "missing key"),
    ("prompt", {"question": "1+1?"}, "missing key"),
    ("prompt", {"question": "1+1?", "answer": 2}, "wrong type"),
    ("prompt", {"question": "", "answer": "2"}, "empty text"),
    ("prompt", {"question": "1+1?", "gt": "2"}, "wrong type"),
    ("prompt", chat(USER, REPLY, said("system"), answer="2"), "wrong role order"),
    ("prompt", chat(REPLY, answer="2"), "empty conversation"),
]
GOODS = {
    "text": GOOD,
    "chat": chat(USER, REPLY),
    "preference": pair([USER, REPLY], [USER, said("assistant", "z")]),
    "prompt": {"question": "1+1?", "answer": "2"},
}


@pytest.mark.parametrize(("kind", "line", "reason"), FAULTS, ids=lambda value: str(value)[:40])
def test_a_bad_record_is_named_counted_and_skipped(write, kind, line, reason):
    path = write("data.jsonl", [GOODS[kind], line, GOODS[kind]])
    report = BadRecords()
    records = list(read_records(str(path), kind, report=report))
    assert [record.line for record in records] == [1, 3]
    assert (report.seen, report.counts) == (3, {reason: 1})
    assert report.named[0].startswith(f"{path}:2: {reason}")
    with pytest.raises(UserError, match="data.jsonl:2: "):
        list(read_records(str(path), kind, strict=True))


def test_blank_lines_byte_order_marks_and_carriage_returns_do_no_harm(write):
    path = write("data.jsonl", [b'\xef\xbb\xbf{"text": "a"}\r', b"", b"  \r", b'{"text": "b"}\r'])
    report = BadRecords()
    assert [record.value["text"] for record in read_records(path, "text", report=report)] == ["a", "b"]
    assert (report.seen, report.bad, report.blank) == (2, 0, 2)


def test_no_newline_at_the_end(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "a"}\n{"text": "b"}')
    assert [record.value["text"] for record in read_records(tmp_path / "a.jsonl", "text")] == ["a", "b"]


@pytest.mark.parametrize("name", ["long.jsonl", "long.jsonl.gz"])
def test_a_line_of_100_megabytes_is_skipped_without_being_held(tmp_path, name):
    opened = gzip.open(tmp_path / name, "wb", 1) if name.endswith("gz") else open(tmp_path / name, "wb")
    with opened as file:
        file.write(b'{"text": "before"}\n{"text": "')
        for _ in range(100):
            file.write(b"a" * 10**6)
        file.write(b'"}\n{"text": "after"}\n')
    report = BadRecords()
    tracemalloc.start()
    try:
        records = list(read_records(tmp_path / name, "text", report=report))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [record.value["text"] for record in records] == ["before", "after"]
    assert report.named == [f"{tmp_path / name}:2: line over the length cap"]
    assert peak < 2.5 * read.LINE_CAP_BYTES


def test_the_cap_is_exact(write, monkeypatch):
    monkeypatch.setattr(read, "LINE_CAP_BYTES", 30)
    fits, over = b'{"text": "%s"}' % (b"a" * 18), b'{"text": "%s"}' % (b"a" * 19)
    assert (len(fits), len(over)) == (30, 31)
    report = BadRecords()
    assert len(list(read_records(write("a.jsonl", [fits, over, fits]), "text", report=report))) == 2
    assert report.counts == {"line over the length cap": 1}


@pytest.mark.parametrize(("bad", "good", "stops"), [(1, 1, False), (2, 198, False), (2, 197, True), (1, 98, False)])
def test_more_than_one_percent_stops(write, bad, good, stops):
    """1 bad record alone never stops; 2 of 200 are 1 %, 2 of 199 are more."""
    path = write("data.jsonl", [GOOD] * good + [{"text": None}] * bad)
    if not stops:
        assert len(list(read_records(path, "text"))) == good
        return
    with pytest.raises(UserError, match="2 of 199 records are bad") as caught:
        list(read_records(path, "text"))
    assert f"{path}:198: wrong type (text should be a string, got null)" in str(caught.value)


def test_a_wrong_file_is_refused_early(write):
    path = write("data.jsonl", [{"prompt": "a"}] * 5000)
    report = BadRecords()
    with pytest.raises(UserError, match="missing key"):
        list(read_records(path, "text", report=report))
    assert report.seen == 100


def test_every_bad_record_is_told_to_who_asks(write):
    told = []
    path = write("data.jsonl", [GOOD] * 300 + [b"{"] * 3)
    list(read_records(path, "text", max_bad=0.5, report=BadRecords(on_bad=told.append)))
    assert [name.split(": ")[0] for name in told] == [f"{path}:{line}" for line in (301, 302, 303)]


def test_globs_comma_lists_directories_and_packed_files(write, tmp_path):
    a, b = write("d/a.jsonl", [{"text": "a"}]), write("d/b.jsonl.gz", [{"text": "b"}])
    odd = write("d/one,two.jsonl", [{"text": "c"}])
    write("d/notes.txt", [b"not data"])

    def texts(patterns: object) -> list[str]:
        return [record.value["text"] for record in read_records(patterns, "text")]

    assert texts(str(tmp_path / "d")) == ["a", "b", "c"]
    assert texts(f"{tmp_path}/d/*.jsonl") == ["a", "c"]
    assert texts(f"{b}, {a}") == ["b", "a"]
    assert texts([str(b), str(a)]) == ["b", "a"]
    assert texts(str(odd)) == ["c"]
    assert texts(f"{a},{a}") == ["a", "a"]


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("missing.jsonl", "missing.jsonl does not exist"),
        ("none*.jsonl", "no file matches"),
        ("empty", "holds no data file"),
        ("", "no data file was named"),
        ("/dev/null", "neither a file nor a directory"),
        ("blank.jsonl", "no usable text record in blank.jsonl: there is no record at all"),
        ("bad.jsonl", "no usable text record in bad.jsonl: bad.jsonl:1: missing key"),
        ("torn.jsonl.gz", "torn gzip"),
        ("utf16.jsonl", "UTF-16"),
        ("broken.parquet", "broken parquet"),
    ],
)
def test_nothing_to_read_is_one_sentence(in_tmp_path, pattern, sentence):
    Path("empty").mkdir()
    Path("blank.jsonl").write_text("\n\n")
    Path("bad.jsonl").write_text('{"words": "a"}\n')
    Path("torn.jsonl.gz").write_bytes(gzip.compress(json.dumps(GOOD).encode() * 100)[:-12])
    Path("utf16.jsonl").write_text(json.dumps(GOOD), encoding="utf-16")
    Path("broken.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=sentence):
        list(read_records(pattern, "text"))


def test_an_unknown_kind_is_refused_before_reading(write):
    with pytest.raises(UserError, match="one of text, chat, preference, prompt"):
        read_records(write("a.jsonl", [GOOD]), "sft")


def test_parquet_rows_are_records(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    conversations = [[said("user"), {**said("assistant"), "reasoning_content": None}], [said("user")], [USER, REPLY]]
    parquet.write_table(pyarrow.table({"conversations": conversations}), tmp_path / "a.parquet")
    report = BadRecords()
    records = list(read_records(tmp_path / "a.parquet", "chat", report=report))
    assert [record.line for record in records] == [1, 3]
    assert records[0].value == {"conversations": [said("user"), said("assistant")], "tools": None}
    assert report.named == [f"{tmp_path / 'a.parquet'}:2: no assistant message"]


def first(write, kind: str, record: dict) -> dict:
    return next(read_records(write("a.jsonl", [record]), kind)).value


def test_tools_and_calls_as_text_or_as_lists_come_out_alike(write):
    def dialogue(tools: object, calls: object) -> dict:
        system = said("system", "", tools=tools)
        return chat(system, USER, said("assistant", None, tool_calls=calls), said("tool", "3"), said("tool", ""), REPLY)

    calls = [{"name": "add", "arguments": {"a": 1, "b": "二"}}]
    wrapped = [
        {"id": "1", "type": "function", "function": {"name": "add", "arguments": json.dumps(calls[0]["arguments"])}}
    ]
    expected = first(write, "chat", dialogue(TOOLS, calls))
    assert expected["tools"] == TOOLS
    assert [message["role"] for message in expected["conversations"]] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
    ]
    assert expected["conversations"][1] == {"role": "assistant", "content": "", "tool_calls": calls}
    assert first(write, "chat", dialogue(json.dumps(TOOLS), json.dumps(calls))) == expected
    assert first(write, "chat", dialogue(TOOLS, wrapped)) == expected
    assert first(write, "chat", chat(USER, said("assistant", "<tool_call>\n{}\n</tool_call>"), said("tool"), REPLY))


def test_roles_by_parity_where_the_record_has_none(write):
    record = chat({"content": "a"}, {"content": "b"}, {"content": "c", "role": None}, {"content": "d"})
    roles = [message["role"] for message in first(write, "chat", record)["conversations"]]
    assert roles == ["user", "assistant", "user", "assistant"]


def test_a_prompt_loses_its_dummy_reply_and_keeps_what_it_is_judged_by(write):
    record = chat(said("system"), USER, said("assistant", ""), answer="4", accept=["four"])
    value = first(write, "prompt", record)
    assert value == {
        "conversations": [said("system"), USER],
        "tools": None,
        "answer": "4",
        "gt": None,
        "accept": ["four"],
    }
    value = first(write, "prompt", chat(USER, gt=["1", "2"]))
    assert (value["answer"], value["gt"]) == (None, ["1", "2"])
    value = first(write, "prompt", {"question": "1+1?", "answer": "2", "solution": "so"})
    assert value["conversations"] == [said("user", "1+1?")] and value["solution"] == "so"


def test_a_file_larger_than_a_chunk_is_read_in_order(write, monkeypatch):
    lines = [{"text": f"{number} " + "字" * (number % 50)} for number in range(3000)]
    path = write("a.jsonl.gz", lines)
    chunks = list(read.read_chunks([path], chunk_bytes=4096))
    assert len(chunks) > 20
    assert [line for chunk in chunks for line, _ in chunk.items] == list(range(1, 3001))
    assert sum(chunk.consumed_bytes for chunk in chunks) == path.stat().st_size
    assert [record.value for record in read_records(path, "text")] == lines
