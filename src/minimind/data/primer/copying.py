"""Copying and looking up: drills for pretraining that carry no knowledge and no exam.

Nearly every subject needs a model that can find what was said before and say it again: the digits of a sum, the name in
a question, a city in a tool call. Lists of unrelated things that are repeated, and tables of pairs that are asked back,
teach just that: every token of the second half can be known from the first and from nothing else.
"""

import random
from functools import cache

from minimind.data.primer.read import between, pick
from minimind.data.primer.wording import SIDE, pairs

LISTS = ("persons", "animals", "colours", "foods", "cities", "sports")


@cache
def things(language: str) -> tuple[str, ...]:
    """Names and words of the closed lists."""
    return tuple(dict.fromkeys(pair[SIDE[language]] for name in LISTS for pair in pairs(name)))


def _item(rng: random.Random, language: str) -> str:
    """A thing, or a number of two or three digits between things."""
    if rng.random() < 0.4:
        return str(between(rng, 10, 999))
    return pick(rng, things(language))


def repeated(rng: random.Random, language: str) -> str:
    """A list, said three times. A number never follows a number, so no list of numbers arises."""
    items = [_item(rng, language) for _ in range(between(rng, 4, 9))]
    for at in range(1, len(items)):
        if items[at].isdigit() and items[at - 1].isdigit():
            items[at] = pick(rng, things(language))
    line = " ".join(items)
    return "\n".join([line] * 3)


def looked_up(rng: random.Random, language: str) -> str:
    """Pairs, and then some of them asked back by either half."""
    chosen = rng.sample(things(language), 2 * between(rng, 3, 6))
    told = list(zip(chosen[::2], chosen[1::2], strict=True))
    asked = rng.sample(told, len(told))
    lines = [f"{left}: {right}" for left, right in told]
    lines += [f"{left}? {right}" if rng.random() < 0.7 else f"{right}? {left}" for left, right in asked]
    return "\n".join(lines)


def text_copying(rng: random.Random, language: str) -> str:
    """One drill."""
    return repeated(rng, language) if rng.random() < 0.5 else looked_up(rng, language)
