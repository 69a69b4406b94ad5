"""What comes next: numbers that rise or fall by a fixed step, and patterns of words.

A number sequence is worked by writing its step once and then taking it: for 43,47,51,55 `43+4=47`, `5+4=9`, `55+4=59`.
The ones of the first two numbers give the step. Nothing in training continues a held-out sequence: texts show no more
than four numbers and the next, except counting by one and by ten, which is never asked. Such a line is a sorted list,
too, and must not be one that the sorting exam holds out.
"""

import random

from minimind.data.primer.arithmetic import quick
from minimind.data.primer.read import pick
from minimind.data.primer.skill import Draft, ask, draw_free, plain, short, subject, worked
from minimind.data.primer.sorting import list_key
from minimind.data.primer.wording import SIDE, pairs, wording

SHOWN = 4
# The places of the first and second (and third) word in each pattern; one more place is the answer.
PATTERNS = {
    "ABAB": (0, 1, 0, 1, 0),
    "AABAA": (0, 0, 1, 0, 0, 1),
    "ABBAB": (0, 1, 1, 0, 1, 1),
    "ABCABC": (0, 1, 2, 0, 1, 2),
}


def _numbers(rng: random.Random, language: str) -> Draft:
    step = rng.randrange(2, 10)
    first = rng.randrange(1, 60)
    op = pick(rng, "+-")
    if op == "-":
        first += SHOWN * step
    terms = [first + (step if op == "+" else -step) * place for place in range(SHOWN + 1)]
    question = pick(rng, wording()["sequences"][language]).format(n=",".join(map(str, terms[:SHOWN])))
    answer = str(terms[-1])
    steps = [f"{terms[0]}{op}{step}={terms[1]}", *quick(op, terms[-2], step)]
    keys = (("sequences", op, first, step), list_key(terms), list_key(terms[:SHOWN]))
    return Draft(keys, ask(question), worked(steps, answer), answer)


def _pattern(rng: random.Random, language: str) -> Draft:
    name = pick(rng, tuple(PATTERNS))
    kind = pick(rng, ("colours", "animals"))
    indices = rng.sample(range(len(pairs(kind))), 3)[: max(PATTERNS[name]) + 1]
    words = [pairs(kind)[indices[place]][SIDE[language]] for place in PATTERNS[name]]
    question = pick(rng, wording()["patterns"][language]).format(n=",".join(words[:-1]))
    return Draft((("patterns", name, kind, *indices),), ask(question), short(words[-1], language), words[-1])


def make_sequences(rng: random.Random, language: str) -> Draft:
    """A sequence of numbers; one time in four a pattern of words."""
    return (_pattern if rng.random() < 0.25 else _numbers)(rng, language)


def text_sequences(rng: random.Random, language: str) -> str:
    """Counting, short sequences with their step, and whole questions."""
    kind = rng.random()
    if kind < 0.3:
        step = pick(rng, (1, 1, 10))
        first = rng.randrange(0, 90) if step == 1 else rng.randrange(10)
        terms = [first + step * place for place in range(10)]
        return ",".join(map(str, terms if rng.random() < 0.6 else reversed(terms)))
    draft = draw_free(make_sequences if kind < 0.6 else _numbers, rng, language)
    return plain(draft)


SEQUENCES = subject("sequences", make_sequences, text_sequences, "numbers", 0.8)
