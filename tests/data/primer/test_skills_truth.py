"""The answers of the skills against independent ways to find them, and tool calls judged as data."""

import datetime
import json
import random
import re

import pytest

from minimind.data.formats import parse
from minimind.data.primer.preferences import FLAWS, preference
from minimind.data.primer.prompts import SHARES, rl_prompt
from minimind.data.primer.skills import SKILLS
from minimind.data.primer.subject import LANGUAGES, Example, correct, final_answer, tool_calls
from minimind.data.primer.wording import pairs, wording
from minimind.rewards.format import format_reward
from minimind.rewards.verify import verify

SUBJECTS = {subject.name: subject for subject in SKILLS}


def _draw(name, language, count=400, seed=21):
    rng = random.Random(seed)
    return [SUBJECTS[name].train(rng, language) for _ in range(count)]


def _question(example):
    return example.messages[-1]["content"]


def _task(table, question):
    """The kind of a question: the one whose wording it is."""
    for kind, phrasings in table.items():
        for phrasing in phrasings:
            pattern = re.escape(phrasing)
            for field in "vnw":
                pattern = pattern.replace(re.escape("{" + field + "}"), f"(?P<{field}>.+?)", 1)
            if found := re.fullmatch(pattern, question):
                return kind, found.groupdict()
    raise AssertionError(question)


@pytest.mark.parametrize("language", LANGUAGES)
def test_dates_agree_with_the_calendar_of_the_standard_library(language):
    days = [pair[language == "en"] for pair in pairs("weekdays")]
    months = [pair[language == "en"] for pair in pairs("months")]
    for example in _draw("dates", language):
        kind, said = _task(wording()["dates"][language], _question(example))
        start, count = said["v"], int(said["n"]) * (-1 if kind in ("before", "earlier") else 1)
        if start in days:
            monday = datetime.date(2024, 1, 1)
            assert example.answer == days[(monday + datetime.timedelta(days.index(start) + count)).weekday()]
        elif start.endswith(("点", ":00")):
            now = datetime.datetime(2024, 1, 2, int(re.match(r"\d+", start)[0]))
            assert int(re.match(r"\d+", example.answer)[0]) == (now + datetime.timedelta(hours=count)).hour
        else:
            month, day = (
                (start[:-1].split("月")[0] + "月", start[:-1].split("月")[1]) if language == "zh" else start.split()
            )
            end = datetime.date(2023, months.index(month) + 1, int(day)) + datetime.timedelta(count)
            name = months[end.month - 1]
            assert example.answer == (f"{name}{end.day}日" if language == "zh" else f"{name} {end.day}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_are_taken_apart_rightly(language):
    for example in _draw("letters", language):
        kind, said = _task(wording()["letters"][language], _question(example))
        word = said["w"]
        places = {"first": word[0], "second": word[1], "third": word[2:3], "last": word[-1]}
        other = {"count": str(len(word)), "spell": "-".join(word), "reverse": "-".join(word[::-1])}
        assert example.answer == (places | other)[kind]
        if kind != "spell":
            assert "".join(re.findall(r"\d(\D)", example.response.split("\n")[1])) == word


@pytest.mark.parametrize("language", LANGUAGES)
def test_lists_are_sorted_and_scanned_by_tens(language):
    falling = ("从大到小", "由大到小", "大的在前", "large to", "largest", "falling")
    for example in _draw("sorting", language):
        numbers = [int(number) for number in re.findall(r"\d+", _question(example))]
        backwards = any(words in _question(example) for words in falling) and "smallest to" not in _question(example)
        assert example.answer == ",".join(map(str, sorted(numbers, reverse=backwards)))
        entries = example.response.split("\n")[1].split(",")
        assert [entry for entry in entries if not entry.endswith("-")] == example.answer.split(",")
        assert {int(entry[0]) for entry in entries} == set(range(1, 10))


@pytest.mark.parametrize("language", LANGUAGES)
def test_comparison(language):
    for example in _draw("comparison", language):
        numbers = [int(number) for number in re.findall(r"\d+", _question(example))]
        if len(numbers) == 1:
            assert example.answer in (("偶数", "even"), ("奇数", "odd"))[numbers[0] % 2]
        else:
            larger = any(word in _question(example) for word in ("大", "large", "big", "more"))
            assert int(example.answer) == (max if larger else min)(numbers)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["recall"])
