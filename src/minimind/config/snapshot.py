"""Configurations and JSON: what a run saves beside its metrics, and what --config reads back."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from minimind.config.fields import UserError, leaves_of, nearest

Config = TypeVar("Config")


def to_dict(config: Any) -> dict[str, Any]:
    """The configuration as nested plain values, ready for JSON."""
    return dataclasses.asdict(config)


def from_dict(cls: type[Config], values: Mapping[str, Any]) -> Config:
    """The inverse of to_dict. Keys that are left out keep their defaults; unknown keys and wrong types are errors."""
    return rebuild(cls, read_snapshot(cls, values))


def from_file(config: Config, file: str) -> Config:
    """`config` with the values of a JSON snapshot."""
    try:
        snapshot = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"--config {file}: cannot be read as JSON ({error})") from None
    try:
        return rebuild(config, read_snapshot(type(config), snapshot))
    except UserError as error:
        raise UserError("\n".join(f"--config {file}: {line}" for line in str(error).split("\n"))) from None


def read_snapshot(cls: type, snapshot: Any) -> dict[tuple[str, ...], Any]:
    """Values by path. A key is a leaf's name in its group, or, for files written by hand, at the top."""
    leaves = {leaf.path: leaf for leaf in leaves_of(cls)}
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


def rebuild(start: Any, values: Mapping[tuple[str, ...], Any], prefix: tuple[str, ...] = ()) -> Any:
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
                make = field.default_factory
                group = field.default if make is dataclasses.MISSING else make()
            else:
                group = getattr(start, field.name)
            changes[field.name] = rebuild(group, values, path)
    return cls(**changes) if start is cls else dataclasses.replace(start, **changes)
