"""Whether a reply has the shape `<think>\\n...\\n</think>\\n<answer>\\n...\\n</answer>`, with credit for parts of it.

    the whole shape, nothing before or after     0.5     one blank line may stand between the two parts
    each of the four tags, if it occurs once     0.25

A reply of the right shape earns 1.5, one without tags 0; a tag written twice earns nothing for itself.
"""

import re

TAGS = ("<think>", "</think>", "<answer>", "</answer>")
SHAPE_CREDIT = 0.5
TAG_CREDIT = 0.25
MOST = SHAPE_CREDIT + TAG_CREDIT * len(TAGS)

SHAPE = re.compile(r"<think>\n(?P<steps>.+?)\n</think>\n\n?<answer>\n(?P<answer>.+?)\n</answer>", flags=re.DOTALL)


def has_shape(reply: str) -> bool:
    """Whether the reply is one thought and one answer and nothing else."""
    found = SHAPE.fullmatch(reply)
    return found is not None and all(reply.count(tag) == 1 for tag in TAGS) and all(map(str.strip, found.groups()))


def format_reward(reply: str) -> float:
    """The credit of a reply, 0 to 1.5."""
    reply = reply.strip()
    return SHAPE_CREDIT * has_shape(reply) + TAG_CREDIT * sum(reply.count(tag) == 1 for tag in TAGS)
