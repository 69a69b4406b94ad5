"""Records one after the other, and the bad ones by name.

A record that cannot be used is counted by reason and named `file:line: reason`; it is skipped, or fatal when `strict`.
Too many bad ones stop the reading: more than `max_bad` of the records (1 %) and at least two - one slip in a small
file is no reason to stop. The share is judged at the end of the input, and on the way from the hundredth bad record
on, so that a wrong file of any size is refused soon. Blank lines are no records: they are counted, nothing else.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from minimind.config import UserError
from minimind.data.formats import KINDS, BadRecord, parse
from minimind.data.read import find_files, read_chunks

MAX_BAD_SHARE = 0.01
_TOLERATED = 1
_JUDGED_EARLY_FROM = 100
_EXAMPLES_KEPT = 1000
_EXAMPLES_SHOWN = 5


class Record(NamedTuple):
    """A usable record: the file and line it stands in (for parquet the row, from 1), and its canonical form."""

    file: str
    line: int
    value: dict


@dataclass
class BadRecords:
    """What reading left out. seen: records, good and bad; counts: bad ones by reason; named: the first ones.

    `on_bad` is called with `file:line: reason` for every bad record, also those beyond the ones kept in `named`.
    """

    seen: int = 0
    blank: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    named: list[str] = field(default_factory=list)
    on_bad: Callable[[str], None] | None = None

    @property
    def bad(self) -> int:
        return sum(self.counts.values())

    def add(self, file: str, line: int, error: BadRecord) -> None:
        self.counts[error.reason] = self.counts.get(error.reason, 0) + 1
        name = f"{file}:{line}: {error}"
        if len(self.named) < _EXAMPLES_KEPT:
            self.named.append(name)
        if self.on_bad:
            self.on_bad(name)

    def judge(self, *, strict: bool, max_bad: float, finished: bool) -> None:
        """Raises UserError when what was read so far may not be used."""
        if self.bad == 0:
            return
        if strict:
            raise UserError(f"bad record: {self.named[0]} (without --strict it would be skipped)")
        too_many = self.bad > max(_TOLERATED, max_bad * self.seen)
        if too_many and (finished or self.bad >= _JUDGED_EARLY_FROM):
            shown = "\n  ".join(self.named[:_EXAMPLES_SHOWN])
            raise UserError(f"{self}, more than {max_bad:.2%}: mend or remove them. The first ones:\n  {shown}")

    def __str__(self) -> str:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.counts.items(), key=lambda c: -c[1]))
        return f"{self.bad} of {self.seen} records are bad" + (f" ({reasons})" if reasons else "")


def read_records(
    patterns: str | Sequence[str],
    kind: str,
    *,
    strict: bool = False,
    max_bad: float = MAX_BAD_SHARE,
    report: BadRecords | None = None,
) -> Iterator[Record]:
    """Streams the usable records of the files that `patterns` name (see `read.find_files`), in order.

    kind: "text", "chat", "preference" or "prompt" (see `formats`). `report` is filled while reading.
    Raises UserError: nothing found, a bad record when `strict`, too many bad records, or none usable.
    """
    check_kind(kind)
    files = find_files(patterns)
    report = BadRecords() if report is None else report
    return _read(files, kind, strict, max_bad, report)


def _read(files: list, kind: str, strict: bool, max_bad: float, report: BadRecords) -> Iterator[Record]:
    for chunk in read_chunks(files):
        report.blank += chunk.blank
        for line, payload in chunk.items:
            report.seen += 1
            try:
                value = parse(payload, kind)
            except BadRecord as error:
                report.add(chunk.file, line, error)
                report.judge(strict=strict, max_bad=max_bad, finished=False)
            else:
                yield Record(chunk.file, line, value)
    check_finished(files, kind, report, strict=strict, max_bad=max_bad)


def check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise UserError(f"unknown kind of record {kind!r}: it is one of {', '.join(KINDS)}")


def check_finished(files: Sequence, kind: str, report: BadRecords, *, strict: bool, max_bad: float) -> None:
    """The judgement at the end of the input. Raises UserError when too much, or everything, was bad."""
    if report.bad == report.seen:
        names = ", ".join(map(str, files[:3])) + (", ..." if len(files) > 3 else "")
        why = f"{report.named[0]}" if report.named else "there is no record at all"
        raise UserError(f"no usable {kind} record in {names}: {why}")
    report.judge(strict=strict, max_bad=max_bad, finished=True)


def canonical(value: object) -> bytes:
    """One byte string for equal records, for hashing."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode()
