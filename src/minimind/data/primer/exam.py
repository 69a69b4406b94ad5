"""The exam: the same questions for every model, from the held-out side of every subject."""

import functools
import random

from minimind.data.primer.catalogue import subjects
from minimind.data.primer.subject import LANGUAGES, Example

EXAM_SEED = 1


@functools.cache
def _items(per_language: int) -> tuple[Example, ...]:
    return tuple(
        item
        for subject in subjects()
        for language in LANGUAGES
        for item in subject.exam(random.Random(f"exam {EXAM_SEED} {subject.name} {language}"), language, per_language)
    )


def exam_items(per_language: int = 100) -> list[Example]:
    """The exam: `per_language` different questions for each subject and language, in the order of the report card."""
    return list(_items(per_language))
