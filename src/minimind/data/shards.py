"""Token stores: records tokenized once, then read from memory-mapped files by any number of processes.

A store is a folder named by the hash of all that decides its content; it appears under that name only when complete.
It holds whole documents. How long a sample may be is decided when it is opened, so one store serves every length.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minimind.config import UserError
from minimind.data.build import build, fingerprint, locked, recipe
from minimind.data.pack import Document
from minimind.data.read import find_files
from minimind.data.records import MAX_BAD_SHARE, BadRecords, check_kind

if TYPE_CHECKING:
    from minimind.tokenizer.tokenizer import Tokenizer


class Arrays(NamedTuple):
    """The files of a store: ids and mask bits of N documents end to end, and what is known of each document."""

    ids: np.ndarray  # [tokens] uint16 | uint32
    mask_bits: np.ndarray | None  # [tokens / 8] uint8, first token in the highest bit; None: all supervised
    offsets: np.ndarray  # [N + 1] int64: document i is ids[offsets[i]:offsets[i + 1]]
    first_targets: np.ndarray  # [N] int32: place of the first supervised token
    keys: np.ndarray  # [N] uint64: equal for equal records
    files: np.ndarray  # [N] int32, into the store's list of sources
    lines: np.ndarray  # [N] int64


class Samples(NamedTuple):
    """The samples of a store, or of a part of it: which document, from which token, how many tokens. Each [samples]."""

    documents: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    def pick(self, which: np.ndarray) -> "Samples":
        return Samples(*(values[which] for values in self))


class TokenStore:
    """The samples of one set of files: `len(store)`, `store[i] -> Document`. Of preference pairs, chosen is 2i and
    rejected 2i + 1.

    key: names files, tokenizer, kind and format. report: what reading left out. max_seq_len: no sample is longer.
    truncated, dropped: documents (of pairs: pairs) that were cut at their end, or left out because then no supervised
    token was left. lengths [samples]: tokens of each sample. tokens: their sum.
    """

    def __init__(self, folder: Path, max_seq_len: int):
        self.folder, self.max_seq_len = folder, max_seq_len
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        self.key, self.kind, self.vocab_size, self.sources = (
            folder.name,
            meta["kind"],
            meta["vocab_size"],
            meta["sources"],
        )
        self.report = BadRecords(**meta["report"])
        self.arrays = _map(folder, meta["files"])
        self.truncated = self.dropped = 0
        self.samples = self._pieces() if self.kind == "text" else self._heads()
        if not len(self):
            raise UserError(
                f"none of the {len(self.arrays.keys)} documents in {', '.join(self.sources[:3])} has a supervised "
                f"token within max_seq_len {max_seq_len}: raise it"
            )

    def _pieces(self) -> Samples:
        """Long texts cut so that nothing is lost: the next piece starts with the last token of the one before.

        Each token but a document's first is therefore a target exactly once.
        """
        lengths, step = np.diff(self.arrays.offsets), self.max_seq_len - 1
        counts = np.maximum(1, -(-(lengths - 1) // step))
        documents = np.repeat(np.arange(len(lengths)), counts)
        piece = np.arange(len(documents)) - np.repeat(np.cumsum(counts) - counts, counts)
        starts = piece * step
        return Samples(documents, starts, np.minimum(lengths[documents] - starts, self.max_seq_len))

    def _heads(self) -> Samples:
        """Dialogues cut at the end; pairs stay together or go together."""
        lengths = np.diff(self.arrays.offsets)
        usable, long = self.arrays.first_targets < self.max_seq_len, lengths > self.max_seq_len
        if self.kind == "preference":
            usable, long = usable.reshape(-1, 2).all(1), long.reshape(-1, 2).any(1)
        self.truncated, self.dropped = int((usable & long).sum()), int((~usable).sum())
        if self.kind == "preference":
            usable = usable.repeat(2)
        documents = np.flatnonzero(usable)
        lengths = np.minimum(lengths[documents], self.max_seq_len)
        return Samples(documents, np.zeros_like(documents), lengths)

    def __len__(self) -> int:
        return len(self.samples.documents)

    def __getitem__(self, index: int) -> Document:
        """Raises UserError when the file holds an id that the tokenizer does not have."""
        document, start, length = (int(values[index]) for values in self.samples)
        begin = int(self.arrays.offsets[document]) + start
        ids = np.array(self.arrays.ids[begin : begin + length])
        if ids.max() >= self.vocab_size:
            at = begin + int(np.argmax(ids >= self.vocab_size))
            raise UserError(
                f"{self.folder / 'ids.bin'} holds id {self.arrays.ids[at]} at byte {at * ids.itemsize}, beyond the "
                f"vocabulary of {self.vocab_size}: the store is damaged, delete {self.folder}"
            )
        return Document(ids, self._mask(begin, length))

    def _mask(self, begin: int, length: int) -> np.ndarray:
        if self.arrays.mask_bits is None:
            return np.ones(length, bool)
        first_byte, end = begin // 8, begin + length
        bits = np.unpackbits(self.arrays.mask_bits[first_byte : -(-end // 8)])
        return bits[begin - first_byte * 8 : end - first_byte * 8].view(bool)

    @property
    def lengths(self) -> np.ndarray:
        return self.samples.lengths

    @property
    def tokens(self) -> int:
        return int(self.lengths.sum())

    def source(self, index: int) -> str:
        """`file:line` of the record that sample `index` comes from."""
        document = int(self.samples.documents[index])
        return f"{self.sources[self.arrays.files[document]]}:{self.arrays.lines[document]}"

    def split(self, share: float) -> tuple["TokenStore", "TokenStore"]:
        """(training, held-out) part: about `share` of the records by the hash of their content, whatever their order.

        Equal records - of pairs: pairs of one prompt - fall on the same side, and so do all pieces of a text. Either
        part may be empty.
        """
        held = held_out(self.arrays.keys[self.samples.documents], share)
        return self._part(~held), self._part(held)

    def _part(self, which: np.ndarray) -> "TokenStore":
        part = TokenStore.__new__(TokenStore)
        part.__dict__.update(self.__dict__, samples=self.samples.pick(which))
        return part

    def __str__(self) -> str:
        unit = "pairs" if self.kind == "preference" else "samples"
        count = len(self) // 2 if self.kind == "preference" else len(self)
        notes = [f"{count:,} {unit}, {self.tokens:,} tokens from {len(self.sources)} files"]
        notes += [str(self.report)] if self.report.bad else []
        notes += [f"{self.truncated:,} cut to {self.max_seq_len} tokens"] if self.truncated else []
        notes += [f"{self.dropped:,} left out: no supervised token within {self.max_seq_len}"] if self.dropped else []
        return "; ".join(notes)


def held_out(keys: np.ndarray, share: float) -> np.ndarray:
    """[n] bool: the keys, 64 bits each, that belong to the held-out part."""
    assert 0 <= share < 1
    return np.asarray(keys, np.uint64) < np.uint64(share * 2**64)


def _map(folder: Path, files: dict[str, dict]) -> Arrays:
    """Memory-maps the files of a store. Raises UserError when one has not the length that it was written with."""
    maps: dict[str, np.ndarray | None] = dict.fromkeys(Arrays._fields)
    for name, entry in files.items():
        path, kind = folder / f"{name}.bin", np.dtype(entry["type"])
        found, expected = path.stat().st_size if path.exists() else 0, entry["count"] * kind.itemsize
        if found != expected:
            raise UserError(
                f"token store {folder} is damaged ({name}.bin has {found} bytes, not {expected}): delete it"
            )
        maps[name] = np.asarray(np.memmap(path, kind, "r"))  # the plain type: memmap's own slices cost ten times more
    return Arrays(**maps)


def open_store(
    patterns: str | Sequence[str],
    kind: str,
    tokenizer: "Tokenizer",
    cache_dir: str | Path,
    max_seq_len: int,
    strict: bool = False,
    *,
    max_bad: float = MAX_BAD_SHARE,
    progress: Callable[[int, int], None] | None = None,
    processes: int | None = None,
) -> TokenStore:
    """The token store of these files, built now if `cache_dir` has none, by all cores (or `processes`).

    kind: "text" (`<bos> text <eos>`, all supervised, cut into pieces of `max_seq_len`), "chat" (rendered dialogues, the
    assistant's words supervised, cut at the end) or "preference" (chosen and rejected, only the last message
    supervised). progress(bytes read, bytes in all) is called while building. A second process that wants the same store
    waits for the first. Raises UserError: see `read_records`; also for a file that changes meanwhile and for a cache
    that cannot be written.
    """
    check_kind(kind)
    if kind == "prompt":
        raise UserError("prompts are not packed: read them with minimind.data.prompts.open_prompts")
    if max_seq_len < 2:
        raise UserError(
            f"max_seq_len is {max_seq_len}: a sample needs at least 2 tokens, one to see and one to predict"
        )
    files = find_files(patterns)
    prints = fingerprint(files)
    key = recipe(files, prints, kind, tokenizer)
    folder = Path(cache_dir) / key
    try:
        Path(cache_dir).mkdir(parents=True, exist_ok=True)
        with locked(Path(cache_dir) / f"{key}.lock"):
            if not folder.exists():
                options = {"strict": strict, "max_bad": max_bad, "progress": progress, "processes": processes}
                build(files, kind, tokenizer, folder, prints=prints, **options)
    except OSError as error:
        raise UserError(f"cannot keep the token store in {cache_dir} ({error}): name another --cache_dir") from error
    store = TokenStore(folder, max_seq_len)
    replace(store.report).judge(strict=strict, max_bad=max_bad, finished=True)  # a store built without --strict
    return store
