"""Configurations: dataclasses of scalars <-> command-line flags <-> JSON snapshots.

A configuration is a dataclass whose fields are scalars (int, float, str, bool, Literal, Optional of these, lists of
them) or nested dataclasses, the groups. Every leaf becomes one flat flag: the group `optimizer` with a field
`learning_rate` is set by `--learning_rate`, so no two groups may share a field name. Pydantic judges the values;
the sentences a user reads are written here, and all problems of a command line are reported together.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import shutil
import textwrap
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import pydantic

Config = TypeVar("Config")
_SCALARS = (int, float, str, bool)
_RESERVED = ("config", "preset", "help")


class UserError(ValueError):
    """A mistake of the user's: one clear sentence a line, saying what was got, where, and what to do."""


def flag(
    default: Any,
    help: str,
    *aliases: str,
    choices: Sequence[Any] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    positional: bool = False,
) -> Any:
    """A dataclass field that documents its flag.

    `default` may be a list (each instance gets its own copy) or a function without arguments that makes the value.
    `help` is one sentence with the unit. `aliases` are older spellings. `minimum` and `maximum` are inclusive.
    A `positional` list field takes the words of the command line that belong to no flag.
    """
    metadata = {
        "help": help,
        "aliases": tuple(alias.lstrip("-").replace("-", "_") for alias in aliases),
        "choices": None if choices is None else tuple(choices),
        "minimum": minimum,
        "maximum": maximum,
        "positional": positional,
    }
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


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
    leaves = _leaves(type(config))
    if any(word in ("-h", "--help") for word in argv):
        print(_help_page(config, leaves, command, description, examples, with_preset=preset is not None))
        raise SystemExit(0)
    named, problems = _split(leaves, argv, with_preset=preset is not None)
    try:
        if preset is not None and "preset" in named:
            config = preset(named["preset"][-1])
        if "config" in named:
            config = _from_file(config, named["config"][-1])
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
    return _rebuild(config, values)


def to_dict(config: Any) -> dict[str, Any]:
    """The configuration as nested plain values, ready for JSON."""
    return dataclasses.asdict(config)


def from_dict(cls: type[Config], values: Mapping[str, Any]) -> Config:
    """The inverse of to_dict. Keys that are left out keep their defaults; unknown keys and wrong types are errors."""
    return _rebuild(cls, _read_snapshot(cls, values))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, if any is near enough to be meant."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


@dataclasses.dataclass(frozen=True)
class _Leaf:
    """One scalar of a configuration: where it lives, what it accepts, what to say about it."""

    path: tuple[str, ...]
    kind: type  # int, float, str or bool: of the value, or of the elements when many
    many: bool
    optional: bool
    choices: tuple[Any, ...] | None
    minimum: float | None
    maximum: float | None
    help: str
    aliases: tuple[str, ...]
    positional: bool

    @property
    def name(self) -> str:
        return self.path[-1]

    def expected(self) -> str:
        """What the value may be, in words."""
        if self.choices is not None:
            words = "one of " + ", ".join(map(str, self.choices))
        else:
            words = {int: "a whole number", float: "a number", str: "text", bool: "0 or 1"}[self.kind]
        if self.minimum is not None:
            words += f" of at least {self.minimum:g}"
        if self.maximum is not None:
            words += f"{' and' if self.minimum is not None else ' of'} at most {self.maximum:g}"
        return f"{'a list, each ' if self.many else ''}{words}{' or none' if self.optional else ''}"

    def read(self, raw: Any, strict: bool) -> Any:
        """The value of words typed by the user (a list of strings), or of JSON (`strict`: nothing is converted)."""
        if not strict:
            if not raw:
                raise UserError(f"expected {self.expected()}, got nothing")
            raw = list(raw) if self.many else raw[-1]
            if self.optional and raw in ("none", "None", "null", ["none"]):
                return None
        if raw is None and self.optional:
            return None
        if self.many and not isinstance(raw, list):
            raise UserError(f"expected {self.expected()}, got {raw!r}")
        values = [self._read_one(value, strict) for value in (raw if self.many else [raw])]
        return values if self.many else values[0]

    def _read_one(self, raw: Any, strict: bool) -> Any:
        bounds: dict[str, Any] = {"ge": self.minimum, "le": self.maximum} if self.kind in (int, float) else {}
        if self.kind is float:
            bounds["allow_inf_nan"] = False
        adapter = pydantic.TypeAdapter(Annotated[self.kind, pydantic.Field(**bounds)])
        try:
            value = adapter.validate_python(raw, strict=strict)
        except pydantic.ValidationError:
            raise UserError(f"expected {self.expected()}, got {raw!r}") from None
        if self.choices is not None and value not in self.choices:
            near = nearest(str(value), map(str, self.choices))
            raise UserError(f"expected {self.expected()}, got {raw!r}" + (f" (did you mean {near}?)" if near else ""))
        return value


