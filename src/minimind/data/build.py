"""Building a token store: fingerprints, the lock, the workers, and writing that is complete or absent."""

import fcntl
import hashlib
import json
import multiprocessing
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from minimind.config import UserError
from minimind.data.encode import Encoded, encode_chunk, encode_in_worker, start_worker, token_type
from minimind.data.formats import BadRecord
from minimind.data.read import read_chunks
from minimind.data.records import BadRecords, check_finished
from minimind.runtime.paths import fsync_folder

if TYPE_CHECKING:
    from minimind.tokenizer.tokenizer import Tokenizer

FORMAT = 1
WHOLE_HASH_BYTES = 64 * 2**20
PARALLEL_FROM_BYTES = 4 * 2**20
_END_BYTES = 2**20
_PROBE = [
    {"role": "system", "content": "s"},
    {"role": "user", "content": "u <think>"},
    {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": {"x": 1}}]},
    {"role": "tool", "content": "t"},
    {"role": "assistant", "content": "<think>\na\n</think>\n<answer>b</answer>"},
    {"role": "user", "content": "v"},
    {"role": "assistant", "content": "c", "reasoning_content": "r"},
]


def fingerprint(files: Sequence[Path]) -> str:
    """Changes when a file does: its whole content, or for large files size, time of change, first and last megabyte."""
    digest = hashlib.blake2b(digest_size=20)
    for path in files:
        status = path.stat()
        digest.update(f"{path.resolve()}\n{status.st_size}\n".encode())
        with open(path, "rb") as file:
            if status.st_size <= WHOLE_HASH_BYTES:
                while block := file.read(_END_BYTES):
                    digest.update(block)
            else:
                digest.update(f"{status.st_mtime_ns}\n".encode() + file.read(_END_BYTES))
                file.seek(-_END_BYTES, os.SEEK_END)
                digest.update(file.read(_END_BYTES))
    return digest.hexdigest()


def recipe(files: Sequence[Path], prints: str, kind: str, tokenizer: "Tokenizer") -> str:
    """The name of a store: a hash of all that decides its content, the rendering of dialogues included."""
    parts = [FORMAT, prints, [str(path) for path in files], kind, tokenizer.hash]
    if kind != "text":
        parts.append(tokenizer.render(_PROBE, tools=[{"name": "f", "parameters": {}}]))
    return f"{kind}-{hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()}"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits for, then holds the lock at `path`. The system drops it when its holder ends, however it ends."""
    with open(path, "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build(
    files: Sequence[Path],
    kind: str,
    tokenizer: "Tokenizer",
    folder: Path,
    *,
    prints: str,
    strict: bool,
    max_bad: float,
    progress: Callable[[int, int], None] | None,
    processes: int | None,
) -> None:
    """Writes the store of `files` to `folder`, whose lock is held: under another name, renamed when complete.

    `prints` is the fingerprint that `folder` was named after. Raises UserError when it is no longer true at the end.
    """
    total = sum(path.stat().st_size for path in files)
    for rest in folder.parent.glob(f"{folder.name}.part*"):  # of builders that were killed
        shutil.rmtree(rest)
    part = folder.with_name(f"{folder.name}.part")
    part.mkdir()
    try:
        report, done = BadRecords(), 0
        with _Writer(part, kind, tokenizer.vocab_size) as writer:
            for encoded in _encoded(files, kind, tokenizer, total, processes):
                report.seen += encoded.seen
                report.blank += encoded.blank
                for line, reason, detail in encoded.bad:
                    report.add(encoded.file, line, BadRecord(reason, detail))
                report.judge(strict=strict, max_bad=max_bad, finished=False)
                writer.add(encoded)
                done += encoded.consumed_bytes
                if progress:
                    progress(done, total)
            check_finished(files, kind, report, strict=strict, max_bad=max_bad)
        if fingerprint(files) != prints:
            raise UserError(f"{_names(files)} changed while being read: start again when the files are complete")
        meta = {
            "format": FORMAT,
            "kind": kind,
            "tokenizer_hash": tokenizer.hash,
            "vocab_size": tokenizer.vocab_size,
            "sources": writer.sources,
            "files": writer.description(),
            "report": {name: getattr(report, name) for name in ("seen", "blank", "counts", "named")},
        }
        with open(part / "meta.json", "w", encoding="utf-8") as file:
            json.dump(meta, file, ensure_ascii=False)
            _flush(file)
        fsync_folder(part)
        os.replace(part, folder)
        fsync_folder(folder.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _names(files: Sequence[Path]) -> str:
    return ", ".join(map(str, files[:3])) + (", ..." if len(files) > 3 else "")


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _cores() -> int:
    """Those that this process may use, where the system can tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _encoded(
    files: Sequence[Path], kind: str, tokenizer: "Tokenizer", total: int, processes: int | None
) -> Iterator[Encoded]:
    """The chunks of `files`, encoded, in order; small sources in this process, which costs no start of others."""
    processes = processes or _cores()
    if processes == 1 or total < PARALLEL_FROM_BYTES:
        for chunk in read_chunks(files):
            yield encode_chunk(chunk, kind, tokenizer)
        return
    context = multiprocessing.get_context("spawn")
    waiting: deque = deque()
    with ProcessPoolExecutor(processes, context, initializer=start_worker, initargs=(tokenizer,)) as pool:
        try:
            for chunk in read_chunks(files):
                waiting.append(pool.submit(encode_in_worker, chunk, kind))
                if len(waiting) > 2 * processes:  # bounds memory, and keeps everyone busy
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise UserError(
                "a tokenizing process was killed, perhaps for want of memory: free some and run again"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _Writer:
    """Appends encoded chunks to the files of a store."""

    def __init__(self, folder: Path, kind: str, vocab_size: int):
        self.folder, self.sources = folder, []
        self.types: dict[str, type] = {
            "ids": token_type(vocab_size),
            "offsets": np.int64,
            "first_targets": np.int32,
            "keys": np.uint64,
            "files": np.int32,
            "lines": np.int64,
        }
        if kind != "text":
            self.types["mask_bits"] = np.uint8
        self.counts = dict.fromkeys(self.types, 0)
        self.odd_bits = np.zeros(0, bool)  # fewer than 8, waiting for the rest of their byte
        self.tokens = 0

    def __enter__(self) -> "_Writer":
        self.handles = {name: open(self.folder / f"{name}.bin", "wb") for name in self.types}
        self._append("offsets", np.zeros(1))
        return self

    def __exit__(self, problem: type | None, *_: object) -> None:
        if problem is None and "mask_bits" in self.types:
            self._append("mask_bits", np.packbits(self.odd_bits))
        for handle in self.handles.values():
            if problem is None:
                _flush(handle)
            handle.close()

    def _append(self, name: str, values: np.ndarray) -> None:
        self.handles[name].write(values.astype(self.types[name]).tobytes())
        self.counts[name] += len(values)

    def add(self, encoded: Encoded) -> None:
        if encoded.file not in self.sources[-1:]:
            self.sources.append(encoded.file)
        self._append("ids", encoded.ids)
        self._append("offsets", self.tokens + np.cumsum(encoded.lengths))
        self._append("first_targets", encoded.first_targets)
        self._append("keys", encoded.keys)
        self._append("files", np.full(len(encoded.keys), len(self.sources) - 1))
        self._append("lines", encoded.lines)
        if encoded.mask is not None:
            bits = np.concatenate([self.odd_bits, encoded.mask])
            whole = len(bits) // 8 * 8
            self._append("mask_bits", np.packbits(bits[:whole]))
            self.odd_bits = bits[whole:]
        self.tokens += len(encoded.ids)

    def description(self) -> dict[str, dict]:
        return {name: {"type": np.dtype(kind).name, "count": self.counts[name]} for name, kind in self.types.items()}
