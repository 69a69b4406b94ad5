"""Words taken apart: English by letters, Chinese by characters.

A tokenizer hides the letters of a word, so the spelling of every word of a closed list is told in pretraining, with the
place of each letter: `"cat": 1c2a3t`. Counting, reversing and finding a letter begin with this line; reversing then
reads it from the end. Held out is the task for the word: one may be spelled everywhere and never be reversed.
"""

import random
from functools import cache

from minimind.data.primer.read import pick
from minimind.data.primer.skill import Draft, ask, draw_free, plain, subject, worked
from minimind.data.primer.subject import held_out
from minimind.data.primer.wording import wording

QUOTES = {"zh": "“{}”", "en": '"{}"'}
PLACES = {"first": 0, "second": 1, "third": 2, "last": -1}


@cache
def spelling_words(language: str) -> tuple[str, ...]:
    """The closed list of words whose spelling is taught."""
    return tuple(wording()["spelling"][language].split())


@cache
def tasks(language: str) -> tuple[str, ...]:
    """What can be asked of a word."""
    return tuple(wording()["letters"][language])


def letters_key(word: str, task: str) -> tuple:
    """The key of a task for a word."""
    return ("letters", word, task)


def numbered(word: str) -> str:
    """The letters, each after its place: 1c2a3t."""
    return "".join(f"{place}{letter}" for place, letter in enumerate(word, start=1))


def numbered_backwards(word: str) -> str:
    """The same from the end: 3t2a1c."""
    return "".join(f"{place}{word[place - 1]}" for place in range(len(word), 0, -1))


def make_letters(rng: random.Random, language: str) -> Draft:
    """A word of the list and a task for it."""
    word, task = pick(rng, spelling_words(language)), pick(rng, tasks(language))
    if task == "third" and len(word) < 3:
        task = "second"
    question = ask(pick(rng, wording()["letters"][language][task]).format(w=word))
    keys = (letters_key(word, task),)
    if task == "spell":
        return Draft(keys, question, "-".join(word), "-".join(word), (" ".join(word), ",".join(word), "、".join(word)))
    steps = [numbered(word)]
    accept: tuple[str, ...] = ()
    if task == "count":
        answer = str(len(word))
        accept = (f"{answer}个字", f"{answer}个", f"{answer} letters")
    elif task == "reverse":
        steps.append(numbered_backwards(word))
        answer = "-".join(reversed(word))
        accept = (word[::-1], " ".join(reversed(word)))
    else:
        answer = word[PLACES[task]]
    return Draft(keys, question, worked(steps, answer), answer, accept)


def _free(word: str, task: str) -> bool:
    return not held_out(*letters_key(word, task))


def text_letters(rng: random.Random, language: str) -> str:
    """Words with their spelling, forwards and backwards, and whole questions."""
    kind = rng.random()
    if kind < 0.25:
        return plain(draw_free(make_letters, rng, language))
    if kind < 0.35:
        string = "".join(pick(rng, "abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randrange(3, 8)))
        spelled = "-".join(string)
        return f"{spelled}\n{numbered(string)}\n{numbered_backwards(string)}\n{'-'.join(reversed(string))}"
    lines = []
    for word in rng.sample(spelling_words(language), 4):
        line = f"{QUOTES[language].format(word)}: {numbered(word)}"
        if kind < 0.6 and _free(word, "spell"):
            line += f" {'-'.join(word)}"
        elif kind > 0.8 and _free(word, "reverse"):
            line += f" {numbered_backwards(word)}"
        lines.append(line)
    return "\n".join(lines)


LETTERS = subject("letters", make_letters, text_letters, "combination", 1.0)
