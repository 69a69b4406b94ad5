"""Problems in words that take two steps; each step is a table with the ones worked beforehand.

Tom has 47 apples, gets 8 more and gives 6 to Mia: `7+8=15`, `47+8=55`, `15-6=9`, `55-6=49`. Three numbers and a kind of
problem are held out together, whatever the persons, the things and the language.
"""

import random
from collections.abc import Callable

from minimind.data.primer.arithmetic import apply, quick
from minimind.data.primer.read import pick
from minimind.data.primer.skill import Draft, ask, draw_free, plain, subject, worked
from minimind.data.primer.wording import SIDE, pairs, wording

Numbers = tuple[int, int, int]


def _ones(rng: random.Random) -> int:
    return rng.randrange(2, 10)


def _three(rng: random.Random) -> Numbers:
    """A larger number and two small ones that can both be taken from it."""
    return rng.randrange(20, 80), _ones(rng), _ones(rng)


def _small(rng: random.Random) -> Numbers:
    return _ones(rng), _ones(rng), 0


# Kind: how the numbers are drawn, first operation, second operation. The second takes c, or a again in "more_than".
KINDS: dict[str, tuple[Callable[[random.Random], Numbers], str, str]] = {
    "gain_lose": (_three, "+", "-"),
    "lose_gain": (_three, "-", "+"),
    "lose_lose": (_three, "-", "-"),
    "gain_gain": (_three, "+", "+"),
    "more_than": (_small, "+", "+"),
}


def solve(kind: str, a: int, b: int, c: int) -> tuple[list[str], int]:
    """The worked steps of a problem and its answer."""
    _, first, second = KINDS[kind]
    between = apply(first, a, b)
    last = a if kind == "more_than" else c
    return quick(first, a, b) + quick(second, between, last), apply(second, between, last)


def make_word_problem(rng: random.Random, language: str) -> Draft:
    """A little story with three numbers, the third of which is the first again in "more_than"."""
    kind = pick(rng, tuple(KINDS))
    a, b, c = KINDS[kind][0](rng)
    steps, answer = solve(kind, a, b, c)
    p, q = (person[SIDE[language]] for person in rng.sample(pairs("persons"), 2))
    thing = pick(rng, pairs("things"))[SIDE[language]]
    words = {"a": a, "b": b, "c": c, "p": p, "q": q, "t": thing, "m": thing[0]}
    question = pick(rng, wording()["word_problems"][language][kind]).format(**words)
    return Draft((("word_problem", kind, a, b, c),), ask(question), worked(steps, str(answer)), str(answer))


def text_word_problem(rng: random.Random, language: str) -> str:
    """Problems with their work, and the small steps they need."""
    if rng.random() < 0.4:
        lines = []
        for _ in range(3):
            lines += quick(pick(rng, "+-"), rng.randrange(20, 80), _ones(rng))
        return "\n".join(lines)
    return plain(draw_free(make_word_problem, rng, language))


WORD_PROBLEMS = subject("word_problems", make_word_problem, text_word_problem, "numbers", 1.5)