def _leaves(cls: type, prefix: tuple[str, ...] = ()) -> list[_Leaf]:
    """All leaves of a configuration class, the groups' after its own; flat names and aliases are unique."""
    own, grouped = [], []
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        path = (*prefix, field.name)
        if dataclasses.is_dataclass(hints[field.name]):
            grouped += _leaves(hints[field.name], path)
        elif field.init:
            own.append(_leaf(field, hints[field.name], path))
    leaves = own + grouped
    if not prefix:
        spellings = [name for leaf in leaves for name in (leaf.name, *leaf.aliases)]
        clashes = {name for name in spellings if spellings.count(name) > 1 or name in _RESERVED}
        assert not clashes, f"{cls.__name__}: these flag names are used twice or reserved: {sorted(clashes)}"
    return leaves


def _leaf(field: dataclasses.Field, hint: Any, path: tuple[str, ...]) -> _Leaf:
    where = ".".join(path)
    has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
    assert has_default, f"{where}: every field of a configuration has a default"
    optional = False
    if get_origin(hint) in (Union, types.UnionType):
        inner = [argument for argument in get_args(hint) if argument is not type(None)]
        optional = len(inner) < len(get_args(hint))
        assert len(inner) == 1, f"{where}: a union of several types cannot be a flag"
        hint = inner[0]
    many = get_origin(hint) is list
    if many:
        hint = get_args(hint)[0]
    choices = field.metadata.get("choices")
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        hint = type(choices[0])
    assert hint in _SCALARS, f"{where}: {hint} cannot be a flag"
    return _Leaf(
        path=path,
        kind=hint,
        many=many,
        optional=optional,
        choices=choices,
        minimum=field.metadata.get("minimum"),
        maximum=field.metadata.get("maximum"),
        help=field.metadata.get("help", ""),
        aliases=field.metadata.get("aliases", ()),
        positional=field.metadata.get("positional", False),
    )


def _split(leaves: list[_Leaf], argv: Sequence[str], with_preset: bool) -> tuple[dict[str, list[str]], list[str]]:
    """The words of a command line, sorted to flag names; and what was wrong with them.

    Written out rather than left to argparse, which stops at the first problem and takes "-1e-4" for a flag.
    """
    by_spelling = {spelling: leaf for leaf in leaves for spelling in (leaf.name, *leaf.aliases)}
    general = {"config", "preset"} if with_preset else {"config"}
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
        values = [value] if equals else []
        if leaf is None or leaf.many:
            limit = len(words) if leaf is not None else 1
        elif leaf.kind is bool and positional is not None and words and not _is_switch(words[0]):
            limit = 0
        else:
            limit = 1
        while not equals and len(values) < limit and words and not words[0].startswith("--"):
            values.append(words.pop(0))
        if leaf is None and spelling not in general:
            near = nearest(spelling, [*by_spelling, *general])
            hint = f"did you mean --{near}?" if near else "--help lists the flags"
            problems.append(f"unknown flag --{typed}: {hint}")
        elif leaf is None and not values:
            problems.append(
                f"--{spelling}: expected {'a JSON file' if spelling == 'config' else 'a name'}, got nothing"
            )
        elif leaf is None:
            named[spelling] = values
        elif leaf.kind is bool and not leaf.many and not values:
            named[leaf.name] = ["1"]
        elif leaf.many:
            named.setdefault(leaf.name, []).extend(values)
        else:
            named[leaf.name] = values
    return named, problems


def _is_switch(word: str) -> bool:
    return word.lower() in ("0", "1", "true", "false", "yes", "no")


def _from_file(config: Config, file: str) -> Config:
    """`config` with the values of a JSON snapshot."""
    try:
        snapshot = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"--config {file}: cannot be read as JSON ({error})") from None
    try:
        return _rebuild(config, _read_snapshot(type(config), snapshot))
    except UserError as error:
        raise UserError("\n".join(f"--config {file}: {line}" for line in str(error).split("\n"))) from None


