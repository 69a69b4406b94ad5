"""What the READMEs and the docs say of files, formats, flags and papers is true of the repository."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from minimind.cli.commands import COMMANDS
from minimind.config.fields import leaves_of
from minimind.data.formats import KINDS, BadRecord, parse

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted(DOCS.glob("*.md"))]
STAGES = ("pretrain", "full_sft", "dpo", "grpo")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def rows(text: str, columns: int) -> list[list[str]]:
    """The cells of a page's table rows that have so many columns; lines between head and body left out."""
    found = [[cell.strip() for cell in line.strip("| \n").split(" | ")] for line in text.split("\n") if line[:1] == "|"]
    return [row for row in found if len(row) == columns and not set(row[0]) <= set("-: ")]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if not target.startswith("http")]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_the_course_lists_every_page():
    index = text_of("README.md")
    assert [page.name for page in DOCS.glob("*.md") if f"]({page.name})" not in index] == ["README.md"]


@pytest.mark.parametrize("page", PAGES[:2], ids=name_of)
def test_the_map_shows_the_house(page):
    """Each part of the package has its line, and each line its part."""
    tree = re.search(r"^```text\nsrc/minimind/\n(.*?)^trainer/", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)[1]
    drawn = {line.split()[0].rstrip("/") for line in tree.splitlines()}
    package = ROOT / "src" / "minimind"
    there = {path.name for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert drawn == {name for name in there if not name.startswith("_")}


def test_examples_of_records_can_be_used():
    blocks = re.findall(r"^```json (\w+)\n(.*?)^```", text_of("formats.md"), re.MULTILINE | re.DOTALL)
    assert {kind for kind, _ in blocks} == set(KINDS)
    for kind, block in blocks:
        for line in block.splitlines():
            parse(line.encode(), kind)


def test_bad_records_are_named_as_the_table_says():
    table = [row for row in rows(text_of("formats.md"), 3) if row[0] in KINDS]
    assert len(table) > 10
    for kind, record, reason in table:
        with pytest.raises(BadRecord) as error:
            parse(record.strip("`").encode(), kind)
        assert str(error.value) == reason


def flags_of(command: str) -> dict[str, str]:
    """Every spelling of a command's flags, older ones included, and the flag that it means."""
    module = next(c.module for c in COMMANDS if c.name == command)
    return {word: leaf.name for leaf in leaves_of(import_module(module).Config) for word in (leaf.name, *leaf.aliases)}


def test_older_spellings_mean_what_the_table_says():
    text = text_of("files.md").partition("## Older and other spellings")[2]
    table = rows(text, 3)[1:]
    told = set()
    for older, today, where in table:
        meant = re.match(r"`--(\w+)`", today)
        for word in re.findall(r"--(\w+)", older):
            for command in [name for part in where.split(", ") for name in (STAGES if part == "stages" else (part,))]:
                assert flags_of(command)[word] == (meant[1] if meant else word), (command, word)
                told.add((command, word))
    for command in {command for command, _ in told}:
        older = {word for word, name in flags_of(command).items() if word != name}
        assert {word for word in older if (command, word) not in told} == set(), command


def test_every_paper_of_the_code_is_listed():
    listed = set(re.findall(r"\d{4}\.\d{5}", text_of("papers.md")))
    cited = {
        number
        for file in (ROOT / "src").rglob("*.py")
        for line in file.read_text("utf-8").splitlines()
        if "arXiv" in line
        for number in re.findall(r"\b\d{4}\.\d{5}\b", line)
    }
    assert cited <= listed
