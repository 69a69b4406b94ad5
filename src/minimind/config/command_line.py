"""From the words of a command line to a configuration."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from minimind.config.fields import Leaf, UserError, leaves_of, nearest
from minimind.config.help_page import help_page
from minimind.config.snapshot import from_file, rebuild

Config = TypeVar("Config")


def parse(
    config: Config,
    argv: Sequence[str],
    *,
    command: str,
    description: str = "",
    examples: str = "",
    preset: Callable[[str], Config] | None = None,
) -> Config:
    """A new configuration of the same type: `config`, then --preset, then --config FILE, then the other flags.

    `preset` turns a preset's name into a complete configuration and makes the flag --preset known.
    Raises UserError with one line per problem; --help prints and exits with status 0.
    """
    leaves = leaves_of(type(config))
    if any(word in ("-h", "--help") for word in argv):
        print(help_page(config, leaves, command, description, examples, with_preset=preset is not None))
        raise SystemExit(0)
    named, problems = split(leaves, argv, with_preset=preset is not None)
    try:
        if preset is not None and "preset" in named:
            config = preset(named["preset"][-1])
        if "config" in named:
            config = from_file(config, named["config"][-1])
    except UserError as error:
        problems.append(str(error))
    values = {}
    for leaf in leaves:
        if leaf.name in named:
            try:
                values[leaf.path] = leaf.read(named[leaf.name], strict=False)
            except UserError as error:
                problems.append(f"--{leaf.name}: {error}")
    if problems:
        raise UserError("\n".join(problems))
    return rebuild(config, values)


def split(leaves: list[Leaf], argv: Sequence[str], with_preset: bool) -> tuple[dict[str, list[str]], list[str]]:
    """The words of a command line, sorted to flag names; and what was wrong with them.

    Written out rather than left to argparse, which stops at the first problem and takes "-1e-4" for a flag.
    """
    by_spelling = {spelling: leaf for leaf in leaves for spelling in (leaf.name, *leaf.aliases)}
    general = {"config": "a JSON file"} | ({"preset": "a preset's name"} if with_preset else {})
    positional = next((leaf for leaf in leaves if leaf.positional), None)
    named: dict[str, list[str]] = {}
    problems: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            if positional is not None:
                named.setdefault(positional.name, []).append(word)
            else:
                problems.append(f"unexpected word {word!r}: flags start with --, and a value with spaces needs quotes")
            continue
        typed, equals, value = word[2:].partition("=")
        spelling = typed.replace("-", "_")
        leaf = by_spelling.get(spelling)
        values = [value] if equals else _take(leaf, words, keep_words=positional is not None)
        if leaf is not None:
            earlier = named.get(leaf.name, []) if leaf.many else []
            named[leaf.name] = earlier + (values or (["1"] if leaf.kind is bool else []))
        elif spelling not in general:
            near = nearest(spelling, [*by_spelling, *general, "help"])
            problems.append(
                f"unknown flag --{typed}: {f'did you mean --{near}?' if near else '--help lists the flags'}"
            )
        elif values:
            named[spelling] = values
        else:
            problems.append(f"--{spelling}: expected {general[spelling]}, got nothing")
    return named, problems


def _take(leaf: Leaf | None, words: list[str], keep_words: bool) -> list[str]:
    """The words after a flag that are its value, removed from `words`: one, or for a list all up to the next flag.

    A switch may stand alone. Where a command also takes bare words (`keep_words`), it takes only 0, 1, true, false...
    """
    limit = len(words) if leaf is not None and leaf.many else 1
    if leaf is not None and leaf.kind is bool and keep_words and words:
        limit = int(words[0].lower() in ("0", "1", "true", "false", "yes", "no"))
    values: list[str] = []
    while words and len(values) < limit and not words[0].startswith("--"):
        values.append(words.pop(0))
    return values
