"""Prompts for reinforcement learning: read at once, rendered, with what their answers are judged by."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from minimind.config import UserError
from minimind.data.encode import record_key
from minimind.data.records import MAX_BAD_SHARE, BadRecords, read_records
from minimind.data.shards import held_out

if TYPE_CHECKING:
    from minimind.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Prompt:
    """A question to be answered by the model.

    ids: the messages rendered up to the head of the assistant's turn. answer: what a right reply ends with, or None
    where only `truths` (the record's "gt") say it. extra: the record's other keys. source: file:line.
    """

    messages: list[dict]
    tools: list[dict] | None
    answer: str | None
    truths: list[Any] | None
    extra: dict
    ids: list[int]
    key: int
    source: str


@dataclass
class Prompts(Sequence):
    """A list of prompts, what reading left out, and how many prompts were too long."""

    prompts: list[Prompt]
    report: BadRecords = field(default_factory=BadRecords)
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.prompts)

    def __getitem__(self, index: int) -> Prompt:
        return self.prompts[index]

    def split(self, share: float) -> tuple["Prompts", "Prompts"]:
        """(training, held-out) part, by the hash of the messages: equal prompts fall on the same side."""
        held = held_out(np.array([prompt.key for prompt in self.prompts], np.uint64), share)
        sides = (
            [prompt for prompt, out in zip(self.prompts, held, strict=True) if out == side] for side in (False, True)
        )
        training, rest = (Prompts(side, self.report, self.dropped) for side in sides)
        return training, rest


def open_prompts(
    patterns: str | Sequence[str],
    tokenizer: "Tokenizer",
    max_prompt_len: int,
    strict: bool = False,
    *,
    enable_thinking: bool | None = None,
    max_bad: float = MAX_BAD_SHARE,
) -> Prompts:
    """All prompts of these files whose rendering has at most `max_prompt_len` tokens; longer ones are only counted.

    `enable_thinking` as in `Tokenizer.render`. Raises UserError: see `read_records`; and when every prompt is too long.
    """
    report, found = BadRecords(), []
    for record in read_records(patterns, "prompt", strict=strict, max_bad=max_bad, report=report):
        value = dict(record.value)
        key = record_key(value, "prompt")
        messages, tools = value.pop("conversations"), value.pop("tools")
        ids = tokenizer.render(messages, tools=tools, add_generation_prompt=True, enable_thinking=enable_thinking).ids
        answer, truths = value.pop("answer"), value.pop("gt")
        source = f"{record.file}:{record.line}"
        found.append(Prompt(messages, tools, answer, truths, value, ids, key, source))
    short = [prompt for prompt in found if len(prompt.ids) <= max_prompt_len]
    if not short:
        raise UserError(
            f"all {len(found)} prompts are longer than {max_prompt_len} tokens (the shortest has "
            f"{min(len(prompt.ids) for prompt in found)}): raise the limit"
        )
    return Prompts(short, report, len(found) - len(short))
