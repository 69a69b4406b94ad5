"""Packing against hand-made rows, against a plain loop, and against the bound of its algorithm."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minimind.data.pack import Batch, Document, fill_rows, pack, plan_rows


def document(ids: list[int], supervised: list[int] | None = None) -> Document:
    """`supervised`: the places that are to be predicted; all when not given."""
    mask = np.ones(len(ids), bool) if supervised is None else np.isin(np.arange(len(ids)), supervised)
    return Document(np.array(ids, np.uint16), mask)


def test_three_documents_by_hand():
    """Lengths 3, 4, 2 in rows of 6: the 4 opens a row, the 3 does not fit beside it, the 2 fills the fuller row."""
    batch = pack([document([1, 10, 11], [2]), document([1, 20, 21, 2]), document([1, 30])], 6)
    assert batch.ids.tolist() == [[1, 20, 21, 2, 1, 30], [1, 10, 11, 0, 0, 0]]
    assert batch.targets.tolist() == [[20, 21, 2, -100, 30, -100], [-100, 11, -100, -100, -100, -100]]
    assert batch.positions.tolist() == [[0, 1, 2, 3, 0, 1], [0, 1, 2, 0, 0, 0]]
    assert batch.documents.tolist() == [[1, 1, 1, 1, 2, 2], [0, 0, 0, 3, 3, 3]]
    assert (batch.padding, batch.tokens, batch.count) == (3, 9, 5)
    assert batch.index.tolist() == [0, 1, 2]
    assert {getattr(batch, name).dtype for name in ("ids", "targets", "positions", "documents")} == {torch.int64}


def test_best_fit_by_hand():
    """6 | 5 | 4 joins 6 | 3 joins 5 | 2 joins 5+3: two full rows of 10, where order of arrival needs three."""
    assert plan_rows([3, 5, 2, 6, 4], 10) == [[3, 4], [1, 0, 2]]


def test_a_mask_on_the_first_token_is_no_target_of_the_document_before():
    batch = fill_rows([document([7, 8], []), document([9, 9])], [[0, 1]], 4)
    assert batch.targets.tolist() == [[-100, -100, 9, -100]]


def test_rows_are_a_micro_batch_of_their_own():
    batch = pack([document([1, 20, 21, 2, 5, 6]), document([1, 10, 11], [2])], 6)
    part = batch.rows(1, 2)
    assert part.ids.tolist() == [[1, 10, 11, 0, 0, 0]]
    assert (part.tokens, part.count, part.padding) == (3, 1, 2)
    assert part.index.tolist() == [0, 1]
    assert (batch.to("cpu").tokens, batch.to("cpu").count) == (9, 6)


def test_a_document_wider_than_a_row_is_a_mistake():
    with pytest.raises(AssertionError):
        pack([document([1, 2, 3])], 2)


def plain(documents: list[Document], rows: list[list[int]], width: int) -> list[list[list[int]]]:
    """ids, targets, positions, documents by a loop over tokens."""
    tables: list[list[list[int]]] = [[], [], [], []]
    for row in rows:
        cells = [(document, place) for document in row for place in range(len(documents[document].ids))]
        lines: list[list[int]] = [[], [], [], []]
        for number, place in cells:
            ids, mask = documents[number]
            target = int(ids[place + 1]) if place + 1 < len(ids) and mask[place + 1] else -100
            for line, value in zip(lines, (int(ids[place]), target, place, number), strict=True):
                line.append(value)
        for table, line, padding in zip(tables, lines, (0, -100, 0, len(documents)), strict=True):
            table.append(line + [padding] * (width - len(line)))
    return tables


@st.composite
def some_documents(draw: st.DrawFn) -> tuple[list[Document], int]:
    width = draw(st.integers(2, 20))
    masks = draw(st.lists(st.lists(st.booleans(), min_size=1, max_size=width), min_size=1, max_size=30))
    return [Document(np.arange(len(mask), dtype=np.uint16) + 3, np.array(mask)) for mask in masks], width


@given(some_documents())
@settings(max_examples=150, deadline=None)
def test_packing_equals_the_plain_loop(case):
    documents, width = case
    lengths = [len(document.ids) for document in documents]
    rows = plan_rows(lengths, width)
    assert sorted(document for row in rows for document in row) == list(range(len(documents)))
    assert all(sum(lengths[document] for document in row) <= width for row in rows)
    half_empty = [row for row in rows if 2 * sum(lengths[document] for document in row) <= width]
    assert len(half_empty) <= 1, "two rows that are at most half full would have been one"
    batch: Batch = pack(documents, width)
    found = [getattr(batch, name).tolist() for name in ("ids", "targets", "positions", "documents")]
    assert found == plain(documents, rows, width)
    assert batch.tokens == sum(lengths)
    assert batch.count == sum(int(document.mask[1:].sum()) for document in documents)


def test_many_documents_fill_their_rows():
    lengths = np.random.default_rng(0).integers(5, 200, 20_000)
    assert lengths.sum() / (len(plan_rows(lengths, 256)) * 256) > 0.99
