"""The exam: every question asked once, answered greedily, judged exactly.

The standard error of a score p over n items is sqrt(p (1 - p) / n): items are questions drawn from all that could be
asked.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from minimind.data.primer.subject import LANGUAGES, Example, correct
from minimind.infer.decode import generate
from minimind.infer.text import with_ends
from minimind.ops.sampling import Sampling

Progress = Callable[[int, int], Any]


def run(
    bundle: Any,
    items: Sequence[Example],
    batch_size: int = 256,
    max_new_tokens: int | None = None,
    progress: Progress | None = None,
    transcript: str | Path | None = None,
) -> dict:
    """The report of `bundle` (with .model and .tokenizer) over `items`, see `report`.

    max_new_tokens: of an answer; None allows twice the reference's own length and 16 tokens more, so that a reply is
    only cut when it is wrong anyway. progress(done, total) counts items. transcript: a JSONL file for every question
    and reply.
    """
    replies = answer(bundle, items, batch_size, max_new_tokens, progress)
    marks = [correct(item, reply) for item, reply in zip(items, replies, strict=True)]
    if transcript is not None:
        write_transcript(transcript, items, replies, marks)
    return report(items, marks)


def answer(
    bundle: Any,
    items: Sequence[Example],
    batch_size: int = 256,
    max_new_tokens: int | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """The reply to each item, tags included, in the order of the items."""
    tokenizer, window = bundle.tokenizer, bundle.model.config.max_position_embeddings
    references = tokenizer.encode_batch([item.response for item in items])
    prompts, samplings = [], []
    for item, reference in zip(items, references, strict=True):
        prompt = tokenizer.render(item.messages, add_generation_prompt=True).ids
        limit = max_new_tokens or 2 * len(reference) + 16
        prompts.append(prompt)
        samplings.append(
            with_ends(Sampling(temperature=0, max_new_tokens=max(1, min(limit, window - len(prompt)))), tokenizer)
        )
    begun: set[int] = set()

    def count(requests: list[int], _: list[int]) -> None:
        if not begun.issuperset(requests):
            begun.update(requests)
            progress(max(0, len(begun) - batch_size), len(items))

    completions = generate(
        bundle.model, prompts, samplings, tokenizer.eos_id, batch_size, on_tokens=count if progress else None
    )
    if progress:
        progress(len(items), len(items))
    ends = {tokenizer.eos_id, tokenizer.bos_id, tokenizer.pad_id}
    return [tokenizer.decode([token for token in completion.ids if token not in ends]) for completion in completions]


def report(items: Sequence[Example], marks: Sequence[bool]) -> dict:
    """Scores as shares of 1, with the standard error of each.

    {"mean", "stderr", "items", "subjects": {name: {"zh", "zh_stderr", "en", "en_stderr", **MARKS}},
    "splits": {name: MARKS}} with MARKS = {"score", "stderr", "items"}. The mean is that of the subjects' scores.
    """
    subjects = {}
    for name in unique(item.subject for item in items):
        own = [(item, mark) for item, mark in zip(items, marks, strict=True) if item.subject == name]
        subjects[name] = score([mark for _, mark in own])
        for language in LANGUAGES:
            part = score([mark for item, mark in own if item.language == language])
            subjects[name] |= {language: part["score"], f"{language}_stderr": part["stderr"]}
    splits = {
        split: score([mark for item, mark in zip(items, marks, strict=True) if item.split == split])
        for split in unique(item.split for item in items)
    }
    several = max(1, len(subjects))
    return {
        "mean": sum(subject["score"] for subject in subjects.values()) / several,
        "stderr": math.sqrt(sum(subject["stderr"] ** 2 for subject in subjects.values())) / several,
        "items": len(items),
        "subjects": subjects,
        "splits": splits,
    }


def score(marks: Sequence[bool]) -> dict:
    """Share of right answers, its standard error, and the number of items; zeros where there are none."""
    share = sum(marks) / len(marks) if marks else 0.0
    return {
        "score": share,
        "stderr": math.sqrt(share * (1 - share) / len(marks)) if marks else 0.0,
        "items": len(marks),
    }


def unique(values: Iterable[str]) -> list[str]:
    """The different values in order of appearance."""
    return list(dict.fromkeys(values))


def write_transcript(path: str | Path, items: Sequence[Example], replies: Sequence[str], marks: Sequence[bool]) -> None:
    """One JSON line for each item: the question, what was expected, what was said, and whether that is right."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        for item, reply, mark in zip(items, replies, marks, strict=True):
            line = {
                "subject": item.subject,
                "language": item.language,
                "split": item.split,
                "messages": list(item.messages),
                "answer": item.answer,
                "reply": reply,
                "correct": mark,
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
