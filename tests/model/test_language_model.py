"""The whole model: documents that do not see each other, ties, errors, modes."""

import copy

import pytest
import torch
from torch import Tensor

from minimind.config import UserError
from minimind.model.cache import ContiguousCache
from minimind.model.config import ModelConfig
from minimind.model.language_model import LanguageModel
from minimind.model.norm import RMSNorm
from minimind.ops.loss import cross_entropy_sum, linear_cross_entropy


def small(**fields) -> LanguageModel:
    torch.manual_seed(0)
    shape = dict(vocab_size=61, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
    config = ModelConfig(**shape | dict(qk_norm=True, max_position_embeddings=64, initializer_range=0.2) | fields)
    return LanguageModel(config)


def packed() -> tuple[Tensor, Tensor, Tensor]:
    """ids, positions and documents [2, 16]: documents of 5, 7, 4 tokens and of 9 and 7."""
    torch.manual_seed(1)
    lengths = [[5, 7, 4], [9, 7]]
    documents = torch.tensor([[d for d, n in enumerate(row) for _ in range(n)] for row in lengths])
    positions = torch.tensor([[t for n in row for t in range(n)] for row in lengths])
    return torch.randint(0, 61, (2, 16)), positions, documents


def embedding_gradients(model: LanguageModel, ids: Tensor, **kwargs) -> tuple[Tensor, Tensor]:
    """Hidden states [B, T, D], and the gradient of a fixed projection of them at each embedded token."""
    kept = []
    handle = model.model.embed_tokens.register_forward_hook(lambda module, args, out: kept.append(out))
    hidden = model(ids, logits=False, **kwargs).hidden
    handle.remove()
    torch.manual_seed(2)
    (gradient,) = torch.autograd.grad((hidden * torch.randn_like(hidden)).sum(), kept)
    return hidden, gradient


@pytest.mark.parametrize("masked", [False, True], ids=["by document", "by mask"])
def test_a_changed_token_changes_nothing_in_other_documents_to_the_last_bit(masked: bool):
    """Forward and backward, whichever way attention is computed."""
    model = small()
    ids, positions, documents = packed()
    fields = dict(positions=positions, documents=documents)
    if masked:
        fields["attention_mask"] = torch.ones_like(ids)
    before = embedding_gradients(model, ids, **fields)
    ids[0, 7] = (ids[0, 7] + 1) % 61  # in the second document of row 0
    after = embedding_gradients(model, ids, **fields)
    changed = torch.zeros(2, 16, dtype=torch.bool)
    changed[0, 5:12] = True
    for old, new in zip(before, after, strict=True):
        assert torch.equal(old[~changed], new[~changed])
        assert not torch.equal(old[changed], new[changed])
    assert torch.equal(before[0][0, 5:7], after[0][0, 5:7])  # causal: earlier tokens of the same document too


def test_packed_documents_equal_the_same_documents_alone():
    model = small(use_moe=True)
    ids, positions, documents = packed()
    logits = model.eval()(ids, positions=positions, documents=documents).logits
    for row in range(2):
        for document in documents[row].unique():
            where = documents[row] == document
            alone = model(ids[row, where][None]).logits[0]
            torch.testing.assert_close(logits[row, where], alone, rtol=1e-5, atol=1e-5)


def test_loss_in_chunks_gives_the_gradients_of_the_loss_on_logits():
    """The tied matrix is met twice: as embedding inside the model and as output layer outside of it."""
    ids, positions, documents = packed()
    targets = ids.roll(-1, 1)
    gradients = []
    for chunked in (False, True):
        model = small()
        output = model(ids, positions=positions, documents=documents, logits=not chunked)
        if chunked:
            assert output.logits is None
            loss, _ = linear_cross_entropy(output.hidden, model.lm_head.weight, targets, chunk=5)
        else:
            loss, _ = cross_entropy_sum(output.logits, targets)
        loss.backward()
        gradients.append([p.grad for p in model.parameters()])
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


def test_tied_and_untied():
    names = {"model.embed_tokens.weight", "lm_head.weight"}
    tied, untied = small(), small(tie_word_embeddings=False)
    assert tied.lm_head.weight is tied.model.embed_tokens.weight
    assert untied.lm_head.weight is not untied.model.embed_tokens.weight
    assert names <= tied.state_dict().keys() and names <= untied.state_dict().keys()
    assert copy.deepcopy(tied).lm_head.weight is not tied.lm_head.weight
    clone = copy.deepcopy(tied)
    assert clone.lm_head.weight is clone.model.embed_tokens.weight


def test_built_without_memory_and_filled_later():
    """On the meta device, then `to_empty`, `tie` and a state dict: the same model."""
    model = small()
    with torch.device("meta"):
        other = LanguageModel(model.config)
    other.to_empty(device="cpu").tie()
    other.load_state_dict(model.state_dict())
    assert other.lm_head.weight is other.model.embed_tokens.weight
    ids = packed()[0]
    assert torch.equal(other(ids).logits, model(ids).logits)


def test_training_goes_on_after_inference_mode():
    model = small()
    ids = packed()[0]
    with torch.inference_mode():
        model(ids)
    model(ids).logits.sum().backward()
    assert model.lm_head.weight.grad is not None


def test_rotary_tables_stay_exact_in_half_precision():
    """Positions up to 32767 are far beyond what bf16 counts; `model.bfloat16()` must not touch the tables."""
    model = small().bfloat16()
    model(packed()[0])
    table = model.rotary.table(torch.device("cpu"))
    assert table.dtype == torch.float32
    assert table[61, 0, 0].item() == pytest.approx(torch.tensor(61.0).cos().item(), abs=1e-6)


def test_autocast_is_near_fp32():
    model = small(use_moe=True)
    ids, positions, documents = packed()
    exact = model(ids, positions=positions, documents=documents).hidden
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = model(ids, positions=positions, documents=documents).hidden
        near.float().sum().backward()
    assert (near - exact).norm() < 0.1 * exact.norm()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())


def test_dropout_only_in_training():
    model = small(dropout=0.5)
    ids = packed()[0]
    assert not torch.equal(model(ids).hidden, model(ids).hidden)
    assert torch.equal(model.eval()(ids).hidden, model(ids).hidden)


def test_too_long_a_sequence_is_refused():
    model = small(max_position_embeddings=8)
    with pytest.raises(UserError, match="16 tokens is longer"):
        model(packed()[0])
    cache = ContiguousCache(model.config, rows=2, capacity=32)
    model(packed()[0][:, :8], cache=cache)
    with pytest.raises(UserError, match="9 tokens is longer"):
        model(packed()[0][:, :1], cache=cache)


def test_documents_and_a_cache_do_not_go_together():
    model = small()
    ids, _, documents = packed()
    with pytest.raises(UserError, match="cache"):
        model(ids, documents=documents, cache=ContiguousCache(model.config, rows=2, capacity=32))


@pytest.mark.parametrize("shape", [(3, 8), (2, 3, 4, 8), (1, 8)])
def test_rms_norm_equals_its_formula(shape: tuple[int, ...]):
    torch.manual_seed(0)
    norm = RMSNorm(8, eps=1e-3)
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(shape, requires_grad=True)
    plain = norm.weight * x / (x.pow(2).mean(-1, keepdim=True) + 1e-3).sqrt()
    torch.testing.assert_close(norm(x), plain)
    upstream = torch.randn(shape)
    ours, expected = (torch.autograd.grad(y, (x, norm.weight), upstream) for y in (norm(x), plain))
    torch.testing.assert_close(ours, expected)
