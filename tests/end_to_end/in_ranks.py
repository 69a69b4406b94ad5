"""Run by torchrun: `in_ranks.py commands.json` runs the commands of that list one after the other, in every rank."""

import json
import sys
from pathlib import Path

from minimind.cli.main import main

if __name__ == "__main__":
    for words in json.loads(Path(sys.argv[1]).read_text()):
        try:
            status = main(words)
        except SystemExit as stopped:  # a run that was asked to stop before its end
            status = stopped.code
        if status:
            sys.exit(f"{words[0]} ended with {status}")
