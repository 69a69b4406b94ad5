"""Tokenizer training: finds the pieces of text that a vocabulary of a given size is best spent on.

Byte-level byte-pair encoding (Sennrich et al., arXiv 1508.07909): start from the 256 bytes and keep joining the pair of
neighbours that is most frequent in the corpus until the vocabulary is full.

Departures from the public recipe: (1) the characters that the corpus uses become whole before any word does, so that a
small model does not have to spell Chinese in bytes; (2) two line breaks never share a token, so that a prompt has the
ids it had in training; (3) a held-out part of the texts is measured, and the report is saved with the tokenizer.

minimind tokenizer --data_path 'dataset/*pretrain*.jsonl' --vocab_size 6400
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minimind.config import UserError, flag
from minimind.data.read import find_files, read_chunks
from minimind.data.records import BadRecords, read_records
from minimind.runtime.paths import write_atomically
from minimind.tokenizer.report import report
from minimind.tokenizer.train import train as train_tokenizer

# One text in so many is kept out of the training and measured.
HELD_OUT_ONE_IN = 50


@dataclass
class Config:
    """Vocabulary size and special tokens are those of the spec's train_tokenizer.py."""

    vocab_size: int = flag(6400, "entries, 36 reserved ones and 256 bytes included", minimum=292)
    split_digits: bool = flag(False, "make every digit a token of its own, which helps arithmetic")
    character_share: float = flag(
        0.4, "share of the room that may go to whole characters before words get theirs", minimum=0, maximum=1
    )
    data_path: str = flag("dataset/pretrain_hq.jsonl", "files to read: path, folder, glob, or several with commas")
    max_characters: int = flag(
        20_000_000, "characters to read at most, an equal part from each file; 0 reads all", minimum=0
    )
    strict: bool = flag(False, "stop at the first record that cannot be used")
    save_dir: str = flag("out/tokenizer", "folder for the tokenizer and its report", "--tokenizer_dir", "--out_dir")
    dry_run: bool = flag(False, "read and check the data, say what would be done, and stop")


def train(config: Config) -> None:
    """Reads texts or dialogues, trains, and writes tokenizer.json, tokenizer_config.json, report.md and report.json."""
    bad = BadRecords(on_bad=lambda name: print(f"skipped {name}", file=sys.stderr))
    texts, held_out = [], []
    for text in read_texts(config, bad):
        (held_out if _is_held_out(text) else texts).append(text)
    characters = sum(map(len, texts))
    print(f"{len(texts):,} texts of {characters:,} characters to train on, {len(held_out):,} held out; {bad}")
    if config.dry_run:
        print(f"would train {config.vocab_size:,} entries and write {config.save_dir}")
        return
    tokenizer = train_tokenizer(
        texts, config.vocab_size, config.split_digits, config.character_share, progress=sys.stderr.isatty()
    )
    found = report(tokenizer, held_out or texts)
    heading = f"Measured on {len(held_out):,} held-out texts." if held_out else "Measured on the training texts."
    tokenizer.save(config.save_dir)
    folder = Path(config.save_dir)
    write_atomically(folder / "report.md", f"# Tokenizer\n\n{heading}\n\n{found.table()}")
    summary = {"held_out_texts": len(held_out), "training_characters": characters, "hash": tokenizer.hash}
    write_atomically(folder / "report.json", json.dumps(summary | found.to_dict(), indent=1) + "\n")
    print(f"{heading}\n\n{found.table()}\nwritten to {config.save_dir}")


def read_texts(config: Config, bad: BadRecords) -> Iterator[str]:
    """The words of every record, without roles. UserError: files missing, unreadable, or of no known format."""
    files = find_files(config.data_path)
    for file in files:
        left = config.max_characters / len(files) if config.max_characters else float("inf")
        for record in read_records(str(file), kind_of(file), strict=config.strict, report=bad):
            for text in words_of(record.value):
                left -= len(text)
                yield text
            if left <= 0:
                break


def kind_of(file: Path) -> str:
    """The kind of record in a file, by the keys of the first one that can be read at all."""
    for chunk in read_chunks([file]):
        for _, payload in chunk.items:
            keys = _keys(payload)
            if "text" in keys:
                return "text"
            if "chosen" in keys:
                return "preference"
            if keys & {"question", "answer", "gt"}:
                return "prompt"
            if "conversations" in keys:
                return "chat"
    raise UserError(
        f"{file} has no record with text, conversations, chosen or question; see the data formats in the docs"
    )


def _keys(payload: bytes | dict[str, Any] | None) -> set[str]:
    if isinstance(payload, bytes):
        try:
            payload = json.loads(payload)
        except ValueError:
            return set()  # named and counted when the records are read
    return set(payload) if isinstance(payload, dict) else set()


def words_of(value: dict[str, Any]) -> Iterator[str]:
    """The texts of a record of any kind: what is said, thought and asked."""
    if "text" in value:
        yield value["text"]
    for message in [*value.get("conversations", []), *value.get("chosen", []), *value.get("rejected", [])[-1:]]:
        for key in ("reasoning_content", "content"):
            if message.get(key):
                yield message[key]
    for key in ("solution", "answer"):
        if isinstance(value.get(key), str) and value[key]:
            yield value[key]


def _is_held_out(text: str) -> bool:
    """Decided by the text alone, so a repeated text is never on both sides."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") % HELD_OUT_ONE_IN == 0
