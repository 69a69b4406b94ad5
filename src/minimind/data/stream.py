"""Endless streams of samples that know their place.

The order is a pure function of (seed, epoch, position): the same for any number of ranks and any split of a step, and
any place of it can be gone to at once. One step takes `per_step` items from the order; rank r of w owns the r-th of w
equal parts of them. Every item comes once an epoch; a step may span the end of one.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minimind.config import UserError
from minimind.data.pack import Batch, fill_rows, plan_rows
from minimind.data.prompts import Prompt, Prompts
from minimind.data.shards import TokenStore

WINDOW = 8192  # samples that are packed together: a wide choice of partners, planned in milliseconds
_GOLDEN = 0x9E3779B97F4A7C15


def _mix(values: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64: a bijection of uint64 whose outputs look independent (Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def shuffled(count: int, *key: int) -> np.ndarray:
    """[count] int64: 0 .. count - 1 in an order that depends on `key` alone, not on any library's generator."""
    state = np.zeros(1, np.uint64)
    for part in key:
        state = _mix(state + np.uint64(part % 2**64) + np.uint64(_GOLDEN))
    return np.argsort(_mix(state + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN)), kind="stable")


class _Stream:
    """Items in blocks, blocks in epochs; a subclass says what a block is.

    The cursor (epoch, block, item) stands at the first item of the current step, `within` counts this rank's items that
    were taken from it.
    """

    def __init__(self, per_step: int, seed: int, rank: int, world_size: int, identity: dict[str, Any]):
        if per_step < 1 or per_step % world_size:
            raise UserError(f"{per_step} a step cannot be shared evenly by {world_size} ranks: take a multiple")
        assert 0 <= rank < world_size
        self.per_step, self.seed, self.rank = per_step, seed, rank
        self.per_rank = per_step // world_size
        self.identity = {**identity, "seed": seed}
        self._cursor, self._within = (0, 0, 0), 0
        self._step: list | None = None
        self._cached: tuple[tuple[int, int], list] | None = None

    def _blocks(self) -> int:
        raise NotImplementedError

    def _make_block(self, epoch: int, block: int) -> Sequence:
        raise NotImplementedError

    def _block(self, epoch: int, block: int) -> Sequence:
        if self._cached is None or self._cached[0] != (epoch, block):
            self._cached = ((epoch, block), self._make_block(epoch, block))
        return self._cached[1]

    def _collect(self) -> tuple[list, tuple[int, int, int]]:
        """All items of the current step, and the cursor after it."""
        items: list = []
        epoch, block, item = self._cursor
        while len(items) < self.per_step:
            there = self._block(epoch, block)
            found = there[item : item + self.per_step - len(items)]
            items += list(found)
            item += len(found)
            if item == len(there):
                epoch, block, item = (epoch, block + 1, 0) if block + 1 < self._blocks() else (epoch + 1, 0, 0)
        return items, (epoch, block, item)

    def _take(self, count: int) -> list:
        """This rank's next `count` items."""
        taken: list = []
        while len(taken) < count:
            if self._step is None:
                self._step, self._next_cursor = self._collect()
            begin = self.rank * self.per_rank + self._within
            found = self._step[begin : min(begin + count - len(taken), (self.rank + 1) * self.per_rank)]
            taken += found
            self._within += len(found)
            if self._within == self.per_rank:
                self._cursor, self._within, self._step = self._next_cursor, 0, None
        return taken

    @property
    def epoch(self) -> int:
        """The epoch, from 0, in which the current step begins."""
        return self._cursor[0]

    def state_dict(self) -> dict[str, Any]:
        """A few numbers, plain JSON."""
        return {"cursor": list(self._cursor), "within": self._within, "per_rank": self.per_rank, **self.identity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to where `state` was taken; another number of ranks or another `per_step` may go on between two steps.

        Raises UserError, naming what differs, when the state is of other data, another width or another seed.
        """
        differing = [
            f"{name} {state.get(name)} -> {value}" for name, value in self.identity.items() if state.get(name) != value
        ]
        if state["within"] and state["per_rank"] != self.per_rank:
            differing.append(
                f"samples of a rank in a step {state['per_rank']} -> {self.per_rank}, in the middle of a step"
            )
        if differing:
            raise UserError(f"the data stream cannot go on where it was left: {'; '.join(differing)}")
        self._cursor, self._within, self._step = tuple(state["cursor"]), state["within"], None


def _not_empty(count: int, what: str) -> int:
    if not count:
        raise UserError(f"there are no {what} to train on: give more data, or hold out a smaller part for validation")
    return count


class PackedStream(_Stream):
    """Packed rows of a store, `rows_per_step` a step over all ranks.

    An epoch's samples are shuffled, cut into windows, each window packed by itself and its rows shuffled.
    """

    def __init__(
        self, store: TokenStore, width: int, rows_per_step: int, seed: int = 0, rank: int = 0, world_size: int = 1
    ):
        _not_empty(len(store), "samples")
        self.store, self.width = store, width
        self._lengths = np.array(store.lengths, np.int32)
        if self._lengths.max() > width:
            raise UserError(
                f"samples of {self._lengths.max()} tokens do not fit into rows of {width}: open the store for it"
            )
        self._windows = -(-len(store) // WINDOW)
        self._order: tuple[int, np.ndarray] | None = None
        identity = {"data": store.key, "samples": len(store), "width": width}
        super().__init__(rows_per_step, seed, rank, world_size, identity)

    def _blocks(self) -> int:
        return self._windows

    def _make_block(self, epoch: int, block: int) -> list[np.ndarray]:
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, shuffled(len(self.store), self.seed, epoch))
        bounds = np.linspace(0, len(self.store), self._windows + 1).astype(np.int64)
        window = self._order[1][bounds[block] : bounds[block + 1]]
        rows = plan_rows(self._lengths[window], self.width)
        return [window[rows[row]] for row in shuffled(len(rows), self.seed, epoch, block)]

    @property
    def rows_per_epoch(self) -> int:
        """Rows of the first epoch; others differ by a few, as their windows do. Takes a few microseconds a sample."""
        if not hasattr(self, "_rows_per_epoch"):
            self._rows_per_epoch = sum(len(self._make_block(0, block)) for block in range(self._windows))
        return self._rows_per_epoch

    def next(self, rows: int | None = None) -> Batch:
        """This rank's next `rows` rows, by default all that it has of one step: ids [rows, width].

        Batch.index [documents]: the sample of the store that each document is.
        """
        return _fill(self.store, self._take(self.per_rank if rows is None else rows), self.width)


def _fill(store: TokenStore, rows: Sequence[np.ndarray], width: int) -> Batch:
    index = np.concatenate(rows)
    bounds = np.cumsum([0, *map(len, rows)])
    places = [range(begin, end) for begin, end in zip(bounds[:-1], bounds[1:], strict=True)]
    return fill_rows([store[sample] for sample in index.tolist()], places, width, index)


def sweep(store: TokenStore, width: int, rows: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
    """Every sample of `store` once, in batches of at most `rows` packed rows: for validation. Ranks take turns."""
    _not_empty(len(store), "samples")
    plan = [np.array(row) for row in plan_rows(store.lengths, width)]
    for begin in range(rank * rows, len(plan), world_size * rows):
        yield _fill(store, plan[begin : begin + rows], width)


class PairStream(_Stream):
    """Preference pairs of a store of that kind, `pairs_per_step` a step over all ranks."""

    def __init__(
        self, store: TokenStore, width: int, pairs_per_step: int, seed: int = 0, rank: int = 0, world_size: int = 1
    ):
        assert store.kind == "preference"
        self.pairs_per_epoch = _not_empty(len(store) // 2, "pairs")
        self.store, self.width = store, width
        identity = {"data": store.key, "pairs": self.pairs_per_epoch, "max_seq_len": store.max_seq_len}
        super().__init__(pairs_per_step, seed, rank, world_size, identity)

    def _blocks(self) -> int:
        return 1

    def _make_block(self, epoch: int, block: int) -> np.ndarray:
        return shuffled(self.pairs_per_epoch, self.seed, epoch)

    def next(self, pairs: int | None = None) -> Batch:
        """This rank's next `pairs` pairs, by default all that it has of one step, in as few rows as they need.

        Chosen i is document 2i, rejected i is document 2i + 1. Batch.index [pairs]: which pair of the store each is.
        """
        return pair_batch(self.store, self._take(self.per_rank if pairs is None else pairs), self.width)


def pair_batch(store: TokenStore, pairs: Sequence[int], width: int) -> Batch:
    """These pairs of the store as one batch (see `PairStream.next`): for reference scores and validation."""
    documents = [store[sample] for pair in pairs for sample in (2 * int(pair), 2 * int(pair) + 1)]
    rows = plan_rows([len(document.ids) for document in documents], width)
    return fill_rows(documents, rows, width, np.asarray(pairs))


class PromptStream(_Stream):
    """Prompts, `prompts_per_step` a step over all ranks."""

    def __init__(self, prompts: Prompts, prompts_per_step: int, seed: int = 0, rank: int = 0, world_size: int = 1):
        self.prompts, self.prompts_per_epoch = prompts, _not_empty(len(prompts), "prompts")
        digest = int(np.bitwise_xor.reduce(_mix(np.array([prompt.key for prompt in prompts], np.uint64))))
        identity = {"data": f"{digest:016x}", "prompts": len(prompts)}
        super().__init__(prompts_per_step, seed, rank, world_size, identity)

    def _blocks(self) -> int:
        return 1

    def _make_block(self, epoch: int, block: int) -> np.ndarray:
        return shuffled(self.prompts_per_epoch, self.seed, epoch)

    def next(self, prompts: int | None = None) -> list[Prompt]:
        """This rank's next `prompts` prompts, by default all that it has of one step."""
        return [self.prompts[int(index)] for index in self._take(self.per_rank if prompts is None else prompts)]
