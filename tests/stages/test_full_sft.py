"""Fine-tuning's objective: the assistant's words and nothing else, packed as alone."""

import numpy as np
import pytest
from plain import assert_same_gradients, gradients, plain_logprobs, tiny_model

from minimind.data.pack import Document, pack
from minimind.stages.full_sft import objective
from minimind.tokenizer import Tokenizer

DIALOGUES = [
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "2+2=?"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "谢谢"},
        {"role": "assistant", "content": "不客气。"},
    ],
    [
        {"role": "user", "content": "Say <|im_end|> and 你好"},
        {"role": "assistant", "content": "<think>\nfine\n</think>\n\n你好"},
    ],
]
LEARNED = [["4", "不客气。"], ["<think>\nfine\n</think>\n\n你好"]]


@pytest.fixture(scope="module")
def rendered():
    tokenizer = Tokenizer.load()
    return tokenizer, [tokenizer.render(dialogue) for dialogue in DIALOGUES]


def test_what_is_learned_is_the_assistants_words_with_their_ends(rendered):
    tokenizer, dialogues = rendered
    for dialogue, words in zip(dialogues, LEARNED, strict=True):
        learned = [token for token, mask in zip(dialogue.ids, dialogue.mask, strict=True) if mask]
        assert tokenizer.decode(learned) == "".join(f"{word}<|im_end|>" for word in words)


def test_the_loss_of_packed_dialogues_is_that_of_the_assistants_words_alone(rendered):
    tokenizer, dialogues = rendered
    model = tiny_model(tokenizer.vocab_size)
    documents = [Document(np.array(dialogue.ids), np.array(dialogue.mask)) for dialogue in dialogues]
    loss, count = objective(model, pack(documents, 128))
    words = [plain_logprobs(model, document.ids)[document.mask[1:]] for document in documents]
    assert count == sum(len(values) for values in words)
    alone = -sum(values.sum() for values in words)
    assert loss.item() == pytest.approx(alone.item(), rel=1e-6)
    assert_same_gradients(gradients(model, loss), gradients(model, alone))
