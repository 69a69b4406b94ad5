"""Rewards that can be computed: a right answer, the right shape, no repetition - and mixtures of them.

reward = Reward("answer=1,format=0.2,repetition=0.1")
reward.score(prompt, reply, answer) -> {"answer": 1.0, "format": 1.5, "repetition": -0.0, "total": 1.3}
"""

from collections.abc import Callable

from minimind.config import UserError
from minimind.rewards.format import format_reward
from minimind.rewards.repetition import repetition_penalty
from minimind.rewards.verify import verify

# A part judges (prompt, reply, right answer or None); more is better.
Part = Callable[[str, str, str | None], float]


def _answer(prompt: str, reply: str, answer: str | None) -> float:
    if answer is None:
        raise UserError("the reward 'answer' needs prompts with an answer; leave it out of the rewards or give answers")
    return verify(reply, answer)


def _format(prompt: str, reply: str, answer: str | None) -> float:
    return format_reward(reply)


def _repetition(prompt: str, reply: str, answer: str | None) -> float:
    return -repetition_penalty(reply)


REWARDS: dict[str, Part] = {"answer": _answer, "format": _format, "repetition": _repetition}


class Reward:
    """A weighted sum of named parts, from a text such as "answer=1,format=0.2"; a name alone weighs 1.

    UserError: unknown or repeated name, a weight that is not a finite number, no part at all.
    """

    def __init__(self, weights: str) -> None:
        self.weights: dict[str, float] = {}
        for entry in filter(None, (entry.strip() for entry in weights.split(","))):
            name, _, weight = (part.strip() for part in entry.partition("="))
            if name not in REWARDS:
                raise UserError(f"unknown reward {name!r}; use one of {', '.join(REWARDS)}")
            if name in self.weights:
                raise UserError(f"the reward {name!r} is given twice in {weights!r}")
            self.weights[name] = _weight(weight or "1", entry)
        if not self.weights:
            raise UserError(f"no rewards in {weights!r}; give for example 'answer=1,format=0.2'")

    def score(self, prompt: str, reply: str, answer: str | None = None) -> dict[str, float]:
        """Each part unweighted, and "total", the weighted sum."""
        parts = {name: REWARDS[name](prompt, reply, answer) for name in self.weights}
        return {**parts, "total": sum(weight * parts[name] for name, weight in self.weights.items())}


def _weight(text: str, entry: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = float("nan")
    if not abs(weight) < float("inf"):
        raise UserError(f"the weight in {entry!r} is not a number")
    return weight
