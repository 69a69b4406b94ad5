"""Nothing of the exam's side occurs in what the primer writes for training."""

import itertools
import re
import unicodedata
from functools import cache

import pytest

from minimind.data.primer import curriculum
from minimind.data.primer.arithmetic import is_table, pair_key
from minimind.data.primer.exam import exam_items
from minimind.data.primer.facts import LESSONS, facts
from minimind.data.primer.lessons import lesson_exam
from minimind.data.primer.phrasing import combination_key, phrasings, questions
from minimind.data.primer.subject import held_out, normalise

DOCUMENTS, CHATS, OTHERS = 12_000, 6_000, 1_500


@cache
def conversations() -> list[list[dict]]:
    """A large sample of every kind of conversation that training sees."""
    found = [record["conversations"] for record in itertools.islice(curriculum.chats(11), CHATS)]
    for stream in (curriculum.reasoning, curriculum.rl_prompts, curriculum.lesson_chats):
        found += [record["conversations"] for record in itertools.islice(stream(12), OTHERS)]
    for record in itertools.islice(curriculum.preferences(13), OTHERS):
        found += [record["chosen"], record["rejected"]]
    return found


@cache
def documents() -> list[str]:
    return list(itertools.islice(curriculum.pretrain_texts(14), DOCUMENTS))


def asked(messages) -> tuple[str, ...]:
    """What identifies a question: everything said up to it, without the system prompt."""
    return tuple(normalise(message["content"]) for message in messages if message["role"] != "system")


def plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def stands_alone(question: str, text: str) -> bool:
    """Whether `question` stands in `text` otherwise than as the end of a longer number or word."""
    return re.search(r"(?<![a-z0-9])" + re.escape(question), text) is not None


def test_no_training_conversation_asks_an_exam_question():
    exam = {asked(item.messages) for item in [*exam_items(), *lesson_exam(50)]}
    lengths = sorted({len(key) for key in exam})
    found = set()
    for messages in conversations():
        said = asked(messages)
        windows = (said[max(0, end - length) : end] for end in range(1, len(said) + 1) for length in lengths)
        found.update(window for window in windows if window in exam)
    assert not found


def test_no_training_text_contains_an_exam_question():
    text = plain("\n".join(documents()))
    single = [plain(item.messages[-1]["content"]) for item in exam_items() if len(asked(item.messages)) == 1]
    assert len(single) > 3000
    assert not [question for question in single if question in text and stands_alone(question, text)]


def test_no_held_out_pair_of_numbers_is_worked_anywhere():
    said = [message["content"] for messages in conversations() for message in messages]
    text = "\n".join([*documents(), *said])
    seen = set(re.findall(r"(?<![\d.])(\d{1,4})([+\-×])(\d{1,4})(?![\d.])", text))
    assert len(seen) > 1000
    for left, operation, right in seen:
        a, b = int(left), int(right)
        if not is_table(operation, a, b):
            assert not held_out(*pair_key(operation, a, b)), f"{left}{operation}{right}"


@pytest.mark.parametrize("language", ["zh", "en"])
def test_no_fact_is_ever_asked_in_a_held_out_wording(language):
    """On the rules themselves, for every fact: the sides share no wording, also not inside a longer one."""
    for fact in facts():
        if language not in fact.languages:
            continue
        sides = questions(fact, language)
        taught = "\n".join(map(normalise, sides.train))
        for question in (*sides.combination, *sides.phrasing):
            assert normalise(question) not in taught, question


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_word_of_a_held_out_phrasing_is_taught_elsewhere(language):
    """Held-out phrasings are new compositions of known parts, so they examine wording, not vocabulary."""
    taught: set[str] = set()
    for fact in facts():
        if language in fact.languages and fact.relation.subject != LESSONS:
            for question in questions(fact, language).train:
                taught.update(question if language == "zh" else re.findall(r"[\w']+", question.casefold()))
    for fact in facts():
        if language in fact.languages and fact.relation.subject != LESSONS:
            for question in questions(fact, language).phrasing:
                words = question if language == "zh" else re.findall(r"[\w']+", question.casefold())
                assert taught.issuperset(words), question


def test_each_relation_keeps_phrasings_for_the_exam_and_teaches_many():
    for relation in {fact.relation.name: fact.relation for fact in facts()}.values():
        for language in relation.wording:
            held = [phrasing.held for phrasing in phrasings(relation.name, language)]
            assert 3 <= sum(held) <= 8, (relation.name, language)
            assert len(held) - sum(held) >= 15, (relation.name, language)


def test_a_tenth_of_the_combinations_is_held_out():
    keys = [
        combination_key(fact, phrasing.template)
        for fact in facts()
        for language in fact.languages
        for phrasing in phrasings(fact.relation.name, language)
    ]
    share = sum(held_out(*key) for key in keys) / len(keys)
    assert abs(share - 0.1) < 0.01
