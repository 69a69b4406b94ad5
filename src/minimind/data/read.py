"""Finds data files and reads their raw records in bounded memory: JSON lines, gzip, parquet.

Every function here works on bytes and line numbers; what a record means is the business of `formats`.
"""

import glob
import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from minimind.config import UserError

LINE_CAP_BYTES = 10 * 2**20
CHUNK_BYTES = 2**20
SUFFIXES = (".jsonl", ".json", ".jsonl.gz", ".json.gz", ".parquet")
_BOM = b"\xef\xbb\xbf"
_PARQUET_ROWS = 512


@dataclass
class Chunk:
    """Consecutive records of one file.

    items: (line number from 1, the line's bytes | a parquet row | None for a line over the cap); blank lines are left
    out and counted. consumed_bytes: how far the file on disk was read for this chunk, for progress.
    """

    file: str
    items: list[tuple[int, bytes | dict | None]]
    blank: int = 0
    consumed_bytes: int = 0


def find_files(patterns: str | Sequence[str]) -> list[Path]:
    """The files that `patterns` name, in order: files, globs, directories, or comma lists of these.

    A glob's and a directory's files come sorted by name; of a directory, the JSON-lines and parquet files directly
    inside count. A file named twice is read twice. Raises UserError for a pattern that names no file.
    """
    patterns = [patterns] if isinstance(patterns, str | os.PathLike) else list(patterns)
    words: list[str] = []
    for pattern in map(os.fspath, patterns):
        # A comma may belong to a file's name: only a pattern that is no existing path is a list.
        words += [pattern] if os.path.exists(pattern) else [word.strip() for word in pattern.split(",") if word.strip()]
    if not words:
        raise UserError("no data file was named: give a file, a glob, a directory or a comma list of these")
    return [path for word in words for path in _expand(os.path.expanduser(word))]


def _expand(word: str) -> list[Path]:
    path = Path(word)
    if path.is_dir():
        found = sorted(entry for entry in path.iterdir() if entry.is_file() and entry.name.endswith(SUFFIXES))
        if not found:
            raise UserError(f"directory {word} holds no data file: its files should end in {', '.join(SUFFIXES)}")
        return found
    if path.is_file():
        return [path]
    if path.exists():
        raise UserError(f"{word} is neither a file nor a directory: name a data file")
    if not glob.has_magic(word):
        raise UserError(f"data file {word} does not exist (looked from {os.getcwd()}): check the path")
    found = sorted(Path(name) for name in glob.glob(word, recursive=True) if os.path.isfile(name))
    if not found:
        raise UserError(f"no file matches {word} (looked from {os.getcwd()}): check the pattern")
    return found


def read_chunks(files: Sequence[Path], chunk_bytes: int = CHUNK_BYTES) -> Iterator[Chunk]:
    """The records of `files` in order, some `chunk_bytes` at a time; gzip and parquet are told by their first bytes.

    Memory stays below about twice `LINE_CAP_BYTES`, however long a line is. Raises UserError, naming the file, for one
    that cannot be opened, is UTF-16, a torn gzip stream or a broken parquet file.
    """
    for path in files:
        try:
            with open(path, "rb") as raw:
                head = raw.read(4)
                raw.seek(0)
                if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
                    raise UserError(f"{path} is UTF-16 text: convert it to UTF-8")
                if head == b"PAR1":
                    yield from _parquet_chunks(path)
                elif head[:2] == b"\x1f\x8b":
                    with gzip.GzipFile(fileobj=raw) as unpacked:
                        yield from _line_chunks(path, unpacked, raw, chunk_bytes)
                else:
                    yield from _line_chunks(path, raw, raw, chunk_bytes)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{path} is a torn gzip file ({error}): fetch or pack it again") from error
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}") from error


def _line_chunks(path: Path, lines: BinaryIO, raw: BinaryIO, chunk_bytes: int) -> Iterator[Chunk]:
    chunk, size, position, number = Chunk(str(path), []), 0, 0, 0
    while line := lines.readline(LINE_CAP_BYTES + 1):
        number += 1
        if len(line) > LINE_CAP_BYTES and not line.endswith(b"\n"):
            while len(line) > 0 and not line.endswith(b"\n"):  # read over the rest without holding it
                line = lines.readline(2**16)
            chunk.items.append((number, None))
        else:
            line = line.removeprefix(_BOM).strip(b" \t\r\n")
            if line:
                chunk.items.append((number, line))
                size += len(line)
            else:
                chunk.blank += 1
        if size >= chunk_bytes or len(chunk.items) >= chunk_bytes // 64:
            chunk.consumed_bytes, position = raw.tell() - position, raw.tell()
            yield chunk
            chunk, size = Chunk(str(path), []), 0
    chunk.consumed_bytes = raw.tell() - position
    yield chunk


def _parquet_chunks(path: Path) -> Iterator[Chunk]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(f"{path} is a parquet file: install pyarrow to read it, or convert it to .jsonl") from error
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            row, share = 0, path.stat().st_size / max(1, table.metadata.num_rows)
            for batch in table.iter_batches(batch_size=_PARQUET_ROWS):
                items = [(row + offset, value) for offset, value in enumerate(batch.to_pylist(), start=1)]
                row += len(items)
                yield Chunk(str(path), items, consumed_bytes=int(share * len(items)))
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise UserError(f"{path} is a broken parquet file ({error}): write it again") from error
