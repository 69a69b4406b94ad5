"""The subjects of doing rather than knowing: numbers, order, letters, dates, tools, memory and reading."""

from minimind.data.primer.arithmetic import ADDITION, ARITHMETIC, COMPARISON, MULTIPLICATION
from minimind.data.primer.recall import RECALL
from minimind.data.primer.sorting import SORTING
from minimind.data.primer.subject import Subject
from minimind.data.primer.tools import TOOL_USE

SKILLS: tuple[Subject, ...] = (ADDITION, ARITHMETIC, MULTIPLICATION, COMPARISON, SORTING, TOOL_USE, RECALL)
