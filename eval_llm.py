"""Puts questions to a model: `minimind eval` as a script, from any folder, installed or not."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "src"))

from minimind.cli.script import run_from_root  # noqa: E402 - the line above makes it importable

if __name__ == "__main__":
    sys.exit(run_from_root("eval", sys.argv[1:], ROOT))
