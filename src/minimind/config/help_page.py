"""The page that --help prints, generated from the configuration itself."""

import shutil
import textwrap
from typing import Any

from minimind.config.fields import Leaf

_INDENT = 30  # column where the explanations start


def help_page(config: Any, leaves: list[Leaf], command: str, description: str, examples: str, with_preset: bool) -> str:
    """Purpose, examples, then every flag with its default under the heading of its group."""
    width = min(shutil.get_terminal_size((100, 24)).columns, 110)
    words = next((f" {leaf.name.upper()} ..." for leaf in leaves if leaf.positional), "")
    lines = [f"usage: {command}{words} [--flag value ...]"]
    for paragraph in textwrap.dedent(description).strip().split("\n\n"):
        lines += ["", textwrap.fill(paragraph, width)]
    if examples:
        lines += ["", "examples:", textwrap.indent(textwrap.dedent(examples).strip("\n"), "  ")]
    group: tuple[str, ...] | None = None
    for leaf in leaves:
        owner = config
        for name in leaf.path[:-1]:
            owner = getattr(owner, name)
        if leaf.path[:-1] != group:
            group = leaf.path[:-1]
            lines += ["", _heading(group, type(owner))]
        lines += _entry(f"--{leaf.name} {_value(leaf)}", _explanation(leaf, getattr(owner, leaf.name)), width)
    lines += ["", "general:"]
    if with_preset:
        lines += _entry("--preset NAME", "start from a complete, named configuration", width)
    lines += _entry("--config FILE", "start from a saved snapshot (JSON) of this command's flags", width)
    lines += _entry("--help", "this page", width)
    return "\n".join([*lines, "", "Dashes and underscores in the names of flags are the same."])


def _heading(group: tuple[str, ...], cls: type) -> str:
    """The first line of the group's docstring (unless dataclasses made that up from the signature), or its name."""
    doc = (cls.__doc__ or "").strip()
    purpose = "" if doc.startswith(f"{cls.__name__}(") else doc.split("\n")[0].rstrip(".")
    return f"{(purpose or '.'.join(group)) if group else 'this command'}:"


def _value(leaf: Leaf) -> str:
    if leaf.choices:
        value = "|".join(map(str, leaf.choices))
    else:
        value = {int: "N", float: "X", str: "TEXT", bool: "0|1"}[leaf.kind]
    return value + (" ..." if leaf.many else "")


def _explanation(leaf: Leaf, default: Any) -> str:
    if default is None or default in ("", []):
        shown = "none"
    elif leaf.many:
        shown = " ".join(map(str, default))
    else:
        shown = f"{default:d}" if leaf.kind is bool else f"{default}"
    aliases = [alias for alias in leaf.aliases if alias != leaf.name]
    also = f"; also --{', --'.join(aliases)}" if aliases else ""
    return f"{leaf.help} (default {shown}{also})".strip()


def _entry(left: str, text: str, width: int) -> list[str]:
    """`left` in its column and the wrapped text beside it, or below it when `left` is too long."""
    left = f"  {left}"
    wrapped = textwrap.wrap(text, max(width - _INDENT, 30))
    if len(left) >= _INDENT:
        return [left, *(" " * _INDENT + line for line in wrapped)]
    return [f"{left:<{_INDENT}}{wrapped[0]}", *(" " * _INDENT + line for line in wrapped[1:])]
