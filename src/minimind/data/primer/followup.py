"""Second questions that lean on the first: "What is the capital of France?" "Paris." "And its currency?" "Euro."

Either the subject stays ("And its currency?") or the relation does ("And Japan?"). Which fact may follow which is held out.
"""

import functools
import random

from minimind.data.primer.facts import Fact, curriculum_facts, facts_about
from minimind.data.primer.knowledge import accepted, reply, training_question
from minimind.data.primer.subject import Example, Subject, held_out

SAME_SUBJECT = {
    "en": ("And {its}?", "What about {its}?", "And what is {its}?", "Now tell me {its}.", "Do you also know {its}?"),
    "zh": ("{its}呢？", "那{its}呢？", "那{its}是什么？", "再告诉我{its}。", "你也知道{its}吗？"),
}
SAME_RELATION = {
    "en": ("And {s}?", "What about {s}?", "How about {s}?", "And for {s}?", "The same for {s}, please."),
    "zh": ("{s}呢？", "那{s}呢？", "换成{s}呢？", "再说说{s}。", "{s}的情况呢？"),
}
SUBJECT_SHARE = 0.6  # of the follow-ups keep the subject


@functools.cache
def _by_relation(language: str) -> dict[str, tuple[Fact, ...]]:
    """The relations that can be asked twice, with their facts."""
    found: dict[str, list[Fact]] = {}
    for fact in curriculum_facts(language):
        found.setdefault(fact.relation.name, []).append(fact)
    return {name: tuple(group) for name, group in found.items() if group[0].relation.wording[language].its}


@functools.cache
def _subjects(language: str) -> tuple[tuple[Fact, ...], ...]:
    """The things that several questions can be asked about, each with its facts that have a short form."""
    groups = (tuple(fact for fact in group if fact.relation.wording[language].its) for group in facts_about(language).values())
    return tuple(group for group in groups if len(group) > 1)


def _pair(rng: random.Random, language: str) -> tuple[Fact, Fact]:
    if rng.random() < SUBJECT_SHARE:
        first, second = rng.sample(rng.choice(_subjects(language)), 2)
    else:
        first, second = rng.sample(rng.choice(list(_by_relation(language).values())), 2)
    return first, second


def pair_key(first: Fact, second: Fact) -> tuple:
    """What is held out: a follow-up from this fact to that one, in whatever words and language."""
    return ("followup", first.relation.name, first.key, second.relation.name, second.key)


def _second_question(first: Fact, second: Fact, language: str, rng: random.Random) -> str:
    if first.relation is second.relation:
        name = second.words(second.relation.wording[language].subject_form, language)
        return rng.choice(SAME_RELATION[language]).format(s=name)
    return rng.choice(SAME_SUBJECT[language]).format(its=rng.choice(second.relation.wording[language].its))


def _example(rng: random.Random, language: str, held: bool) -> Example:
    while True:
        first, second = _pair(rng, language)
        if held_out(*pair_key(first, second)) == held:
            break
    messages = (
        {"role": "user", "content": training_question(first, language, rng)},
        {"role": "assistant", "content": reply(first, language)},
        {"role": "user", "content": _second_question(first, second, language, rng)},
    )
    split = "combination" if held else "train"
    return Example("followup", language, messages, reply(second, language), second.answer(language), accepted(second, language), split)


def train(rng: random.Random, language: str) -> Example:
    return _example(rng, language, held=False)


def text(rng: random.Random, language: str) -> str:
    """The two turns as lines of questions and answers."""
    example = _example(rng, language, held=False)
    first, heard, second = (message["content"] for message in example.messages)
    gap = " " if language == "en" else ""
    return f"{first}{gap}{heard}\n{second}{gap}{example.response}"


def exam(rng: random.Random, language: str, count: int) -> list[Example]:
    items: dict[tuple[str, str], Example] = {}
    while len(items) < count:
        example = _example(rng, language, held=True)
        items.setdefault((example.messages[0]["content"], example.messages[2]["content"]), example)
    return list(items.values())


FOLLOWUP = Subject("followup", train, text, exam, 1.0)
