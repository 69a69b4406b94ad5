"""Fast attention against the written-out one, and what each kind of mask hides."""

import pytest
import torch
from torch import Tensor

from minimind.ops.attend import Visibility, attend, attend_plain
from minimind.ops.attend_documents import plan_documents


def heads(B: int, T: int, S: int, H: int, K: int, D: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    q, k, v = torch.randn(B, T, H, D), torch.randn(B, S, K, D), torch.randn(B, S, K, D)
    return tuple(x.transpose(1, 2).requires_grad_() for x in (q, k, v))


def assert_same(q: Tensor, k: Tensor, v: Tensor, visible: Visibility) -> None:
    fast, plain = attend(q, k, v, visible), attend_plain(q, k, v, visible)
    torch.testing.assert_close(fast, plain, rtol=1e-5, atol=2e-6)
    upstream = torch.randn_like(plain)
    for a, b in zip(
        torch.autograd.grad(fast, (q, k, v), upstream), torch.autograd.grad(plain, (q, k, v), upstream), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def packed(rows: list[list[int]]) -> Tensor:
    """Document numbers from the lengths in each row."""
    number = iter(range(1000))
    return torch.tensor([[document for length in row for document in [next(number)] * length] for row in rows])


SHAPES = [(4, 4, 16), (6, 2, 8), (4, 1, 24)]


@pytest.mark.parametrize(("H", "K", "D"), SHAPES)
def test_causal(H: int, K: int, D: int):
    assert_same(*heads(2, 19, 19, H, K, D), Visibility(19))
    assert_same(*heads(2, 1, 1, H, K, D), Visibility(1))


@pytest.mark.parametrize(("H", "K", "D"), SHAPES)
def test_queries_at_the_end_of_the_keys(H: int, K: int, D: int):
    assert_same(*heads(2, 5, 19, H, K, D), Visibility(5, 19))
    assert_same(*heads(2, 1, 19, H, K, D), Visibility(1, 19))


@pytest.mark.parametrize(("H", "K", "D"), SHAPES)
def test_rows_of_different_lengths(H: int, K: int, D: int):
    assert_same(*heads(3, 1, 19, H, K, D), Visibility(1, 19, torch.tensor([[18], [3], [0]])))
    places = torch.tensor([[17, 18], [2, 3], [0, 1]])
    assert_same(*heads(3, 2, 19, H, K, D), Visibility(2, 19, places))


@pytest.mark.parametrize(("H", "K", "D"), SHAPES)
def test_padding(H: int, K: int, D: int):
    mask = torch.ones(3, 19, dtype=torch.int64)
    mask[1, :7] = 0
    mask[2, 12:] = 0
    assert_same(*heads(3, 19, 19, H, K, D), Visibility(19, attention_mask=mask))


@pytest.mark.parametrize(
    "rows",
    [
        [[19], [19]],
        [[1] * 19, [10, 9]],
        [[7, 5, 4, 3], [1, 18]],
        [[60, 70, 64], [100, 94], [3, 5, 90, 96], [33, 34, 35, 36, 37, 19]],
    ],
)
@pytest.mark.parametrize(("H", "K", "D"), SHAPES)
def test_documents(rows: list[list[int]], H: int, K: int, D: int):
    documents = packed(rows)
    B, T = documents.shape
    visible = Visibility(T, documents=documents)
    assert visible.plan is not None
    assert_same(*heads(B, T, T, H, K, D), visible)


def test_documents_with_padding_marked_too():
    documents = packed([[7, 5, 7], [9, 10]])
    mask = torch.ones_like(documents)
    mask[0, 12:] = 0
    assert_same(*heads(2, 19, 19, 4, 2, 8), Visibility(19, documents=documents, attention_mask=mask))


def test_a_document_is_a_run_of_equal_numbers():
    """A number that comes back is another document, for the mask as for the plan."""
    visible = Visibility(6, documents=torch.tensor([[0, 0, 1, 0, 0, 0]]))
    expected = torch.zeros(6, 6, dtype=torch.bool)
    for start, end in ((0, 2), (2, 3), (3, 6)):
        expected[start:end, start:end] = torch.ones(end - start, end - start).tril().bool()
    torch.testing.assert_close(visible.mask[0, 0], expected)
    assert_same(*heads(1, 6, 6, 2, 2, 8), visible)


def test_the_plan_holds_every_token_once_and_wastes_little():
    documents = packed([[60, 70, 64, 62], [100, 94, 50, 12], [3, 5, 90, 96, 62], [33, 34, 35, 36, 37, 19, 62]])
    plan = plan_documents(documents)
    for heads in (1, 3):
        moves = plan.moves(heads)
        assert moves.take[moves.put].tolist() == list(range(documents.numel() * heads))
        assert moves.real.sum() == documents.numel() * heads
    squares = sum(length**2 for length in documents.unique(return_counts=True)[1].tolist())
    assert plan.pairs < 2.5 * squares
    assert plan.pairs < 0.6 * documents.shape[0] * documents.shape[1] ** 2


def test_half_precision_takes_the_masked_path():
    documents = packed([[7, 5, 7], [9, 10]])
    q, k, v = (x.detach().bfloat16() for x in heads(2, 19, 19, 4, 2, 8))
    visible = Visibility(19, documents=documents)
    torch.testing.assert_close(attend(q, k, v, visible), attend_plain(q, k, v, visible), rtol=2e-2, atol=2e-2)
