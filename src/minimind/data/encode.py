"""Chunks of records into token arrays: the work that is spread over processes. Loads no torch."""

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from minimind.data.formats import BadRecord, parse
from minimind.data.read import Chunk
from minimind.data.records import canonical

if TYPE_CHECKING:
    from minimind.tokenizer.tokenizer import Tokenizer

NEVER = np.iinfo(np.int32).max
_tokenizer: "Tokenizer | None" = None  # of a worker process


@dataclass
class Encoded:
    """The documents of one chunk, concatenated; a preference record makes two, chosen and rejected.

    ids [tokens]; mask [tokens] bool, or None when all is supervised; per document: length, the place of its first
    supervised token (NEVER if none), the key of its record (see `record_key`), the line of its record.
    """

    file: str
    ids: np.ndarray
    mask: np.ndarray | None
    lengths: np.ndarray
    first_targets: np.ndarray
    keys: np.ndarray
    lines: np.ndarray
    seen: int
    blank: int
    consumed_bytes: int
    bad: list[tuple[int, str, str]] = field(default_factory=list)


def token_type(vocab_size: int) -> type:
    return np.uint16 if vocab_size <= 2**16 else np.uint32


def record_key(value: dict, kind: str) -> int:
    """64 bits that are equal for equal content: the text, the whole dialogue, or the prompt of a pair or of a question.

    A held-out part chosen by it shares no text, no dialogue and no prompt with the rest.
    """
    content = {
        "text": lambda: value["text"],
        "chat": lambda: value["conversations"],
        "preference": lambda: value["chosen"][:-1],
        "prompt": lambda: value["conversations"],
    }[kind]()
    return int.from_bytes(hashlib.blake2b(canonical(content), digest_size=8).digest(), "little")


def encode_chunk(chunk: Chunk, kind: str, tokenizer: "Tokenizer") -> Encoded:
    """The tokens of a chunk's usable records; the bad ones are listed as (line, reason, detail)."""
    values, lines, bad = [], [], []
    for line, payload in chunk.items:
        try:
            values.append(parse(payload, kind))
            lines.append(line)
        except BadRecord as error:
            bad.append((line, error.reason, error.detail))
    keys = [record_key(value, kind) for value in values]
    if kind == "text":
        ids, masks = _texts([value["text"] for value in values], tokenizer), None
    else:
        sides = ("conversations",) if kind == "chat" else ("chosen", "rejected")
        rendered = [tokenizer.render(value[side], tools=value["tools"]) for value in values for side in sides]
        ids = [np.array(document.ids, np.int64) for document in rendered]
        masks = [np.array(document.mask, bool) for document in rendered]
        if kind == "preference":
            masks = [_last_run(mask) for mask in masks]
        keys, lines = np.repeat(keys, len(sides)), np.repeat(lines, len(sides))
    first = [0] * len(ids) if masks is None else [int(mask.argmax()) if mask.any() else NEVER for mask in masks]
    return Encoded(
        file=chunk.file,
        ids=_join(ids, np.int64).astype(token_type(tokenizer.vocab_size)),
        mask=None if masks is None else _join(masks, bool),
        lengths=np.array([len(document) for document in ids], np.int64),
        first_targets=np.array(first, np.int32),
        keys=np.array(keys, np.uint64),
        lines=np.array(lines, np.int64),
        seen=len(chunk.items),
        blank=chunk.blank,
        consumed_bytes=chunk.consumed_bytes,
        bad=bad,
    )


def _texts(texts: list[str], tokenizer: "Tokenizer") -> list[np.ndarray]:
    begin, end = [tokenizer.bos_id], [tokenizer.eos_id]
    return [np.array(begin + ids + end, np.int64) for ids in tokenizer.encode_batch(texts)]


def _last_run(mask: np.ndarray) -> np.ndarray:
    """Only the last unbroken run of True: the last message of the assistant's."""
    places = np.flatnonzero(mask)
    if len(places):
        breaks = np.flatnonzero(np.diff(places) > 1)
        mask[: places[breaks[-1] + 1] if len(breaks) else 0] = False
    return mask


def _join(arrays: list[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.zeros(0, kind)


def start_worker(tokenizer: "Tokenizer") -> None:
    """Gives a worker process its tokenizer, once."""
    global _tokenizer
    _tokenizer = tokenizer


def encode_in_worker(chunk: Chunk, kind: str) -> Encoded:
    assert _tokenizer is not None, "start_worker comes first"
    return encode_chunk(chunk, kind, _tokenizer)
