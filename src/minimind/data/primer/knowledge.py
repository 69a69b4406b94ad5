"""The subjects made of facts: geography, science, nature, culture, words, translation, calendar and units.

Training asks each fact in every wording of its training side and states it in prose. The exam asks it in the
combinations of fact and wording that are held out; the subject `rephrased` asks all facts in wordings that never occur
in training.
"""

import functools
import random
from collections.abc import Callable, Iterable

from minimind.data.primer.facts import LESSONS, Fact, curriculum_facts, facts_about, facts_in, facts_of
from minimind.data.primer.phrasing import questions
from minimind.data.primer.read import GAP, between, pick, read_toml
from minimind.data.primer.subject import LANGUAGES, Example, Subject
from minimind.data.primer.wording import SIDE, pairs

KNOWLEDGE = ("geography", "science", "nature", "culture", "words", "translation", "calendar_units")
# Kinds of document: questions with answers, sentences in both languages, little stories; the rest is plain prose.
QUESTIONS, PAIRS, STORIES = 0.5, 0.15, 0.15
PLAIN_SHARE = 0.35  # of the questions are asked in the plainest wording, which people use most


@functools.cache
def reply(fact: Fact, language: str) -> str:
    """The short reply that is taught: the answer as a sentence of its own."""
    answer = fact.answer(language)
    english = any("a" <= letter <= "z" or "A" <= letter <= "Z" for letter in answer)
    if language == "en" and english and not fact.relation.bare:
        answer = answer[:1].upper() + answer[1:]
    return answer + ("." if english or language == "en" else "。")


@functools.cache
def statements(fact: Fact, language: str) -> tuple[str, ...]:
    """The sentences that state `fact`."""
    start = "^" if language == "en" else ""
    return tuple(fact.words(start + template, language) for template in fact.relation.wording[language].say)


@functools.cache
def accepted(fact: Fact, language: str) -> tuple[str, ...]:
    """Other right replies: the other forms in the table, each also as a phrase ("10 legs"), and whole sentences."""
    wording = fact.relation.wording[language]
    found = list(fact.objects[language])
    for answer in fact.objects[language]:
        fields = {**fact.fields[language], "o": answer}
        if language == "en":
            fields["ao"] = ("an " if answer[:1].lower() in "aeiou" else "a ") + answer
        found += [form.format_map(fields) for form in wording.accept]
    return (*found, *statements(fact, language))


def fact_example(fact: Fact, language: str, question: str, split: str = "train", subject: str = "") -> Example:
    messages = ({"role": "user", "content": question},)
    name = subject or fact.relation.subject
    return Example(
        name, language, messages, reply(fact, language), fact.answer(language), accepted(fact, language), split
    )


def training_question(fact: Fact, language: str, rng: random.Random) -> str:
    """One of the wordings in which training may ask for `fact`."""
    known = questions(fact, language)
    return pick(rng, known.plain if rng.random() < PLAIN_SHARE else known.train)


def train_on(facts: Callable[[str], tuple[Fact, ...]]) -> Callable[[random.Random, str], Example]:
    def train(rng: random.Random, language: str) -> Example:
        fact = pick(rng, facts(language))
        return fact_example(fact, language, training_question(fact, language, rng))

    return train


def exam_on(
    facts: Callable[[str], tuple[Fact, ...]], side: str, name: str = ""
) -> Callable[[random.Random, str, int], list[Example]]:
    """The exam's items from one side of the questions, taking the relations in turn."""

    def exam(rng: random.Random, language: str, count: int) -> list[Example]:
        by_relation: dict[str, list[tuple[Fact, str]]] = {}
        for fact in facts(language):
            asked = getattr(questions(fact, language), side)
            by_relation.setdefault(fact.relation.name, []).extend((fact, question) for question in asked)
        piles = list(by_relation.values())
        for pile in piles:
            rng.shuffle(pile)
        rng.shuffle(piles)
        items: list[Example] = []
        while len(items) < count:
            piles = [pile for pile in piles if pile]
            if not piles:
                raise ValueError(f"{name or side} has fewer than {count} exam items in {language!r}")
            for fact, question in [pile.pop() for pile in piles[: count - len(items)]]:
                items.append(fact_example(fact, language, question, side, name))
        return items

    return exam


