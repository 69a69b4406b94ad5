"""Nothing that the exam of the skills asks can be read anywhere in training, and every worked step is right.

A large sample of everything that training may show - texts, conversations, preferences, prompts - is searched for what
the keys forbid, by reading the material itself: operations in any text, numbers in questions, lists, passages.
"""

import random
import re
from functools import cache

import pytest

from minimind.data.primer.arithmetic import apply, is_table, pair_key
from minimind.data.primer.preferences import preference, preference_exam
from minimind.data.primer.prompts import rl_prompt
from minimind.data.primer.skills import SKILLS
from minimind.data.primer.sorting import list_key
from minimind.data.primer.subject import LANGUAGES, held_out

SUBJECTS = {subject.name: subject for subject in SKILLS}
OPERATION = re.compile(r"(?<![\d+\-×÷])(\d+)([+\-×÷])(\d+)(?![\d+\-×÷])")
STEP = re.compile(r"(?<!\d)(\d+(?:[+\-×÷]\d+)+)=(\d+)")
ORDER = re.compile(r"(?<![\d+\-×÷])(\d+)([<>]=?|=)(\d+)(?![\d+\-×÷])")
PER_SUBJECT = 400


def _words(messages) -> str:
    return "\n".join(message["content"] for message in messages)


@cache
def taught() -> tuple[str, ...]:
    """A sample of what training shows, except the spoiled replies of preferences."""
    shown = []
    for language in LANGUAGES:
        rng = random.Random(f"sides {language}")
        for subject in SKILLS:
            for _ in range(PER_SUBJECT):
                example = subject.train(rng, language)
                shown += [_words(example.messages) + "\n" + example.response, subject.text(rng, language)]
        shown += [_words(preference(rng, language)["chosen"]) for _ in range(PER_SUBJECT)]
        shown += [_words(rl_prompt(rng, language)["conversations"]) for _ in range(PER_SUBJECT)]
    return tuple(shown)


@cache
def spoiled() -> tuple[str, ...]:
    rng = random.Random("spoiled")
    return tuple(_words(preference(rng, LANGUAGES[index % 2])["rejected"]) for index in range(2 * PER_SUBJECT))


def test_every_worked_step_is_right():
    steps = 0
    for text in taught():
        for left, right in STEP.findall(text):
            first, *rest = re.split(r"([+\-×÷])", left)
            value = int(first)
            for op, term in zip(rest[::2], rest[1::2], strict=True):
                value = apply(op, value, int(term))
            assert value == int(right), text
            steps += 1
        for left, sign, right in ORDER.findall(text):
            a, b = int(left), int(right)
            assert {"<": a < b, ">": a > b, "=": a == b, "<=": a <= b, ">=": a >= b}[sign], text
    assert steps > 10_000


def test_the_last_line_of_the_work_gives_the_answer():
    rng = random.Random(8)
    for name in ("addition", "arithmetic"):
        for _ in range(300):
            example = SUBJECTS[name].train(rng, "en")
            rows = example.response.split("\n</think>")[0].split("\n")[2:]
            digits = rows[-1].rpartition("=")[2] + "".join(row[-1] for row in rows[-2::-1])
            assert int(digits) == int(example.answer)
            a, op, b = re.search(r"(\d+)([+\-])(\d+)", example.response).groups()
            assert apply(op, int(a), int(b)) == int(example.answer)


def test_no_held_out_pair_of_numbers_is_calculated_or_compared_anywhere():
    pairs_seen = 0
    for text in (*taught(), *spoiled()):
        for a, op, b in OPERATION.findall(text):
            pairs_seen += 1
            assert is_table(op, int(a), int(b)) or not held_out(*pair_key(op, int(a), int(b))), text
        for a, sign, b in ORDER.findall(text):
            if sign != "=":
                assert is_table("<", int(a), int(b)) or not held_out(*pair_key("<", int(a), int(b))), text
    assert pairs_seen > 10_000


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["addition", "arithmetic", "comparison"])
def test_no_held_out_pair_of_numbers_is_asked_in_words(name, language):
    rng = random.Random(9)
    for _ in range(1000):
        example = SUBJECTS[name].train(rng, language)
        numbers = [int(number) for number in re.findall(r"\d+", example.messages[0]["content"])]
        if name == "comparison":
            keys = [pair_key("<", *numbers)] if len(numbers) == 2 else [("parity", *numbers)]
        elif name == "arithmetic":
            keys = [pair_key(op, *numbers) for op in "+-" if apply(op, *numbers) == int(example.answer)]
        else:
            keys = [pair_key("+" if name == "addition" else "×", *numbers)]
        assert keys and not any(held_out(*key) for key in keys)


def test_word_problems_of_the_exam_have_numbers_that_training_never_has():
    rng = random.Random(10)

    def numbers(example):
        return example.response, tuple(re.findall(r"\d+", example.messages[0]["content"]))

    asked = {numbers(SUBJECTS["word_problems"].train(rng, language)) for language in LANGUAGES for _ in range(4000)}
    for language in LANGUAGES:
        for item in SUBJECTS["word_problems"].exam(rng, language, 100):
            assert numbers(item) not in asked


def test_no_held_out_list_is_shown_in_any_order():
    lists = 0
    for text in (*taught(), *spoiled()):
        for found in re.findall(r"(?<![\d,])\d\d(?:,\d\d){2,4}(?![\d,-])", text):
            numbers = [int(number) for number in found.split(",")]
            assert not held_out(*list_key(numbers)), text
            lists += 1
    assert lists > 1000


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["letters", "dates", "recall", "tools"])
def test_keys_of_strings_are_kept_apart(name, language):
    """The part of the last question that varies, with the answer, never comes back from the exam in training."""

    def asked(example):
        return example.messages[-1]["content"], example.answer

    rng = random.Random(11)
    seen = {asked(SUBJECTS[name].train(rng, language)) for _ in range(4000)}
    assert not {asked(item) for item in SUBJECTS[name].exam(rng, language, 100)} & seen


def test_the_preference_exam_asks_what_the_exam_asks_and_not_what_training_does():
    pairs_ = preference_exam(200)
    assert pairs_ == preference_exam(200)
    rng = random.Random(12)
    trained = {_words(preference(rng, LANGUAGES[index % 2])["chosen"]) for index in range(4000)}
    for pair in pairs_:
        assert pair["chosen"][:-1] == pair["rejected"][:-1]
        assert pair["chosen"][-1]["content"] != pair["rejected"][-1]["content"]
        assert _words(pair["chosen"]) not in trained
