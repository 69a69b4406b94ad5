"""What nobody can know from the tables, and the reply to it: "I don't know."

Two kinds: known questions about made-up things ("the capital of Zomalk"), and private or future matters. A made-up
name, or the words that fill a private question, are wholly on one side of the exam. The words stand in
`tables/unknown.toml`.
"""

import functools
import random

from minimind.data.primer.facts import facts, relations
from minimind.data.primer.phrasing import phrasings
from minimind.data.primer.read import GAP, between, capitals, pick, possessive, read_toml, with_article
from minimind.data.primer.subject import Example, Subject, held_out

MADE_UP_SHARE = 0.5  # of the questions ask for made-up things


@functools.cache
def _known_names(language: str) -> frozenset[str]:
    return frozenset(fact.fields[language]["s"].casefold() for fact in facts() if language in fact.languages)


@functools.cache
def _wordings(relation: str, language: str) -> tuple[str, ...]:
    return tuple(phrasing.template for phrasing in phrasings(relation, language) if not phrasing.held)


def _made_up(rng: random.Random, language: str) -> tuple[tuple, str]:
    """(key, question): a made-up name in a known question."""
    while True:
        # Chinese has no gaps between words: names of one length cannot stand inside each other.
        length = 3 if language == "zh" else between(rng, 2, 3)
        name = "".join(rng.choices(read_toml("unknown")[language]["syllables"], k=length))
        if name not in _known_names(language):
            break
    relation = pick(rng, read_toml("unknown")["asked"])
    shown = name if relations()[relation].table in ("animals", "elements") else name.capitalize()
    article = with_article(shown)
    fields = {"s": shown, "a": article, "own": possessive(shown), "aown": possessive(article)}
    return ("unknown", name), capitals(pick(rng, _wordings(relation, language)).format_map(fields))


def _private(rng: random.Random, language: str) -> tuple[tuple, str]:
    """(key, question): a private or future matter."""
    words = read_toml("unknown")[language]
    filled = pick(rng, words["private"]).format_map(
        {slot: pick(rng, fillers) for slot, fillers in words["slots"].items()}
    )
    return ("unknown", filled), filled[0].upper() + filled[1:]


def _draw(rng: random.Random, language: str, held: bool) -> str:
    while True:
        key, question = (_made_up if rng.random() < MADE_UP_SHARE else _private)(rng, language)
        if held_out(*key) == held:
            return question


def _example(question: str, language: str, split: str) -> Example:
    messages = ({"role": "user", "content": question},)
    reply, accept = read_toml("unknown")[language]["reply"], read_toml("unknown")[language]["accept"]
    return Example("unknown", language, messages, reply, reply, tuple(accept), split)


def train(rng: random.Random, language: str) -> Example:
    """A question without an answer."""
    return _example(_draw(rng, language, held=False), language, "train")


def text(rng: random.Random, language: str) -> str:
    """Two or three such questions with the reply, a line each."""
    reply = GAP[language] + read_toml("unknown")[language]["reply"]
    return "\n".join(_draw(rng, language, held=False) + reply for _ in range(between(rng, 2, 3)))


def exam(rng: random.Random, language: str, count: int) -> list[Example]:
    """Made-up names and private questions that training never asks about."""
    asked: dict[str, None] = {}
    while len(asked) < count:
        asked[_draw(rng, language, held=True)] = None
    return [_example(question, language, "strings") for question in asked]


UNKNOWN = Subject("unknown", train, text, exam, 0.8)
