"""The subjects of doing rather than knowing: numbers, order, letters, dates, tools and memory."""

from minimind.data.primer.arithmetic import ADDITION, ARITHMETIC, COMPARISON
from minimind.data.primer.dates import DATES
from minimind.data.primer.letters import LETTERS
from minimind.data.primer.recall import RECALL
from minimind.data.primer.sorting import SORTING
from minimind.data.primer.subject import Subject
from minimind.data.primer.tools import TOOL_USE
from minimind.data.primer.word_problems import WORD_PROBLEMS

SKILLS: tuple[Subject, ...] = (
    ADDITION,
    ARITHMETIC,
    COMPARISON,
    WORD_PROBLEMS,
    SORTING,
    LETTERS,
    DATES,
    TOOL_USE,
    RECALL,
)
