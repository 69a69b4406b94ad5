"""The wording of the skills: phrasings and closed lists from `tables/skills.toml`."""

from functools import cache

from minimind.data.primer.read import read_toml

SIDE = {"zh": 0, "en": 1}


def wording() -> dict:
    """The whole table of phrasings."""
    return read_toml("skills")


@cache
def pairs(name: str) -> tuple[tuple[str, str], ...]:
    """A closed list of things with their (Chinese, English) names; "numbers" are 3 to 99."""
    if name == "numbers":
        return tuple((str(number), str(number)) for number in range(3, 100))
    return tuple(tuple(entry.split("/")) for entry in wording()["lists"][name].split())


@cache
def exchanges(name: str, language: str) -> tuple[tuple[str, str], ...]:
    """Pairs of (what the user says, what the assistant answers)."""
    return tuple(tuple(entry.split(" | ")) for entry in wording()[name][language])
