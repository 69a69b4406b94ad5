"""Configurations: dataclasses of scalars <-> command-line flags <-> JSON snapshots.

A configuration is a dataclass whose fields are scalars (int, float, str, bool, Literal, Optional of these, lists of
them) or nested dataclasses, the groups. Every leaf becomes one flat flag: the group `optimizer` with a field
`learning_rate` is set by `--learning_rate`, so no two groups may share a field name. Pydantic judges the values;
the sentences a user reads are written here, and all problems of a command line are reported together.
"""

from minimind.config.command_line import parse
from minimind.config.fields import UserError, flag, nearest
from minimind.config.snapshot import from_dict, to_dict

__all__ = ["UserError", "flag", "from_dict", "nearest", "parse", "to_dict"]