def test_what_is_asked_was_told(name, language):
    for example in _draw(name, language):
        told = "\n".join(message["content"] for message in example.messages if message["role"] == "user")
        values = (*example.accept, example.answer)
        assert any(value.casefold() in told.casefold() for value in values)


def test_the_worked_subjects_earn_the_whole_reward_by_their_own_reply():
    rng = random.Random(22)
    subjects = set()
    for index in range(400):
        prompt = rl_prompt(rng, LANGUAGES[index % 2])
        subjects.add(prompt["subject"])
        assert parse(dict(prompt), "prompt")["answer"] == prompt["answer"]
        assert not verify("<think>\n1\n</think>\n<answer>\n?\n</answer>", prompt["answer"])
    assert subjects == set(SHARES)
    for name in SHARES:
        for example in _draw(name, "zh", 50) + _draw(name, "en", 50):
            assert verify(example.response, example.answer) == 1
            assert format_reward(example.response) in (1.5, 0.0)


@pytest.mark.parametrize("language", LANGUAGES)
def test_records_have_the_formats_of_the_stages(language):
    rng = random.Random(23)
    for subject in SKILLS:
        for _ in range(50):
            example = subject.train(rng, language)
            reply = {"role": "assistant", "content": example.response}
            parse({"conversations": [*example.messages, reply]}, "chat")
            parse({"text": subject.text(rng, language)}, "text")
    for _ in range(300):
        parse(preference(rng, language), "preference")


def test_a_better_reply_is_what_fine_tuning_teaches_and_every_flaw_occurs():
    rng = random.Random(24)
    for index in range(400):
        pair = preference(rng, LANGUAGES[index % 2])
        better, worse = pair["chosen"][-1]["content"], pair["rejected"][-1]["content"]
        assert format_reward(better) in (0.0, 1.5)
        assert better.strip() and worse.strip()
    assert len(FLAWS) == 8


def test_tools_are_declared_called_and_answered():
    kinds = set()
    for language in LANGUAGES:
        for example in _draw("tools", language):
            system = example.messages[0]
            declared = {tool["function"]["name"]: tool["function"] for tool in json.loads(system["tools"])}
            calls = tool_calls(example.response)
            if calls:
                (call,) = calls
                assert set(call["arguments"]) == set(declared[call["name"]]["parameters"]["properties"])
                kinds.add("call")
            else:
                kinds.add(example.messages[-1]["role"])
                if example.messages[-1]["role"] == "tool":
                    json.loads(example.messages[-1]["content"])
                    assert tool_calls(example.messages[-2]["content"])
    assert kinds == {"call", "tool", "user"}


CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris", "day": "1"}}\n</tool_call>'


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        (CALL, True),
        ('<tool_call>{"arguments":{"day":"1","city":"Paris"},"name":"weather"}</tool_call>', True),
        ("<think>\nhm\n</think>\n\n" + CALL, True),
        (CALL.replace("Paris", "paris"), False),
        (CALL.replace("weather", "time"), False),
        (CALL + CALL, False),
        ("Sure: " + CALL, False),
        (CALL.replace("}}", "}"), False),
        ('{"name": "weather", "arguments": {"city": "Paris", "day": "1"}}', False),
        ("", False),
    ],
)
def test_calls_are_judged_as_data(reply, right):
    example = Example("tools", "en", ({"role": "user", "content": "?"},), CALL, CALL)
    assert correct(example, reply) is right


def test_a_needless_call_is_wrong():
    example = Example("tools", "en", ({"role": "user", "content": "Hello"},), "Hello!", "Hello!")
    assert correct(example, "Hello!") and not correct(example, CALL)
    assert final_answer(CALL) == CALL
