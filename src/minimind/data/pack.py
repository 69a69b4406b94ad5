"""Documents into rows of one width: packed tightly, kept apart by document ids, with the targets of the loss."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

PAD_ID = 0
IGNORED = -100


class Document(NamedTuple):
    """ids [n]: token ids; mask [n] bool: token i is to be predicted (the first of a document never can be)."""

    ids: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class Batch:
    """B packed rows of T tokens, all tensors int64.

    ids [B, T]; targets [B, T]: the id that follows in the same document where that one is supervised, else -100;
    positions [B, T]: from 0 in every document; documents [B, T]: which document a token belongs to, padding has an
    id of its own. index: where the documents came from, as the maker of the batch says.
    tokens: real tokens, padding left out; count: targets that are not -100.
    """

    ids: torch.Tensor
    targets: torch.Tensor
    positions: torch.Tensor
    documents: torch.Tensor
    index: torch.Tensor
    padding: int
    tokens: int
    count: int

    def to(self, device: torch.device | str) -> "Batch":
        names = ("ids", "targets", "positions", "documents", "index")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in names})

    def rows(self, start: int, stop: int) -> "Batch":
        """The rows [start, stop): a micro-batch. Documents keep their ids, so `index` stays whole."""
        names = ("ids", "targets", "positions", "documents")
        part = {name: getattr(self, name)[start:stop] for name in names}
        tokens = int((part["documents"] != self.padding).sum())
        return replace(self, **part, tokens=tokens, count=int((part["targets"] != IGNORED).sum()))


def plan_rows(lengths: Sequence[int] | np.ndarray, width: int) -> list[list[int]]:
    """Which documents share a row: best-fit decreasing, each document whole and in the fullest row that has room.

    Rows of one free space wait on one stack, and a bit per free space finds the smallest that is enough, so a document
    costs a few microseconds. Uses at most 11/9 of the fewest rows possible, plus 4 (Johnson 1974).
    """
    lengths = np.asarray(lengths)
    assert lengths.size == 0 or 0 < lengths.min() and lengths.max() <= width, "a document must fit into a row"
    order = np.argsort(-lengths, kind="stable")
    rows: list[list[int]] = []
    waiting: dict[int, list[int]] = defaultdict(list)
    free = 0  # bit s is set while a row with s free places waits
    for document, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        roomy = free >> length
        if roomy:
            space = length + (roomy & -roomy).bit_length() - 1
            row = waiting[space].pop()
            if not waiting[space]:
                free ^= 1 << space
        else:
            space, row = width, len(rows)
            rows.append([])
        rows[row].append(document)
        left = space - length
        if left:
            waiting[left].append(row)
            free |= 1 << left
    return rows


def fill_rows(
    documents: Sequence[Document],
    rows: Sequence[Sequence[int]],
    width: int,
    index: Sequence[int] | np.ndarray | None = None,
) -> Batch:
    """The batch whose row r holds documents[rows[r][0]], documents[rows[r][1]], ... one after the other.

    In `Batch.documents` a document is its place in `documents`; padding is len(documents). `index` defaults to
    0, 1, 2, ...
    """
    order = np.fromiter((document for row in rows for document in row), np.int64)
    row_of = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    lengths = np.array([len(documents[document].ids) for document in order], np.int64)
    begin = np.cumsum(lengths) - lengths  # in the concatenation of all documents
    row_begin = begin[np.searchsorted(row_of, np.arange(len(rows)))]
    token = np.arange(lengths.sum())
    place = np.repeat(row_of * width - row_begin[row_of], lengths) + token

    real_ids = np.concatenate([documents[document].ids for document in order]).astype(np.int64)
    supervised = np.concatenate([documents[document].mask for document in order])
    supervised[begin] = False
    real_targets = np.where(supervised, real_ids, IGNORED)
    real_targets = np.append(real_targets[1:], IGNORED)

    def spread(values: np.ndarray, padding: int) -> torch.Tensor:
        cells = np.full(len(rows) * width, padding, np.int64)
        cells[place] = values
        return torch.from_numpy(cells.reshape(len(rows), width))

    index = np.arange(len(documents)) if index is None else np.asarray(index)
    return Batch(
        ids=spread(real_ids, PAD_ID),
        targets=spread(real_targets, IGNORED),
        positions=spread(token - np.repeat(begin, lengths), 0),
        documents=spread(np.repeat(order, lengths), len(documents)),
        index=torch.from_numpy(index.astype(np.int64)),
        padding=len(documents),
        tokens=int(lengths.sum()),
        count=int((real_targets != IGNORED).sum()),
    )


def pack(documents: Sequence[Document], width: int) -> Batch:
    """`documents`, none longer than `width`, in as few rows as best-fit decreasing needs: [B, width]."""
    return fill_rows(documents, plan_rows([len(document.ids) for document in documents], width), width)
