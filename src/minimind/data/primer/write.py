"""The primer as files in the formats of the stages, of any size."""

import dataclasses
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from minimind.data.primer import curriculum
from minimind.data.primer.exam import exam_items

# Records of each file for one record of pretraining, and the stream they come from.
FILES: dict[str, tuple[float, Callable[[int], Iterator]]] = {
    "pretrain": (1.0, curriculum.pretrain_texts),
    "sft": (0.5, curriculum.chats),
    "dpo": (0.1, curriculum.preferences),
    "grpo": (0.1, curriculum.rl_prompts),
    "reason": (0.1, curriculum.reasoning),
    "lora_identity": (0.02, curriculum.identity_chats),
    "lora_lessons": (0.05, curriculum.lesson_chats),
    "tokenizer": (0.3, curriculum.tokenizer_texts),
}
PROGRESS_EVERY = 1000  # records
_dump = json.JSONEncoder(ensure_ascii=False).encode


def write_records(path: Path, records: Iterable[object], progress: Callable[[int], None] | None = None) -> int:
    """Write one JSON line a record, a bare string as {"text"}, to a temporary name and rename it; return how many."""
    temporary = path.with_name(path.name + ".part")
    count = 0
    with temporary.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(_dump({"text": record} if isinstance(record, str) else record) + "\n")
            count += 1
            if progress is not None and count % PROGRESS_EVERY == 0:
                progress(count)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    return count


def write(
    directory: str | Path, records: int = 60_000, seed: int = 0, progress: Callable[[str, int, int], None] | None = None
) -> dict[str, int]:
    """Write every file of the primer into `directory`; return the number of records by file name.

    records: lines of primer_pretrain.jsonl; the other files are a fixed share of it, at least one line. progress is
    called with (file name, records written, records wanted). Each file appears whole or not at all.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    written = {}
    for kind, (share, stream) in FILES.items():
        name, wanted = f"primer_{kind}.jsonl", max(1, round(share * records))
        report = None if progress is None else (lambda done, name=name, wanted=wanted: progress(name, done, wanted))
        written[name] = write_records(directory / name, itertools.islice(stream(seed), wanted), report)
    written["primer_exam.jsonl"] = write_records(directory / "primer_exam.jsonl", map(dataclasses.asdict, exam_items()))
    return written
