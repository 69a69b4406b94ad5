"""Second questions that lean on the first: "What is the capital of France?" "Paris." "And its currency?" "Euro."

Either the subject stays ("And its currency?") or the relation does ("And Japan?"). Held out is which fact may follow
which.
"""

import functools
import random

from minimind.data.primer.facts import Fact, curriculum_facts, facts_about
from minimind.data.primer.knowledge import accepted, reply, training_question
from minimind.data.primer.read import GAP, pick, read_toml
from minimind.data.primer.subject import Example, Subject, held_out

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
    groups = (
        tuple(fact for fact in group if fact.relation.wording[language].its) for group in facts_about(language).values()
    )
    return tuple(group for group in groups if len(group) > 1)


def _pair(rng: random.Random, language: str) -> tuple[Fact, Fact]:
    if rng.random() < SUBJECT_SHARE:
        first, second = rng.sample(pick(rng, _subjects(language)), 2)
    else:
        first, second = rng.sample(pick(rng, list(_by_relation(language).values())), 2)
    return first, second


def pair_key(first: Fact, second: Fact) -> tuple:
    """What is held out: a follow-up from this fact to that one, in whatever words and language."""
    return ("followup", first.relation.name, first.key, second.relation.name, second.key)


def _second_question(first: Fact, second: Fact, language: str, rng: random.Random) -> str:
    frames, wording = read_toml("frames"), second.relation.wording[language]
    if first.relation is second.relation:
        return pick(rng, frames["same_relation"][language]).format(s=second.words(wording.subject_form, language))
    return pick(rng, frames["same_subject"][language]).format(its=pick(rng, wording.its))


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
    side = "combination" if held else "train"
    right = (reply(second, language), second.answer(language), accepted(second, language))
    return Example("followup", language, messages, *right, side)


def train(rng: random.Random, language: str) -> Example:
    """A question, its reply, and a second question that leans on them."""
    return _example(rng, language, held=False)


def text(rng: random.Random, language: str) -> str:
    """The two turns as lines of questions and answers."""
    example = _example(rng, language, held=False)
    first, heard, second = (message["content"] for message in example.messages)
    return f"{first}{GAP[language]}{heard}\n{second}{GAP[language]}{example.response}"


def exam(rng: random.Random, language: str, count: int) -> list[Example]:
    """Different pairs of questions from the held-out side."""
    items: dict[tuple[str, str], Example] = {}
    while len(items) < count:
        example = _example(rng, language, held=True)
        items.setdefault((example.messages[0]["content"], example.messages[2]["content"]), example)
    return list(items.values())


FOLLOWUP = Subject("followup", train, text, exam, 1.0)
