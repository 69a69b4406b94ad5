"""All subjects of the primer, in groups whose shares the curriculum balances."""

import functools
import itertools

from minimind.data.primer.followup import FOLLOWUP
from minimind.data.primer.identity import IDENTITY
from minimind.data.primer.knowledge import knowledge_subjects
from minimind.data.primer.skills import SKILLS
from minimind.data.primer.subject import Subject
from minimind.data.primer.unknown import UNKNOWN


@functools.cache
def groups() -> dict[str, tuple[Subject, ...]]:
    """The subjects by group."""
    return {"knowledge": knowledge_subjects(), "conversation": (IDENTITY, UNKNOWN, FOLLOWUP), "skills": SKILLS}


@functools.cache
def subjects() -> tuple[Subject, ...]:
    """All subjects in the order of the report card."""
    return tuple(itertools.chain.from_iterable(groups().values()))
