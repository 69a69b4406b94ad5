"""Pretraining's objective on packed rows equals the sum over documents that stand alone."""

import pytest
import torch
from plain import assert_same_gradients, gradients, plain_logprobs, tiny_model

from minimind.data.pack import Document, pack
from minimind.stages.pretrain import objective


def texts(lengths=(9, 30, 14, 5, 21, 2), vocab_size=64):
    """Documents of random tokens in which every token is to be predicted."""
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(3, vocab_size, (length,), generator=generator).numpy() for length in lengths]
    return [Document(ids, ids >= 0) for ids in rows]


def test_the_loss_of_packed_texts_is_that_of_each_alone():
    model, documents = tiny_model(), texts()
    loss, count = objective(model, pack(documents, 32))
    alone = -sum(plain_logprobs(model, document.ids).sum() for document in documents)
    assert count == sum(len(document.ids) - 1 for document in documents)  # nothing predicts a document's first token
    assert loss.item() == pytest.approx(alone.item(), rel=1e-6)
    assert_same_gradients(gradients(model, loss), gradients(model, alone))


def test_the_balance_of_the_experts_counts_once_a_token():
    """With experts the loss is that of the words plus the balance loss times the predicted tokens."""
    model, documents = tiny_model(use_moe=True).train(), texts()
    batch = pack(documents, 32)
    loss, count = objective(model, batch)
    output = model(batch.ids, positions=batch.positions, documents=batch.documents)
    words = torch.nn.functional.cross_entropy(output.logits.flatten(0, 1), batch.targets.flatten(), reduction="sum")
    assert output.aux_loss.item() > 0
    assert loss.item() == pytest.approx((words + output.aux_loss * count).item(), rel=1e-6)
