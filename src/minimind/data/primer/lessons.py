"""The lessons, a small domain that the curriculum leaves out, for adapters: the body, instruments, the radio alphabet.

They are facts like the others (the relations of subject "lessons" in `tables/relations.toml`), with their own exam.
"""

import random

from minimind.data.primer.facts import LESSONS
from minimind.data.primer.knowledge import lesson_subject
from minimind.data.primer.subject import LANGUAGES, Example

LESSON_SEED = 20


def lesson_exam(per_language: int = 100) -> list[Example]:
    """The exam of the lessons: facts that an adapter has learned, in combinations it has not seen."""
    subject = lesson_subject()
    return [
        item
        for language in LANGUAGES
        for item in subject.exam(random.Random(f"{LESSON_SEED} {LESSONS} {language}"), language, per_language)
    ]
