"""Finding and loading weights: with a card, without one, with an adapter; and each mistake in one sentence."""

import dataclasses
import json
import os

import pytest
import torch

import minimind
from minimind import bundle as bundles
from minimind.config import UserError
from minimind.model.config import ModelConfig
from minimind.model.language_model import LanguageModel
from minimind.model.presets import PRESETS
from minimind.model.shapes import config_of_weights
from minimind.model.store import save_weights
from minimind.tokenizer import Tokenizer

SMALL = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=2)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.load()


def write(folder, name, tokenizer, card=True, **changes):
    torch.manual_seed(len(name))
    config = ModelConfig(**{**SMALL, "vocab_size": tokenizer.vocab_size, **changes})
    model = LanguageModel(config)
    path = folder / f"{name}_{config.hidden_size}{'_moe' if config.use_moe else ''}.pth"
    save_weights(model, path, dtype=torch.float32)
    if card:
        content = {"format": 1, "stage": name, "model": dataclasses.asdict(config), "tokenizer": "words"}
        tokenizer.save(folder / "words")
        path.with_suffix(".json").write_text(json.dumps(content | {"tokenizer_hash": tokenizer.hash}))
    return path, model


def same(model, other):
    ids = torch.arange(40)[None]
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, other(ids).logits, rtol=0, atol=0)


def test_with_card(tmp_path, tokenizer):
    path, model = write(tmp_path, "full_sft", tokenizer, rope_theta=1e4, qk_norm=True)
    loaded = minimind.load(path)
    same(model.eval(), loaded.model)
    assert not loaded.model.training and loaded.stage == "full_sft" and loaded.notes == ()
    assert loaded.tokenizer.hash == tokenizer.hash and loaded.card["stage"] == "full_sft"
    half = minimind.load(path, dtype=torch.bfloat16)
    assert half.model.lm_head.weight.dtype == torch.bfloat16


def test_generate_speaks_as_the_stage_has_learned(tmp_path, tokenizer):
    chat = minimind.load(write(tmp_path, "dpo", tokenizer)[0])
    question = [{"role": "user", "content": "Who?"}]
    assert chat.stream("Who?").prompt == chat.stream(question).prompt
    assert chat.stream("Who?").prompt == tokenizer.render(question, add_generation_prompt=True).ids
    assert chat.stream(question, enable_thinking=True).prompt != chat.stream(question).prompt
    base = minimind.load(write(tmp_path, "pretrain", tokenizer)[0])
    assert base.stream("Once").prompt == [tokenizer.bos_id, *tokenizer.encode("Once")]
    first, again = (base.generate("Once", temperature=0.8, seed=3, max_new_tokens=8) for _ in range(2))
    assert first == again and isinstance(first, str)


@pytest.mark.parametrize("name", ["minimind2-small", "minimind2-moe", "minimind-3", "minimind-3-moe"])
def test_without_card_the_shapes_tell(tmp_path, tokenizer, name):
    """Public weights: everything that changes the output is found again."""
    narrow = {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128}
    config = dataclasses.replace(PRESETS[name], **narrow)
    model = LanguageModel(config).eval()
    path = tmp_path / "full_sft_64.pth"
    save_weights(model, path)
    loaded = minimind.load(path)
    same(model.half().float(), loaded.model)
    assert len(loaded.notes) == 2 and "no card" in loaded.notes[0] and "tokenizer" in loaded.notes[1]
    tokenizer.save(tmp_path / "own")
    assert len(minimind.load(path, tokenizer=tmp_path / "own").notes) == 1


def test_a_folder_as_others_write_it(tmp_path, tokenizer):
    config = ModelConfig(**{**SMALL, "num_attention_heads": 4}, vocab_size=tokenizer.vocab_size, rope_theta=5e4)
    model = LanguageModel(config).eval()
    save_weights(model, tmp_path / "model.safetensors", dtype=torch.float32)
    tokenizer.save(tmp_path)
    described = {"num_attention_heads": 4, "rope_theta": 5e4, "rms_norm_eps": 1e-5, "rope_scaling": None}
    (tmp_path / "config.json").write_text(json.dumps(described))
    same(model, minimind.load(tmp_path).model)


def test_not_a_language_model():
    with pytest.raises(UserError, match="embed_tokens"):
        config_of_weights({"a": torch.zeros(2, 2)})
    with pytest.raises(UserError, match="q_proj"):
        config_of_weights({"model.embed_tokens.weight": torch.zeros(64, 64)})


