"""How a question about a fact may be worded: frames x names of the thing asked for, and which are held out.

Wordings are composed: a frame ("Tell me {n}.") around one of the relation's noun phrases ("the capital of {s}"), or a
shorter frame ("Hello! {ask}") around one of its whole questions. Two things are kept for the exam:

- phrasings: for each relation and language one whole frame and a few single combinations never occur in training, for
  any fact; their parts do, the frame with other relations and the noun phrase in other frames;
- combinations: a tenth of all (fact, phrasing) pairs of the phrasings that training does use.

A wording may hold another one inside ("Hello! What is ...?" holds "What is ...?"); it then inherits what is held out.
"""

import functools
import random
from dataclasses import dataclass

from minimind.data.primer.facts import Fact, Relation, relations
from minimind.data.primer.read import read_toml
from minimind.data.primer.subject import held_out, normalise

HELD_COMBINATIONS = 2  # single frame x noun phrase combinations held out, beside one whole frame and one question
HELD_SHARE = 0.1  # of the (fact, phrasing) pairs

_DUMMY = {"s": "qzx", "a": "a qzx", "own": "qzx's", "aown": "a qzx's", "unit": "uvw"}


@dataclass(frozen=True, eq=False)
class Phrasing:
    """One wording of a question. held: training asks no fact so; inside: the wordings it contains, itself included."""

    template: str
    held: bool
    plain: bool
    inside: tuple[str, ...]


def _frames(kind: str, language: str) -> list[str]:
    return read_toml("frames")[kind][language]


def _lower(text: str) -> str:
    return text if text.startswith("{") else text[:1].lower() + text[1:]


def _compose(relation: Relation, language: str) -> list[tuple[str, str]]:
    """(frame, template) of every wording."""
    wording = relation.wording[language]
    rows = []
    plain, *others = _frames("noun", language)
    for index, noun in enumerate(wording.noun):
        rows += [(plain, plain.replace("{n}", noun).replace("{what}", _lower(what))) for what in wording.what]
        for frame in others:
            # Outside the plain frame the question words take turns.
            what = wording.what[(index + len(frame)) % len(wording.what)]
            rows.append((frame, frame.replace("{n}", noun).replace("{what}", _lower(what))))
    for frame in _frames("ask", language):
        rows += [(frame, frame.replace("{ask}", _lower(ask))) for ask in wording.ask]
    return rows


def _choose_held(rows: list[tuple[str, str]], inside: dict[str, tuple[str, ...]], relation: str, language: str) -> set:
    """The templates kept for the exam: none that is plain or stands in another, as training needs the basic ones."""
    rng = random.Random(f"phrasings of {relation} in {language}")
    contained = {part for template, parts in inside.items() for part in parts if part != template}
    basic = (_frames("noun", language)[0], read_toml("frames")["bare"][language], _frames("ask", language)[0])
    leaves = [row for row in rows if row[1] not in contained and row[0] not in basic]
    nouns = [row for row in leaves if row[0] in _frames("noun", language)]
    asks = [row for row in leaves if row[0] in _frames("ask", language)]
    whole = rng.choice(sorted({frame for frame, _ in nouns}))
    held = [row for row in nouns if row[0] == whole]
    held += rng.sample([row for row in nouns if row[0] != whole], HELD_COMBINATIONS)
    held += rng.sample(asks, min(1, len(asks)))
    return {template for _, template in held}


@functools.cache
def phrasings(relation_name: str, language: str) -> tuple[Phrasing, ...]:
    """All wordings of a relation in a language."""
    rows = _compose(relations()[relation_name], language)
    templates = list(dict.fromkeys(template for _, template in rows))
    shape = {template: normalise(template.replace("^", "").format_map(_DUMMY)) for template in templates}
    inside = {template: tuple(part for part in templates if shape[part] in shape[template]) for template in templates}
    held = _choose_held(rows, inside, relation_name, language)
    plain_frames = (_frames("noun", language)[0], _frames("ask", language)[0])
    plain = {template for frame, template in rows if frame in plain_frames}
    return tuple(Phrasing(template, template in held, template in plain, inside[template]) for template in templates)


@functools.cache
def _never_held(relation: Relation, language: str) -> frozenset[str]:
    bare = read_toml("frames")["bare"][language]
    return frozenset(bare.replace("{n}", noun) for noun in relation.wording[language].noun)


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
    known = phrasings(fact.relation.name, language)
    keys = {one.template: combination_key(fact, one.template) for one in known}
    kept = {template for template, key in keys.items() if held_out(*key, share=HELD_SHARE)}
    kept -= _never_held(fact.relation, language)
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
