"""What a configuration is made of: documented, checked scalars in (nested) dataclasses."""

import dataclasses
import difflib
import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pydantic

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


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, if any is near enough to be meant."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


@dataclasses.dataclass(frozen=True)
class Leaf:
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
        checked: Any = Annotated[self.kind, pydantic.Field(**bounds)]
        try:
            value = pydantic.TypeAdapter(checked).validate_python(raw, strict=strict)
        except pydantic.ValidationError:
            raise UserError(f"expected {self.expected()}, got {raw!r}") from None
        if self.choices is not None and value not in self.choices:
            near = nearest(str(value), map(str, self.choices))
            raise UserError(f"expected {self.expected()}, got {raw!r}" + (f" (did you mean {near}?)" if near else ""))
        return value


def leaves_of(cls: type, prefix: tuple[str, ...] = ()) -> list[Leaf]:
    """All leaves of a configuration class, the groups' after its own; flat names and aliases are unique."""
    own, grouped = [], []
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        path = (*prefix, field.name)
        if dataclasses.is_dataclass(hints[field.name]):
            grouped += leaves_of(hints[field.name], path)
        elif field.init:
            own.append(_leaf(field, hints[field.name], path))
    leaves = own + grouped
    if not prefix:
        spellings = [name for leaf in leaves for name in {leaf.name, *leaf.aliases}]
        clashes = {name for name in spellings if spellings.count(name) > 1 or name in _RESERVED}
        assert not clashes, f"{cls.__name__}: these flag names are used twice or reserved: {sorted(clashes)}"
    return leaves


def _leaf(field: dataclasses.Field, hint: Any, path: tuple[str, ...]) -> Leaf:
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
    return Leaf(
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
