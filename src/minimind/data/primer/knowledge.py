"""The subjects made of facts: geography, science, nature, culture, words, translation, calendar and units.

Training asks each fact in every wording of its training side and states it in prose. The exam asks it in the combinations
of fact and wording that are held out; the subject `rephrased` asks all facts in wordings that never occur in training.
"""

import functools
import random
from collections.abc import Callable

from minimind.data.primer.facts import LESSONS, Fact, curriculum_facts, facts_about, facts_of
from minimind.data.primer.phrasing import questions
from minimind.data.primer.subject import Example, Subject
from minimind.data.primer.wording import SIDE, pairs

KNOWLEDGE = ("geography", "science", "nature", "culture", "words", "translation", "calendar_units")
PLAIN_SHARE = 0.35  # of the questions are asked in the plainest wording, which people use most

# How a little story comes to speak of a thing, by the table that the thing stands in: {p} a person.
OPENINGS = {
    "countries": {"en": ("{p} lives in {s}.", "{p} is going to {s}.", "{p} comes from {s}."), "zh": ("{p}住在{s}。", "{p}要去{s}。", "{p}来自{s}。")},
    "landmarks": {"en": ("{p} visits {s}.",), "zh": ("{p}参观了{s}。",)},
    "animals": {"en": ("{p} sees {a}.", "{p} draws {a}."), "zh": ("{p}看见了{s}。", "{p}画了{s}。")},
    "elements": {"en": ("{p} learns about {s}.",), "zh": ("{p}在学习{s}元素。",)},
    "plants": {"en": ("{p} grows {s} in the garden.",), "zh": ("{p}种了{s}。",)},
    "works": {"en": ("{p} reads {s}.",), "zh": ("{p}在读{s}。",)},
    "dynasties": {"en": ("{p} reads about {s}.",), "zh": ("{p}在读{s}的历史。",)},
    "festivals": {"en": ("{p} is happy because {s} is near.",), "zh": ("{p}在等{s}。",)},
    "months": {"en": ("{p} was born in {s}.",), "zh": ("{p}在{s}出生。",)},
    "weekdays": {"en": ("Today is {s}, says {p}.",), "zh": ("{p}说，今天是{s}。",)},
}  # fmt: skip


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
    return Example(name, language, messages, reply(fact, language), fact.answer(language), accepted(fact, language), split)


def training_question(fact: Fact, language: str, rng: random.Random) -> str:
    """One of the wordings in which training may ask for `fact`."""
    known = questions(fact, language)
    return rng.choice(known.plain if rng.random() < PLAIN_SHARE else known.train)


def train_on(facts: Callable[[str], tuple[Fact, ...]]) -> Callable[[random.Random, str], Example]:
    def train(rng: random.Random, language: str) -> Example:
        fact = rng.choice(facts(language))
        return fact_example(fact, language, training_question(fact, language, rng))

    return train


def exam_on(facts: Callable[[str], tuple[Fact, ...]], side: str, name: str = "") -> Callable[[random.Random, str, int], list[Example]]:
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
            items += [fact_example(*_swapped(pile.pop(), language), split=side, subject=name) for pile in piles[: count - len(items)]]
        return items

    return exam


def _swapped(pair: tuple[Fact, str], language: str) -> tuple[Fact, str, str]:
    return pair[0], language, pair[1]


def _question_lines(fact: Fact, language: str, rng: random.Random) -> str:
    gap = " " if language == "en" else ""
    return training_question(fact, language, rng) + gap + reply(fact, language)


def _about(fact: Fact, language: str, rng: random.Random) -> list[str]:
    """Up to four statements about the subject of `fact`, or about three facts of its relation where it has no others."""
    group = facts_about(language).get((fact.relation.table, fact.key), (fact,))
    if len(group) == 1:
        others = facts_of(fact.relation.subject, language)
        group = (fact, *(other for other in rng.choices(others, k=12) if other.relation is fact.relation and other is not fact))[:4]
    else:
        group = tuple(rng.sample(group, min(4, len(group))))
    return [rng.choice(statements(one, language)) for one in group]


def fact_text(facts: Callable[[str], tuple[Fact, ...]]) -> Callable[[random.Random, str], str]:
    """Documents that state facts: about one thing, several of a kind, in two languages, as a story, as questions and answers."""

    def text(rng: random.Random, language: str) -> str:
        known = facts(language)
        fact = rng.choice(known)
        gap = " " if language == "en" else ""
        kind = rng.random()
        if kind < 0.45:
            lines = [_question_lines(one, language, rng) for one in (fact, *rng.choices(known, k=rng.randrange(1, 4)))]
            return "\n".join(lines)
        if kind < 0.6 and len(fact.languages) == 2:
            told = [fact, *(one for one in rng.choices(known, k=2) if len(one.languages) == 2)]
            order = ("zh", "en") if rng.random() < 0.5 else ("en", "zh")
            return "\n".join(" ".join(rng.choice(statements(one, spoken)) for spoken in order) for one in told)
        lines = _about(fact, language, rng)
        if kind < 0.8 and fact.relation.table in OPENINGS:
            person = rng.choice(pairs("persons"))[SIDE[language]]
            opening = rng.choice(OPENINGS[fact.relation.table][language]).replace("{p}", person)
            own = rng.choice(statements(fact, language))
            lines = [fact.words(opening, language), own, *(line for line in lines if line != own)]
        else:
            lines += [rng.choice(statements(one, language)) for one in rng.choices(known, k=rng.randrange(0, 3))]
        return gap.join(lines)

    return text


def _subject(name: str) -> Subject:
    facts = functools.partial(facts_of, name)
    weight = sum(len(facts(language)) for language in ("zh", "en")) / 100
    return Subject(name, train_on(facts), fact_text(facts), exam_on(facts, "combination"), weight)


@functools.cache
def knowledge_subjects() -> tuple[Subject, ...]:
    """The subjects of facts, weighted by how many facts they hold, and `rephrased`, which only the exam asks."""
    rephrased = Subject(
        "rephrased", train_on(curriculum_facts), fact_text(curriculum_facts), exam_on(curriculum_facts, "phrasing", "rephrased"), 0.0
    )
    return (*map(_subject, KNOWLEDGE), rephrased)


def lesson_subject() -> Subject:
    """The small domain apart, for adapters."""
    return _subject(LESSONS)
