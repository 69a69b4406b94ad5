"""Metrics as JSON lines: one record a step that logs, readable while the run goes on."""

import json
from pathlib import Path

from minimind.runtime.paths import write_atomically


class Records:
    """Appends records to `metrics.jsonl`; on resume the records after the resume point are dropped."""

    def __init__(self, path: str | Path, resume_step: int | None = None):
        self.path = Path(path)
        kept = ""
        if resume_step is not None and self.path.exists():
            # the last line of a killed run may be torn: what does not parse was never complete
            lines = [(step_of(line), line) for line in self.path.read_text(encoding="utf-8").split("\n")]
            kept = "".join(f"{line}\n" for step, line in lines if step is not None and step <= resume_step)
        write_atomically(self.path, kept)  # a run killed here must find its records again

    def append(self, record: dict) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)  # somebody may tidy the folder while we run
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def step_of(line: str) -> int | None:
    """The step of a record's line; None for a line that is not a whole record."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return None


def read_records(path: str | Path) -> list[dict]:
    """All whole records of a metrics file, in order."""
    return [json.loads(line) for line in Path(path).open(encoding="utf-8") if step_of(line) is not None]
