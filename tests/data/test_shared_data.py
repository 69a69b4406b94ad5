"""Every file of the real data goes through the reader of its kind, the tokenizer, the packer and back."""

import itertools
from pathlib import Path

import numpy as np

from minimind.data.pack import Document, pack
from minimind.data.records import BadRecords, read_records

RECORDS_PER_FILE = 40
KINDS = {"pretrain": "text", "sft": "chat", "preference": "preference", "math": "prompt"}


def files(folder: Path) -> list[tuple[Path, str]]:
    """Each data file with its kind. Multiple choice and pictures are read by others."""
    found = [path for path in sorted(folder.rglob("*.jsonl*")) if path.name.endswith((".jsonl", ".jsonl.gz"))]
    return [(path, KINDS[kind]) for path in found if (kind := path.name.split("_")[0].split(".")[0]) in KINDS]


def test_every_file_is_read_and_nothing_is_bad(shared_data: Path):
    read = files(shared_data)
    assert {kind for _, kind in read} == set(KINDS.values())
    for path, kind in read:
        report = BadRecords()
        records = list(itertools.islice(read_records(path, kind, strict=True, report=report), RECORDS_PER_FILE))
        assert len(records) == RECORDS_PER_FILE and report.bad == 0, path


def test_the_targets_of_real_dialogues_are_what_the_assistant_said(shared_data: Path, tokenizer):
    """The targets of a packed batch, decoded, are the assistant's messages with an end token after each."""
    dialogues = 0
    for path, kind in files(shared_data):
        if kind != "chat":
            continue
        records = list(itertools.islice(read_records(path, kind), RECORDS_PER_FILE))
        documents = [Document(*map(np.array, tokenizer.render(record.value["conversations"]))) for record in records]
        batch = pack(documents, max(len(document.ids) for document in documents))
        for number, record in enumerate(records):
            spoken = [m["content"] for m in record.value["conversations"] if m["role"] == "assistant"]
            targets = batch.targets[(batch.documents == number) & (batch.targets != -100)]
            assert tokenizer.decode(targets.tolist()) == "".join(f"{words}<|im_end|>" for words in spoken), record[:2]
        dialogues += len(records)
    assert dialogues >= 200