def _some(rng: random.Random, known: tuple[Fact, ...], low: int, high: int) -> list[Fact]:
    return [pick(rng, known) for _ in range(between(rng, low, high))]


def _stated(rng: random.Random, facts: Iterable[Fact], language: str) -> list[str]:
    return [pick(rng, statements(fact, language)) for fact in facts]


def _about(fact: Fact, language: str, rng: random.Random) -> list[Fact]:
    """Up to four facts about the same thing, or about four of the same relation where nothing else is known of it."""
    group = facts_about(language).get((fact.relation.table, fact.key), ())
    if len(group) > 1:
        return rng.sample(group, min(4, len(group)))
    return [fact, *_some(rng, facts_in(fact.relation.name, language), 1, 3)]


def _question_lines(rng: random.Random, facts: Iterable[Fact], language: str) -> str:
    return "\n".join(training_question(fact, language, rng) + GAP[language] + reply(fact, language) for fact in facts)


def _pair_lines(rng: random.Random, facts: Iterable[Fact]) -> str:
    """Each fact in both languages, the same one first."""
    order = LANGUAGES if rng.random() < 0.5 else LANGUAGES[::-1]
    return "\n".join(" ".join(pick(rng, statements(fact, spoken)) for spoken in order) for fact in facts)


def _story(fact: Fact, language: str, rng: random.Random) -> str:
    """Somebody comes upon the thing that `fact` is about, and more is told of it."""
    person = pick(rng, pairs("persons"))[SIDE[language]]
    opening = pick(rng, read_toml("stories")[fact.relation.table][language]).replace("{p}", person)
    others = [one for one in _about(fact, language, rng) if one is not fact]
    return GAP[language].join([fact.words("^" + opening, language), *_stated(rng, (fact, *others[:2]), language)])


def fact_text(facts: Callable[[str], tuple[Fact, ...]]) -> Callable[[random.Random, str], str]:
    """Documents that state facts: questions and answers, in two languages, as a story, about one thing and others."""

    def text(rng: random.Random, language: str) -> str:
        known = facts(language)
        fact = pick(rng, known)
        kind = rng.random()
        if kind < QUESTIONS:
            return _question_lines(rng, (fact, *_some(rng, known, 1, 3)), language)
        if kind < QUESTIONS + PAIRS and len(fact.languages) == 2:
            return _pair_lines(rng, (fact, *(one for one in _some(rng, known, 1, 2) if len(one.languages) == 2)))
        if kind < QUESTIONS + PAIRS + STORIES and fact.relation.table in read_toml("stories"):
            return _story(fact, language, rng)
        told = (*_about(fact, language, rng), *_some(rng, known, 0, 2))
        return GAP[language].join(_stated(rng, told, language))

    return text


def _subject(name: str) -> Subject:
    facts = functools.partial(facts_of, name)
    weight = sum(len(facts(language)) for language in LANGUAGES) / 100
    return Subject(name, train_on(facts), fact_text(facts), exam_on(facts, "combination"), weight)


@functools.cache
def knowledge_subjects() -> tuple[Subject, ...]:
    """The subjects of facts, weighted by how many facts they hold, and `rephrased`, which only the exam asks."""
    exam = exam_on(curriculum_facts, "phrasing", "rephrased")
    rephrased = Subject("rephrased", train_on(curriculum_facts), fact_text(curriculum_facts), exam, 0.0)
    return (*map(_subject, KNOWLEDGE), rephrased)


def lesson_subject() -> Subject:
    """The small domain apart, for adapters."""
    return _subject(LESSONS)
