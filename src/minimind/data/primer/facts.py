"""The facts of the primer, read from `tables/`: what stands in which relation to what, in Chinese, English or both.

A table is a TSV file whose first row names its columns; a cell may hold several right answers ("leaf/leaves"), of which
the first is taught. `relations.toml` says which column is the object of a relation and how people speak of it.
To teach more, add a row to a table, or a column and a block in `relations.toml`.
"""

import functools
from dataclasses import dataclass, field

from minimind.data.primer.read import capitals, possessive, read_table, read_toml, with_article
from minimind.data.primer.subject import LANGUAGES

LESSONS = "lessons"  # the subject that only the adapter's data teach


@dataclass(frozen=True)
class Wording:
    """How one language speaks of a relation; the fields are explained at the top of `relations.toml`."""

    say: tuple[str, ...]
    noun: tuple[str, ...]
    what: tuple[str, ...]
    ask: tuple[str, ...] = ()
    its: tuple[str, ...] = ()
    accept: tuple[str, ...] = ()
    subject_form: str = "{s}"


@dataclass(frozen=True, eq=False)
class Relation:
    """A kind of fact. subject: the subject of the exam it belongs to; bare: its answers keep their small letters."""

    name: str
    subject: str
    table: str
    bare: bool
    wording: dict[str, Wording]


@dataclass(frozen=True, eq=False)
class Fact:
    """One fact. key: names its subject in every language; fields, objects: its words in each language that tells it."""

    relation: Relation
    key: str
    fields: dict[str, dict[str, str]]
    objects: dict[str, tuple[str, ...]]
    languages: tuple[str, ...] = field(default=LANGUAGES)

    def words(self, template: str, language: str) -> str:
        """`template` with the words of this fact; `^` before a letter makes it a capital."""
        return capitals(template.format_map(self.fields[language]))

    def answer(self, language: str) -> str:
        return self.objects[language][0]


def _swap(row: dict[str, str], column: str) -> dict[str, str]:
    """An antonym read the other way: the first form of the object becomes the subject."""
    language = column.rpartition("_")[2]
    return {**row, column: row[language], language: row[column].split("/")[0]}


def _fields(row: dict[str, str], language: str, answer: str) -> dict[str, str]:
    """The words that templates may use, in one language."""
    extra = {name.removesuffix("_" + language): cell for name, cell in row.items() if name.endswith("_" + language)}
    fields = {**extra, "s": row[language], "o": answer}
    if language == "en":
        article = with_article(row["en"])
        fields |= {"a": article, "own": possessive(row["en"]), "aown": possessive(article), "ao": with_article(answer)}
    return fields


def _fact(relation: Relation, row: dict[str, str], column: str) -> Fact | None:
    """The fact of one row, or None where the table leaves it out."""
    fields, objects = {}, {}
    for language in relation.wording:
        cell = row.get(f"{column}_{language}", row.get(column, ""))
        if cell:
            objects[language] = tuple(cell.split("/"))
            fields[language] = _fields(row, language, objects[language][0])
    name = row.get("en", row.get("zh", ""))
    unit = row.get("unit_en")
    return Fact(relation, f"{name} in {unit}" if unit else name, fields, objects, tuple(fields)) if fields else None


@functools.cache
def relations() -> dict[str, Relation]:
    """All relations by name, in the order of `relations.toml`."""
    found = {}
    for name, block in read_toml("relations").items():
        wording = {}
        for language in LANGUAGES:
            if language in block:
                said = {
                    key: tuple(value) if isinstance(value, list) else value for key, value in block[language].items()
                }
                wording[language] = Wording(**said)
        found[name] = Relation(name, block["subject"], block["table"], block.get("bare", False), wording)
    return found


@functools.cache
def facts() -> tuple[Fact, ...]:
    """Every fact, the lessons' included, in the order of the relations and of their tables."""
    blocks = read_toml("relations")
    found = []
    for name, relation in relations().items():
        column = blocks[name].get("column", name)
        rows = list(read_table(relation.table))
        if blocks[name].get("both_ways"):
            cell = column if column in rows[0] else next(key for key in rows[0] if key.startswith(column))
            rows += [_swap(row, cell) for row in rows]
        found += [fact for row in rows if (fact := _fact(relation, row, column)) is not None]
    return tuple(found)


@functools.cache
def facts_of(subject: str, language: str) -> tuple[Fact, ...]:
    """The facts of one subject of the exam that `language` tells."""
    return tuple(fact for fact in facts() if fact.relation.subject == subject and language in fact.languages)


@functools.cache
def facts_in(relation: str, language: str) -> tuple[Fact, ...]:
    """The facts of one relation that `language` tells."""
    return tuple(fact for fact in facts() if fact.relation.name == relation and language in fact.languages)


@functools.cache
def curriculum_facts(language: str) -> tuple[Fact, ...]:
    """All facts that the main curriculum teaches in `language`."""
    return tuple(fact for fact in facts() if fact.relation.subject != LESSONS and language in fact.languages)


@functools.cache
def facts_about(language: str) -> dict[tuple[str, str], tuple[Fact, ...]]:
    """The facts of the curriculum by what they are about: (table, key of the subject)."""
    groups: dict[tuple[str, str], list[Fact]] = {}
    for fact in curriculum_facts(language):
        groups.setdefault((fact.relation.table, fact.key), []).append(fact)
    return {about: tuple(group) for about, group in groups.items()}
