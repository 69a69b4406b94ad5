"""How a question about a fact may be worded: frames x names of the thing asked for, and which wordings are held out.

Wordings are composed: a frame ("Tell me {n}.") around one of the relation's noun phrases ("the capital of {s}"), or a
shorter frame ("Hello! {ask}") around one of its whole questions. Two things are kept for the exam:

- phrasings: for each relation and language one whole frame and a few single combinations never occur in training, for any
  fact; their parts do, the frame with other relations and the noun phrase in other frames;
- combinations: a tenth of all (fact, phrasing) pairs of the phrasings that training does use.

A wording may hold another one inside ("Hello! What is ...?" holds "What is ...?"); it then inherits what is held out.
"""

import functools
import random
from dataclasses import dataclass

from minimind.data.primer.facts import Fact, Relation, relations
from minimind.data.primer.subject import held_out, normalise

# {n} a noun phrase, {what} question words, {ask} a whole question; ^ makes a capital. The first frame is the plain one.
NOUN_FRAMES = {
    "en": (
        "^{what} {n}?", "^{n}?", "Tell me {n}.", "Do you know {n}?", "I want to know {n}.", "Please give {n}.",
        "Can you tell me {n}?", "Say {n}.", "Hello! ^{what} {n}?", "Let me ask you: {what} {n}?", "^{what} {n}, please?",
        "Fill in: {n} is ___.", "I would like to know {n}.", "Can you give {n}?", "Do you remember {n}?",
    ),
    "zh": (
        "{n}{what}？", "{n}？", "请问{n}{what}？", "你知道{n}{what}吗？", "告诉我{n}{what}。", "请告诉我{n}。", "我想知道{n}{what}。",
        "请说出{n}。", "填空：{n}是___。", "你好！{n}{what}？", "能说说{n}吗？", "我想问一下，{n}{what}？", "你知道{n}吗？", "请回答：{n}{what}？",
        "还记得{n}吗？",
    ),
}  # fmt: skip
ASK_FRAMES = {
    "en": ("^{ask}", "Hello! ^{ask}", "Tell me: {ask}", "Let me ask you: {ask}", "Do you know? ^{ask}", "Please answer: {ask}"),
    "zh": ("{ask}", "请问{ask}", "你好！{ask}", "我想问一下，{ask}", "你知道吗？{ask}", "请回答：{ask}"),
}
BARE = {"en": "^{n}?", "zh": "{n}？"}  # part of every wording, so it cannot be held out
HELD_COMBINATIONS = 2  # single frame x noun phrase combinations held out, beside one whole frame and one question
HELD_SHARE = 0.1  # of the (fact, phrasing) pairs

_DUMMY = {"s": "qzx", "a": "a qzx", "own": "qzx's", "aown": "a qzx's", "unit": "uvw"}


@dataclass(frozen=True, eq=False)
class Phrasing:
    """One wording of a question. held: no fact is asked so in training; inside: the wordings it contains, itself included."""

    template: str
    held: bool
    plain: bool
    inside: tuple[str, ...]


def _lower(text: str) -> str:
    return text if text.startswith("{") else text[:1].lower() + text[1:]


def _compose(relation: Relation, language: str) -> list[tuple[str, str, str]]:
    """(frame, part, template) of every wording; the part is the noun phrase or the question inside the frame."""
    wording = relation.wording[language]
    rows = []
    for frame in NOUN_FRAMES[language]:
        for index, noun in enumerate(wording.noun):
            plain = frame == NOUN_FRAMES[language][0]
            # Only the plain frame takes all question words: elsewhere they take turns.
            whats = wording.what if plain else (wording.what[(index + len(frame)) % len(wording.what)],)
            for what in whats if "{what}" in frame else ("",):
                template = frame.replace("{n}", noun).replace("{what}", _lower(what))
                rows.append((frame, noun, template))
    for frame in ASK_FRAMES[language]:
        rows += [(frame, ask, frame.replace("{ask}", _lower(ask))) for ask in wording.ask]
    return rows


def _choose_held(rows: list[tuple[str, str, str]], inside: dict[str, tuple[str, ...]], relation: str, language: str) -> set[str]:
    """The templates kept for the exam: only wordings that no other wording contains, so that training keeps the basic ones."""
    rng = random.Random(f"phrasings of {relation} in {language}")
    contained = {part for template, parts in inside.items() for part in parts if part != template}
    leaves = [row for row in rows if row[2] not in contained and row[0] != BARE[language]]
    asks = [row for row in leaves if row[0] in ASK_FRAMES[language]]
    nouns = [row for row in leaves if row[0] in NOUN_FRAMES[language]]
    whole = rng.choice(sorted({frame for frame, _, _ in nouns}))
    rest = [row for row in nouns if row[0] != whole]
    held = [row for row in nouns if row[0] == whole] + rng.sample(rest, HELD_COMBINATIONS) + rng.sample(asks, min(1, len(asks)))
    return {template for _, _, template in held}


@functools.cache
def phrasings(relation_name: str, language: str) -> tuple[Phrasing, ...]:
    """All wordings of a relation in a language."""
    relation = relations()[relation_name]
    rows = _compose(relation, language)
    templates = list(dict.fromkeys(template for _, _, template in rows))
    shape = {template: normalise(template.replace("^", "").format_map(_DUMMY)) for template in templates}
    inside = {template: tuple(part for part in templates if shape[part] in shape[template]) for template in templates}
    held = _choose_held(rows, inside, relation_name, language)
    plain = {template for frame, _, template in rows if frame in (NOUN_FRAMES[language][0], ASK_FRAMES[language][0])}
    return tuple(
        Phrasing(template, not held.isdisjoint(inside[template]), template in plain, inside[template]) for template in templates
    )


def combination_key(fact: Fact, template: str) -> tuple:
    """What is held out of a training phrasing: this fact asked in it."""
    return ("fact", fact.relation.name, fact.key, template)


@dataclass(frozen=True)
class Questions:
    """The questions for one fact in one language, by side."""

    train: tuple[str, ...]
    plain: tuple[str, ...]
    combination: tuple[str, ...]
    phrasing: tuple[str, ...]


@functools.cache
def questions(fact: Fact, language: str) -> Questions:
    """Every wording of the question for `fact`, each on its side for ever."""
    bare = {BARE[language].replace("{n}", noun) for noun in fact.relation.wording[language].noun}
    known = phrasings(fact.relation.name, language)
    kept = {p.template for p in known if p.template not in bare and held_out(*combination_key(fact, p.template), share=HELD_SHARE)}
    train, plain, combination, unseen = [], [], [], []
    for phrasing in known:
        text = fact.words(phrasing.template, language)
        if phrasing.held:
            unseen.append(text)
        elif phrasing.template in kept:
            combination.append(text)
        elif kept.isdisjoint(phrasing.inside):
            train.append(text)
            if phrasing.plain:
                plain.append(text)
    return Questions(tuple(train), tuple(plain or train), tuple(combination), tuple(unseen))