def _read_snapshot(cls: type, snapshot: Any) -> dict[tuple[str, ...], Any]:
    """Values by path. A key is a leaf's name in its group, or, for files written by hand, at the top."""
    leaves = {leaf.path: leaf for leaf in _leaves(cls)}
    by_name = {leaf.name: leaf for leaf in leaves.values()}
    groups = {path[:depth] for path in leaves for depth in range(1, len(path))}
    values, problems = {}, []

    def visit(mapping: Any, prefix: tuple[str, ...]) -> None:
        if not isinstance(mapping, Mapping):
            problems.append(f"{'.'.join(prefix) or 'the top level'}: expected an object, got {mapping!r:.40}")
            return
        for key, value in mapping.items():
            path = (*prefix, str(key))
            leaf = leaves.get(path) or (by_name.get(str(key)) if not prefix else None)
            if path in groups:
                visit(value, path)
            elif leaf is None:
                near = nearest(str(key), [known[len(prefix)] for known in leaves if known[: len(prefix)] == prefix])
                problems.append(f"unknown key {'.'.join(path)!r}" + (f": did you mean {near!r}?" if near else ""))
            else:
                try:
                    values[leaf.path] = leaf.read(value, strict=True)
                except UserError as error:
                    problems.append(f"{'.'.join(path)}: {error}")

    visit(snapshot, ())
    if problems:
        raise UserError("\n".join(problems))
    return values


def _rebuild(start: Any, values: Mapping[tuple[str, ...], Any], prefix: tuple[str, ...] = ()) -> Any:
    """A copy of `start` with new leaves; `start` is an instance, or a class for its defaults."""
    cls = start if isinstance(start, type) else type(start)
    hints = get_type_hints(cls)
    changes = {}
    for field in dataclasses.fields(cls):
        path = (*prefix, field.name)
        if path in values:
            changes[field.name] = values[path]
        elif dataclasses.is_dataclass(hints[field.name]) and any(key[: len(path)] == path for key in values):
            if start is cls:
                made = field.default_factory is not dataclasses.MISSING
                group = field.default_factory() if made else field.default  # type: ignore[misc]
            else:
                group = getattr(start, field.name)
            changes[field.name] = _rebuild(group, values, path)
    return cls(**changes) if start is cls else dataclasses.replace(start, **changes)


def _help_page(
    config: Any, leaves: list[_Leaf], command: str, description: str, examples: str, with_preset: bool
) -> str:
    """Purpose, examples, then every flag under the heading of its group."""
    width = min(shutil.get_terminal_size((100, 24)).columns, 110)
    words = next((f" [{leaf.name.upper()} ...]" for leaf in leaves if leaf.positional), "")
    lines = [f"usage: {command}{words} [--flag value ...]", ""]
    lines += [textwrap.fill(part, width) for part in textwrap.dedent(description).strip().split("\n\n") if part]
    if examples:
        lines += ["", "examples:", textwrap.indent(textwrap.dedent(examples).strip("\n"), "  ")]
    heading = None
    for leaf in leaves:
        owner: Any = config
        for name in leaf.path[:-1]:
            owner = getattr(owner, name)
        if leaf.path[:-1] != heading:
            heading = leaf.path[:-1]
            lines += ["", f"{'.'.join(heading) or 'this command'}: {_purpose(type(owner))}".rstrip(": ") + ":"]
        lines += _help_lines(leaf, getattr(owner, leaf.name), width)
    lines += ["", "general:", "  --config FILE           start from a saved snapshot (JSON) of this command's flags"]
    if with_preset:
        lines += ["  --preset NAME           start from a complete, named configuration"]
    lines += ["  --help                  this page", "", "Dashes and underscores in flag names are the same."]
    return "\n".join(lines)


def _purpose(cls: type) -> str:
    """First line of a class's docstring, unless dataclasses made it up from the signature."""
    doc = (cls.__doc__ or "").strip()
    return "" if doc.startswith(f"{cls.__name__}(") else doc.split("\n")[0].rstrip(".")


def _help_lines(leaf: _Leaf, default: Any, width: int) -> list[str]:
    if leaf.many:
        shown = " ".join(map(str, default or [])) or "none"
    else:
        shown = (
            {True: "1", False: "0", None: "none", "": "empty"}.get(default, default)
            if default in (None, "") or (leaf.kind is bool)
            else default
        )
    value = "{" + ",".join(map(str, leaf.choices)) + "}" if leaf.choices else leaf.kind.__name__.upper()
    if leaf.kind is bool:
        value = "0|1"
    also = f", also --{', --'.join(leaf.aliases)}" if leaf.aliases else ""
    text = f"{leaf.help} (default {shown}{also})".strip()
    left = f"  --{leaf.name} {value}{' ...' if leaf.many else ''}"
    return textwrap.fill(
        text, width, initial_indent=f"{left:<26}" + ("" if len(left) < 26 else " "), subsequent_indent=" " * 26
    ).split("\n")
