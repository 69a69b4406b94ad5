"""What a stage learns from: its files opened, a part held out, and a stream of steps.

A stage names its kind of record and gets an object with `stream(ranks)`, `steps(ranks)`, `identity` (what a resume
must find again) and `card` (what the weights' card says of the data). `run` is the stage's run group.
"""

import contextlib
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minimind.config import UserError, flag
from minimind.data.pack import Batch
from minimind.data.prompts import open_prompts
from minimind.data.records import BadRecords
from minimind.data.shards import TokenStore, open_store
from minimind.data.stream import PackedStream, PairStream, PromptStream, pair_batch, sweep
from minimind.runtime.paths import home_of
from minimind.runtime.progress import Progress
from minimind.tokenizer import Tokenizer

VALIDATION_PAIRS = 64  # pairs computed together where nothing is learned


@dataclass
class DataGroup:
    """Data"""

    data_path: str = flag("", "files to read: a path, a folder, a glob, or several with commas")
    max_seq_len: int = flag(512, "tokens in a packed row, and of a sample at most", minimum=8)
    validation_share: float = flag(0.01, "share of the records held out to validate on", minimum=0, maximum=0.5)
    strict: bool = flag(False, "stop at the first record that cannot be used")
    cache_dir: str = flag("", "folder of tokenized shards; empty: .cache/ beside out/, or inside --save_dir")


def data_group(**defaults) -> Any:
    """A data group as a field of a stage's config, with the stage's own defaults."""
    return field(default_factory=lambda: DataGroup(**defaults))


def _steps(items_per_epoch: int, run: Any, ranks: Any) -> int:
    """Steps of `epochs` passes; the last one is filled up from the next pass."""
    return max(1, math.ceil(run.epochs * items_per_epoch / _per_step(run, ranks)))


def _per_step(run: Any, ranks: Any) -> int:
    return run.batch_size * run.accumulation_steps * ranks.world_size


def _open(kind: str, group: DataGroup, run: Any, tokenizer: Tokenizer) -> tuple[TokenStore, TokenStore]:
    """(training, held-out) part of the store of these files; building it is shown.

    A dry run leaves nothing behind: its store is unlinked as soon as it is mapped.
    """
    kept = Path(group.cache_dir or home_of(run.save_dir) / ".cache")
    scratch = tempfile.TemporaryDirectory() if run.dry_run else contextlib.nullcontext(kept)
    with scratch as cache, Progress("tokenizing", 1, "bytes", quiet=run.quiet) as progress:

        def show(done: int, total: int) -> None:
            progress.total = max(1, total)
            progress.update(done)

        store = open_store(
            group.data_path, kind, tokenizer, cache, group.max_seq_len, strict=group.strict, progress=show
        )
        if store.report.bad or store.truncated or store.dropped:
            _name_the_bad(progress, f"{group.data_path}: {store}", store.report)
    return store.split(group.validation_share)


def _name_the_bad(progress: Progress, summary: str, report: BadRecords) -> None:
    progress.say(summary)
    for name in report.named[:5]:
        progress.say(f"  {name}")


class _Material:
    def __init__(self, training: Any, held_out: Any, group: DataGroup, run: Any, key: str):
        self.training, self.held_out, self.group, self.run = training, held_out, group, run
        self.identity = {"data": key, "max_seq_len": group.max_seq_len, "validation_share": group.validation_share}
        self.card = {"data": {"path": group.data_path, "key": key, "samples": len(training)}}


class Packed(_Material):
    """Packed rows, for losses over tokens."""

    def stream(self, ranks: Any) -> PackedStream:
        per_step = _per_step(self.run, ranks)
        return PackedStream(
            self.training, self.group.max_seq_len, per_step, self.run.seed, ranks.rank, ranks.world_size
        )

    def steps(self, ranks: Any) -> int:
        return _steps(self.stream(ranks).rows_per_epoch, self.run, ranks)

    def validation(self, ranks: Any) -> Iterator[Batch]:
        """Every held-out sample once, over all ranks; nothing where nothing was held out."""
        if len(self.held_out):
            width = self.group.max_seq_len
            yield from sweep(self.held_out, width, self.run.batch_size, ranks.rank, ranks.world_size)


class Pairs(_Material):
    """Preference pairs."""

    def stream(self, ranks: Any) -> PairStream:
        per_step = _per_step(self.run, ranks)
        return PairStream(self.training, self.group.max_seq_len, per_step, self.run.seed, ranks.rank, ranks.world_size)

    def steps(self, ranks: Any) -> int:
        return _steps(len(self.training) // 2, self.run, ranks)

    def once(self, store: TokenStore, ranks: Any) -> Iterator[Batch]:
        """Every pair of a store once, over all ranks."""
        count = len(store) // 2
        for begin in range(ranks.rank * VALIDATION_PAIRS, count, ranks.world_size * VALIDATION_PAIRS):
            yield pair_batch(store, range(begin, min(count, begin + VALIDATION_PAIRS)), self.group.max_seq_len)


class Prompted(_Material):
    """Prompts with answers, for replies that the model samples itself."""

    def stream(self, ranks: Any) -> PromptStream:
        return PromptStream(self.training, _per_step(self.run, ranks), self.run.seed, ranks.rank, ranks.world_size)

    def steps(self, ranks: Any) -> int:
        return _steps(len(self.training), self.run, ranks)


def open_packed(kind: str, group: DataGroup, run: Any, tokenizer: Tokenizer) -> Packed:
    """Records of kind "text" or "chat" as packed rows. Raises UserError for files that cannot be used."""
    training, held_out = _open(kind, group, run, tokenizer)
    return Packed(training, held_out, group, run, training.key)


def open_pairs(group: DataGroup, run: Any, tokenizer: Tokenizer) -> Pairs:
    """Records of kind "preference". Raises UserError for files that cannot be used."""
    training, held_out = _open("preference", group, run, tokenizer)
    return Pairs(training, held_out, group, run, training.key)


def open_prompted(
    group: DataGroup, run: Any, tokenizer: Tokenizer, longest_reply: int, thinking: bool | None
) -> Prompted:
    """Records of kind "prompt" that leave room for a reply. Raises UserError for files that cannot be used."""
    longest = group.max_seq_len - longest_reply
    if longest < 2:
        raise UserError(
            f"--max_seq_len {group.max_seq_len} leaves no room for a prompt: it holds the prompt and a reply of "
            f"--max_new_tokens {longest_reply}"
        )
    prompts = open_prompts(group.data_path, tokenizer, longest, group.strict, enable_thinking=thinking)
    if prompts.report.bad or prompts.dropped:
        summary = f"{group.data_path}: {len(prompts):,} prompts; {prompts.report}"
        long = f"; {prompts.dropped:,} left out: longer than {longest} tokens" if prompts.dropped else ""
        _name_the_bad(Progress("prompts", 1, quiet=run.quiet), summary + long, prompts.report)
    training, held_out = prompts.split(group.validation_share)
    key = f"{sum(prompt.key for prompt in training) % 2**64:016x}"
    return Prompted(training, held_out, group, run, key)