def test_finding_by_name(tmp_path, tokenizer):
    path, _ = write(tmp_path, "full_sft", tokenizer)
    moe, _ = write(tmp_path, "full_sft", tokenizer, use_moe=True)
    wide, _ = write(tmp_path, "full_sft", tokenizer, hidden_size=128)
    assert bundles.find_weights("full_sft", tmp_path, 128) == wide
    assert bundles.find_weights("full_sft", tmp_path, 64, True) == moe
    assert bundles.find_weights("full_sft", tmp_path, 64, False) == path
    assert bundles.find_weights(str(moe), "elsewhere") == moe
    with pytest.raises(UserError, match=r"full_sft_128.pth, .*full_sft_64.pth, .*--hidden_size"):
        bundles.find_weights("full_sft", tmp_path)
    with pytest.raises(UserError, match=r"ful_sft_SIZE.pth .* full_sft_64_moe.pth.*did you mean full_sft\?"):
        bundles.find_weights("ful_sft", tmp_path)
    with pytest.raises(UserError, match="full_sft_256.pth"):
        bundles.find_weights("full_sft", tmp_path, 256)
    with pytest.raises(UserError, match="no weights yet"):
        bundles.find_weights("full_sft", tmp_path / "nowhere")
    with pytest.raises(UserError, match="no weights at"):
        bundles.find_weights("nowhere/full_sft_64.pth", tmp_path)


def test_newest_can_chat(tmp_path, tokenizer):
    for age, name in enumerate(("pretrain", "reward", "dpo", "full_sft")):
        path, _ = write(tmp_path, name, tokenizer)
        os.utime(path, ns=(10**18 - age, 10**18 - age))
    assert bundles.newest_weights(tmp_path).name == "dpo_64.pth"
    with pytest.raises(UserError, match="no weights that can chat"):
        bundles.newest_weights(tmp_path / "nowhere")


def test_damaged_cards_and_changed_tokenizers(tmp_path, tokenizer):
    path, _ = write(tmp_path, "full_sft", tokenizer)
    card = path.with_suffix(".json")
    whole = json.loads(card.read_text())
    for content, message in (
        ("{", "not JSON"),
        ("[]", "no card"),
        (json.dumps(whole | {"format": 9}), "format 1"),
        (json.dumps(whole | {"model": {"wings": 2}}), "wings"),
        (json.dumps(whole | {"tokenizer_hash": "0"}), "not the one"),
        (json.dumps(whole | {"model": whole["model"] | {"num_hidden_layers": 3}}), "missing: model.layers.2"),
        (json.dumps(whole | {"model": whole["model"] | {"vocab_size": 99}}), "6400 entries"),
    ):
        card.write_text(content)
        with pytest.raises(UserError, match=message):
            minimind.load(path)


def test_adapters_are_merged(tmp_path, tokenizer):
    """W + B A by hand, on one module; the rest stays as it was."""
    path, model = write(tmp_path, "full_sft", tokenizer)
    name = "model.layers.1.self_attn.q_proj"
    down, up = torch.randn(4, 64), torch.randn(64, 4)
    halves = {f"{name}.lora.A.weight": down, f"{name}.lora.B.weight": up}
    (tmp_path / "lora").mkdir()
    adapter = tmp_path / "lora" / "identity_64.pth"
    torch.save(halves, adapter)
    assert bundles.find_adapter("identity", tmp_path, 64) == adapter == bundles.find_adapter(str(adapter), "", 1)
    model.get_submodule(name).weight.data += up @ down
    same(model.eval(), minimind.load(path, adapter=adapter).model)
    with pytest.raises(UserError, match="medical_64.pth: the folder holds identity_64.pth"):
        bundles.find_adapter("medical", tmp_path, 64)
    for wrong, message in (
        ({f"{name}.lora.A.weight": down}, "lora.B.weight"),
        ({"model.layers.7.q.lora.A.weight": down, "model.layers.7.q.lora.B.weight": up}, "does not have"),
        ({f"{name}.lora.A.weight": down[:, :9], f"{name}.lora.B.weight": up}, "another model"),
        ({"x": down}, "no LoRA adapter"),
    ):
        torch.save(wrong, adapter)
        with pytest.raises(UserError, match=message):
            minimind.load(path, adapter=adapter)
