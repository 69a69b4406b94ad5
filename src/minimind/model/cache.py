"""Keys and values of earlier tokens: the protocol the model speaks, and a contiguous cache that speaks it.

A forward pass over T new tokens per row goes like this:

    positions = cache.reserve(T)            # [B, T]: where the tokens will stand, row by row
    keys, values = cache.append(layer, k, v)    # once per layer: write, and get all of the row so far
    cache.advance(T)                        # only now do the rows count as longer

A pass that fails half-way leaves the lengths as they were. Prompts of different lengths are padded on the right, run
once, and shortened with `truncate`: what lies beyond a row's length is never seen and is written over by later tokens.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from minimind.config import UserError
from minimind.model.config import ModelConfig


class Cache(Protocol):
    """What `LanguageModel.forward(cache=...)` needs. `lengths` [B] int64 lives on the CPU: reading it never waits."""

    lengths: Tensor

    def reserve(self, tokens: int) -> Tensor:
        """Positions [B, T] (on the model's device) of the coming tokens; UserError when they do not fit."""

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Stores k, v [B, K, T, D] at the reserved places; returns keys and values [B, K, S, D], S the longest row."""

    def advance(self, tokens: int) -> None:
        """Makes the rows longer by `tokens`, after every layer has appended."""


class ContiguousCache:
    """One block of memory [L, B, K, S, D] each for keys and values, taken once and never moved.

    `rows`, `capacity`: how many sequences of at most how many tokens. Not for training: it is written in place.
    """

    def __init__(
        self,
        config: ModelConfig,
        rows: int,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (config.num_hidden_layers, rows, config.num_key_value_heads, capacity, config.head_dim)
        # Zeros, not empty memory: unseen places are multiplied by a zero weight, and 0 x NaN would be NaN.
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.lengths = torch.zeros(rows, dtype=torch.int64)
        # [B, K, 1]: of each row and head, the number of its first vector among all the vectors of a layer.
        self._first = torch.arange(0, rows * shape[2] * capacity, capacity, device=device).view(rows, shape[2], 1)
        self._step = torch.arange(capacity)
        self._positions: Tensor | None = None
        self._vectors: Tensor | None = None
        self._slice: slice | None = None
        self._used = 0

    @property
    def capacity(self) -> int:
        return self.keys.shape[3]

    def __len__(self) -> int:
        """Number of rows."""
        return self.keys.shape[1]

    def reserve(self, tokens: int) -> Tensor:
        shortest, longest = self.lengths.aminmax() if len(self) else (0, 0)
        self._used = int(longest) + tokens
        if self._used > self.capacity:
            raise UserError(f"a sequence of {self._used} tokens does not fit in a cache for {self.capacity}")
        start = int(shortest)
        self._slice = slice(start, self._used) if start == int(longest) else None
        positions = self.lengths[:, None] + self._step[:tokens]
        self._positions = positions.to(self.keys.device, non_blocking=True)
        if self._slice is None:
            self._vectors = (self._first + self._positions[:, None]).flatten()  # [B * K * T]
        return self._positions

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        assert self._positions is not None, "reserve() comes before append()"
        keys, values = self.keys[layer], self.values[layer]
        if self._slice is not None:
            keys[:, :, self._slice] = k
            values[:, :, self._slice] = v
        else:
            size = k.shape[-1]
            keys.view(-1, size).index_copy_(0, self._vectors, k.reshape(-1, size).to(keys.dtype))
            values.view(-1, size).index_copy_(0, self._vectors, v.reshape(-1, size).to(keys.dtype))
        return keys[:, :, : self._used], values[:, :, : self._used]

    def advance(self, tokens: int) -> None:
        self.lengths += tokens
        self._positions = None

    def truncate(self, lengths: Tensor | Sequence[int]) -> None:
        """Shortens row b to lengths[b] tokens; the prefill of right-padded prompts ends with this."""
        lengths = torch.as_tensor(lengths, dtype=torch.int64, device="cpu")
        assert lengths.shape == self.lengths.shape and bool((lengths <= self.lengths).all()), "rows can only shrink"
        self.lengths.copy_(lengths)

    def rows(self, count: int) -> "ContiguousCache":
        """The first `count` rows, as a view: what is written through it is written here, lengths included."""
        return self.part(0, count)

    def part(self, start: int, stop: int) -> "ContiguousCache":
        """Rows start..stop-1, as a view; a prompt is run on the rows it will live in."""
        view = object.__new__(ContiguousCache)
        view.keys, view.values = self.keys[:, start:stop], self.values[:, start:stop]
        view.lengths, view._first, view._step = self.lengths[start:stop], self._first[: stop - start], self._step
        view._positions, view._vectors, view._slice, view._used = None, None, None, 0
        return view

    def copy_row(self, source: int, target: int) -> None:
        """Makes row `target` equal to row `source`; only the tokens in use are moved."""
        length = int(self.lengths[source])
        self.keys[:, target, :, :length] = self.keys[:, source, :, :length]
        self.values[:, target, :, :length] = self.values[:, source, :, :length]
        self.lengths[target] = length
