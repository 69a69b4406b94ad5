"""How the scripts of `trainer/` and `scripts/` call a command: as if from the repository root.

The defaults of the flags (`out`, `dataset/...`, `runs`) mean folders of the repository, wherever a script is started.
So a script changes to the repository root before the command runs, after the paths that the user typed, which mean
files as seen from the user's folder, have been made absolute.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from minimind.cli.main import main


def run_from_root(command: str, argv: Sequence[str], root: Path) -> int:
    """`minimind {command} {argv}` in the folder `root`; returns the exit status."""
    absolute = with_absolute_paths(argv, Path.cwd())
    os.chdir(root)
    return main([command, *absolute])


def with_absolute_paths(argv: Sequence[str], folder: Path) -> list[str]:
    """The same words with relative paths made absolute as seen from `folder`.

    Paths are the values of --..._path, --..._dir, --out and --config (comma lists and globs included), and values
    of other flags that contain a slash, such as --from_weight ../out/pretrain_512.pth.
    """
    words: list[str] = []
    flag = ""
    for word in argv:
        if word.startswith("--"):
            flag, equals, value = word.partition("=")
            words.append(f"{flag}={_absolute(flag, value, folder)}" if equals else word)
        else:
            words.append(_absolute(flag, word, folder))
    return words


def _absolute(flag: str, value: str, folder: Path) -> str:
    name = flag.lstrip("-").replace("-", "_")
    is_path = name.endswith(("_path", "_dir")) or name in ("out", "config")
    is_file = name in ("from_weight", "weight", "lora_weight", "tokenizer", "load_from") and "/" in value
    if not value or value.lower() == "none" or not (is_path or is_file):
        return value
    return ",".join(os.path.normpath(folder / part.strip()) for part in value.split(","))
