"""Reading: two or three sentences about made-up persons, and a question that one of them answers.

A thing told of a person (Tom keeps a dog) is held out in every text and language; the exam asks for such things only.
"""

import random

from minimind.data.primer.read import pick
from minimind.data.primer.skill import Draft, ask, draw_free, is_free, short, subject
from minimind.data.primer.wording import SIDE, pairs, wording

JOIN = {"zh": "", "en": " "}


def told_key(relation: str, person: int, value: int) -> tuple:
    """The key of a thing told: relation, and the places of person and value in their lists."""
    return ("reading", relation, person, value)


def distinct(rng: random.Random, size: int, count: int) -> list[int]:
    """`count` different numbers below `size`; faster than rng.sample for so few."""
    found: list[int] = []
    while len(found) < count:
        number = int(rng.random() * size)
        if number not in found:
            found.append(number)
    return found


def _relations() -> dict:
    return wording()["reading"]


def _told(rng: random.Random, count: int) -> list[tuple[str, int, int]]:
    """Things told of different persons: all of one kind with different values, or each of another kind."""
    relations = tuple(_relations())
    kinds = [pick(rng, relations)] * count if rng.random() < 0.6 else rng.sample(relations, count)
    persons = distinct(rng, len(pairs("persons")), count)
    if len(set(kinds)) == 1:
        values = distinct(rng, len(pairs(_relations()[kinds[0]]["list"])), count)
    else:
        values = [int(rng.random() * len(pairs(_relations()[kind]["list"]))) for kind in kinds]
    return list(zip(kinds, persons, values, strict=True))


def _names(fact: tuple[str, int, int], language: str) -> dict[str, str]:
    relation, person, value = fact
    side = SIDE[language]
    return {"p": pairs("persons")[person][side], "v": pairs(_relations()[relation]["list"])[value][side]}


def make_reading(rng: random.Random, language: str) -> Draft:
    """A passage and a question for a thing or for a person."""
    told = _told(rng, pick(rng, (2, 2, 2, 3)))
    sentences = [pick(rng, _relations()[fact[0]][language]["say"]).format(**_names(fact, language)) for fact in told]
    asked = pick(rng, told)
    names, forward = _names(asked, language), rng.random() < 0.5
    question = pick(rng, _relations()[asked[0]][language]["ask" if forward else "who"]).format(**names)
    answer = names["v" if forward else "p"]
    frame = pick(rng, wording()["frames"][language])
    told.remove(asked)
    keys = tuple(told_key(*fact) for fact in (asked, *told))
    messages = ask(frame.format(story=JOIN[language].join(sentences), question=question))
    return Draft(keys, messages, short(answer, language), answer, (f"{answer}岁",) if language == "zh" else ())


def text_reading(rng: random.Random, language: str) -> str:
    """A small story told from one end and then from the other; or a passage with its question."""
    if rng.random() < 0.4:
        draft = draw_free(make_reading, rng, language)
        return f"{draft.messages[0]['content']}\n{draft.response}"
    told = _told(rng, pick(rng, (2, 3)))
    while not is_free(tuple(told_key(*fact) for fact in told)):
        told = _told(rng, len(told))
    words = [(_relations()[fact[0]][language], _names(fact, language)) for fact in told]
    sentences = [pick(rng, form["say"]).format(**names) for form, names in words]
    rng.shuffle(words)
    sentences += [pick(rng, form["back"]).format(**names) for form, names in words]
    return JOIN[language].join(sentences)


READING = subject("reading", make_reading, text_reading, "combination", 1.2)
