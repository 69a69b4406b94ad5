"""Questions for reinforcement learning: those a pupil gets right about half of the time, each with an answer to verify.

After fine-tuning the work is known but slips; a group of replies to one question then holds right and wrong ones, which
is what a group's advantage needs. All are drawn from the training side.
"""

import random
from collections.abc import Iterator
from functools import cache

from minimind.data.primer.read import pick
from minimind.data.primer.skills import SKILLS
from minimind.data.primer.subject import LANGUAGES, Example

# Subject: its share of the prompts.
SHARES = {"word_problems": 4, "arithmetic": 2, "sorting": 2, "dates": 2}


@cache
def _drawn() -> tuple:
    named = {subject.name: subject for subject in SKILLS}
    return tuple(named[name] for name, share in SHARES.items() for _ in range(share))


def rl_example(rng: random.Random, language: str) -> Example:
    """A question worked in steps, from the training side."""
    while True:
        example = pick(rng, _drawn()).train(rng, language)
        if "<answer>" in example.response:
            return example


def rl_prompt(rng: random.Random, language: str) -> dict:
    """A question as {"conversations": [user's message], "answer": ..., "subject": ...}."""
    example = rl_example(rng, language)
    return {"conversations": list(example.messages), "answer": example.answer, "subject": example.subject}


def rl_prompts(seed: int) -> Iterator[dict]:
    """Prompts in both languages, for ever."""
    rng = random.Random(f"prompts {seed}")
    while True:
        yield rl_prompt(rng, pick(rng, LANGUAGES))
