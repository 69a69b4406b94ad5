"""The cache: rows of different lengths, views, moves, limits. That it changes no result is tested with the oracles."""

import pytest
import torch

from minimind.config import UserError
from minimind.model.cache import ContiguousCache
from minimind.model.config import ModelConfig
from minimind.model.language_model import LanguageModel

CONFIG = ModelConfig(
    vocab_size=31, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, qk_norm=True
)


def filled(rows: int, capacity: int, tokens: int) -> tuple[ContiguousCache, torch.Tensor]:
    """A cache after `tokens` random keys per row, and the keys [L, B, K, T, D] (values are their negatives)."""
    cache = ContiguousCache(CONFIG, rows, capacity)
    torch.manual_seed(0)
    keys = torch.randn(2, rows, 2, tokens, 4)
    cache.reserve(tokens)
    for layer in range(2):
        cache.append(layer, keys[layer], -keys[layer])
    cache.advance(tokens)
    return cache, keys


def test_tokens_are_written_at_each_rows_length():
    cache, keys = filled(rows=3, capacity=10, tokens=5)
    cache.truncate(torch.tensor([5, 2, 3]))
    assert cache.reserve(2).tolist() == [[5, 6], [2, 3], [3, 4]]
    new = torch.randn(3, 2, 2, 4)
    k, v = cache.append(1, new, -new)
    assert k.shape == v.shape == (3, 2, 7, 4)
    for row, length in enumerate((5, 2, 3)):
        assert torch.equal(k[row, :, :length], keys[1, row, :, :length])
        assert torch.equal(k[row, :, length : length + 2], new[row])
        assert torch.equal(v[row, :, : length + 2], -k[row, :, : length + 2])
    assert cache.lengths.tolist() == [5, 2, 3]  # not before advance
    cache.advance(2)
    assert cache.lengths.tolist() == [7, 4, 5]


def test_it_never_moves_and_returns_views():
    cache, _ = filled(rows=2, capacity=8, tokens=3)
    place = cache.keys.data_ptr()
    for _ in range(5):
        cache.reserve(1)
        k, _ = cache.append(0, torch.randn(2, 2, 1, 4), torch.randn(2, 2, 1, 4))
        cache.advance(1)
        assert k.data_ptr() == place == cache.keys.data_ptr()


def test_a_prefix_of_rows_shares_everything():
    cache, _ = filled(rows=3, capacity=8, tokens=2)
    prefix, last = cache.rows(2), cache.part(2, 3)
    assert (len(cache), len(prefix), len(last)) == (3, 2, 1)
    prefix.reserve(1)
    new = torch.randn(2, 2, 1, 4)
    prefix.append(0, new, new)
    prefix.advance(1)
    assert cache.lengths.tolist() == [3, 3, 2]
    assert torch.equal(cache.keys[0, :2, :, 2], new[:, :, 0])
    last.truncate([1])
    assert cache.lengths.tolist() == [3, 3, 1]


def test_rows_are_copied_with_their_lengths():
    cache, keys = filled(rows=3, capacity=8, tokens=4)
    cache.truncate([4, 1, 3])
    cache.copy_row(2, 0)
    assert cache.lengths.tolist() == [3, 1, 3]
    assert torch.equal(cache.keys[:, 0, :, :3], keys[:, 2, :, :3])
    assert torch.equal(cache.values[:, 0, :, :3], -keys[:, 2, :, :3])


def test_too_many_tokens_are_refused_and_change_nothing():
    cache, _ = filled(rows=2, capacity=6, tokens=4)
    with pytest.raises(UserError, match="7 tokens does not fit in a cache for 6"):
        cache.reserve(3)
    assert cache.lengths.tolist() == [4, 4]


def test_rows_can_only_shrink():
    cache, _ = filled(rows=2, capacity=6, tokens=4)
    with pytest.raises(AssertionError):
        cache.truncate([5, 4])


def test_moving_rows_changes_no_logits():
    """Row 0 ends and row 2 takes its place: its next logits are what they would have been."""
    torch.manual_seed(0)
    model = LanguageModel(CONFIG).eval()
    ids = torch.randint(0, 31, (3, 9))
    cache = ContiguousCache(CONFIG, rows=3, capacity=12)
    with torch.inference_mode():
        model(ids[:, :8], cache=cache)
        cache.truncate([8, 3, 6])
        expected = model(ids[2:, :7]).logits[0, -1]
        cache.copy_row(2, 0)
        logits = model(torch.stack((ids[2, 6:7], ids[1, 3:4])), cache=cache.rows(2)).logits
    torch.testing.assert_close(logits[0, 0], expected, rtol=1e-5, atol=1e-6)
    assert cache.lengths.tolist() == [7, 4, 6]
