"""Weights on disk: whole or not at all, nothing executed, older names understood."""

import json
import os
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch

from minimind.config import UserError
from minimind.model import store
from minimind.model.config import ModelConfig
from minimind.model.language_model import LanguageModel
from minimind.model.names import halves_from_pairs
from minimind.model.store import load_strict, load_weights, save_weights

SHAPE = dict(vocab_size=41, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
TIED = ("model.embed_tokens.weight", "lm_head.weight")


def model(**fields) -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel(ModelConfig(**SHAPE | fields))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, None])
def test_round_trip(tmp_path: Path, suffix: str, dtype: torch.dtype | None):
    ours, other = model(qk_norm=True), model(qk_norm=True, initializer_range=0.5)
    path = tmp_path / "deep" / f"weights{suffix}"
    save_weights(ours, path, dtype=dtype)
    state = load_weights(path)
    assert state.keys() == ours.state_dict().keys() >= set(TIED)
    assert {tensor.dtype for tensor in state.values()} == {dtype or torch.float32}
    load_strict(other, state)
    for name, tensor in ours.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], tensor.to(dtype).float() if dtype else tensor)
    assert other.lm_head.weight is other.model.embed_tokens.weight
    assert os.listdir(path.parent) == [path.name]


def test_tied_matrices_are_stored_once(tmp_path: Path):
    save_weights(model(), tmp_path / "w.pth", dtype=torch.float16)
    state = load_weights(tmp_path / "w.pth")
    assert state[TIED[0]].data_ptr() == state[TIED[1]].data_ptr()
    assert (tmp_path / "w.pth").stat().st_size < 1.1 * 2 * sum(p.numel() for p in model().parameters()) + 20_000


def test_values_too_large_for_fp16_are_refused_and_the_old_file_stays(tmp_path: Path):
    path = tmp_path / "w.pth"
    ours = model()
    save_weights(ours, path)
    before = path.read_bytes()
    with torch.no_grad():
        ours.model.layers[1].mlp.up_proj.weight[0, 0] = 70_000.0
    with pytest.raises(UserError, match=r"layers\.1\.mlp\.up_proj\.weight has values up to 7e\+04, too large"):
        save_weights(ours, path, dtype=torch.float16)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["w.pth"]
    save_weights(ours, path, dtype=torch.bfloat16)


def test_values_that_are_not_finite_are_refused(tmp_path: Path):
    ours = model()
    with torch.no_grad():
        ours.model.norm.weight[3] = float("nan")
    with pytest.raises(UserError, match=r"model\.norm\.weight has values that are not finite"):
        save_weights(ours, tmp_path / "w.pth", dtype=torch.float32)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "w.pth"
    save_weights(model(), path)
    before = path.read_bytes()

    def full_disk(state, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_weights(model(), path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["w.pth"]


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path, how: str):
    path, target = tmp_path / "w.pth", tmp_path / "owned"
    if how == "torch":
        torch.save({"model.norm.weight": torch.ones(3), "extra": Malicious(target)}, path)
    else:
        path.write_bytes(pickle.dumps(Malicious(target), protocol=2))
    with pytest.raises(UserError, match="refused"):
        load_weights(path)
    assert not target.exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_damaged_and_missing_files(tmp_path: Path, name: str):
    path = tmp_path / name
    with pytest.raises(UserError, match="no weights here"):
        load_weights(path)
    save_weights(model(), path)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(UserError, match="damaged"):
        load_weights(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"w\."):
        load_weights(path)


def test_a_training_state_is_not_weights(tmp_path: Path):
    torch.save({"model": {"a": torch.ones(1)}, "step": 3}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="no flat dictionary"):
        load_weights(tmp_path / "w.pth")


def test_everything_that_does_not_fit_is_in_one_error():
    state = model().state_dict()
    del state["model.norm.weight"]
    state["model.layers.0.mlp.extra.weight"] = torch.ones(1)
    state["model.layers.1.self_attn.q_proj.weight"] = torch.ones(2, 2)
    with pytest.raises(UserError) as caught:
        load_strict(model(), state)
    for words in (
        "missing: model.norm.weight",
        "unknown: model.layers.0.mlp.extra.weight",
        "(2, 2) instead of (32, 32)",
    ):
        assert words in str(caught.value)
    differing = model(tie_word_embeddings=False).state_dict()
    with pytest.raises(UserError, match="differ, but the model has tie_word_embeddings"):
        load_strict(model(), differing)


def test_hugging_face_folders(tmp_path: Path):
    """One file, or shards with an index; the tied output layer may be left out."""
    ours, other = model(), model(initializer_range=0.5)
    state = {name: tensor.clone() for name, tensor in ours.state_dict().items() if name != TIED[1]}
    safetensors.torch.save_file(state, tmp_path / "model.safetensors")
    load_strict(other, load_weights(tmp_path))
    assert torch.equal(other.lm_head.weight, ours.lm_head.weight)

    sharded = tmp_path / "sharded"
    sharded.mkdir()
    names = sorted(state)
    shards = {"model-1.safetensors": names[:5], "model-2.safetensors": names[5:]}
    for shard, part in shards.items():
        safetensors.torch.save_file({name: state[name] for name in part}, sharded / shard)
    index = {"weight_map": {name: shard for shard, part in shards.items() for name in part}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    assert load_weights(sharded).keys() == state.keys()

    index["weight_map"]["model.norm.weight"] = "../model.safetensors"
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="outside its folder"):
        load_weights(sharded)
    with pytest.raises(UserError, match="expected model.safetensors"):
        load_weights(tmp_path.parent)


def first_generation(state: dict[str, torch.Tensor], moe: bool) -> dict[str, torch.Tensor]:
    """Our state under the first generation's names, with rotary pairs side by side."""
    old = {
        "tok_embeddings.weight": state[TIED[0]],
        "output.weight": state[TIED[1]],
        "norm.weight": state["model.norm.weight"],
    }
    for layer in range(2):
        new_prefix, prefix = f"model.layers.{layer}", f"layers.{layer}"
        for letter in "qkvo":
            weight = state[f"{new_prefix}.self_attn.{letter}_proj.weight"]
            if letter in "qk":  # row i and row i + D/2 of a head become rows 2i and 2i + 1
                weight = torch.cat([torch.stack(head.chunk(2), dim=1).flatten(0, 1) for head in weight.split(8)])
            old[f"{prefix}.attention.w{letter}.weight"] = weight
        old[f"{prefix}.attention_norm.weight"] = state[f"{new_prefix}.input_layernorm.weight"]
        old[f"{prefix}.ffn_norm.weight"] = state[f"{new_prefix}.post_attention_layernorm.weight"]
        places = [("", "")]
        if moe:
            places = [(f".experts.{e}", f".experts.{e}") for e in range(4)] + [(".shared_experts.0", ".shared_experts")]
            old[f"{prefix}.feed_forward.gate.weight"] = state[f"{new_prefix}.mlp.gate.weight"]
        for new_place, place in places:
            for number, name in ((1, "gate"), (2, "down"), (3, "up")):
                weight = state[f"{new_prefix}.mlp{new_place}.{name}_proj.weight"]
                old[f"{prefix}.feed_forward{place}.w{number}.weight"] = weight
    return old


@pytest.mark.parametrize("moe", [False, True])
def test_first_generation_names(moe: bool):
    ours, other = model(use_moe=moe), model(use_moe=moe, initializer_range=0.5)
    load_strict(other, first_generation(ours.state_dict(), moe))
    for name, tensor in ours.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


def test_scores_of_side_by_side_pairs_equal_those_of_halves():
    """q . k after turning pairs (2i, 2i+1), as complex numbers, is what halves give after the rows are reordered."""
    torch.manual_seed(0)
    wq, wk, x, y = torch.randn(8, 5), torch.randn(8, 5), torch.randn(5), torch.randn(5)
    angle = torch.arange(1, 5) * 0.3

    def pairs(vector: torch.Tensor, position: int) -> torch.Tensor:
        z = torch.view_as_complex(vector.view(4, 2)) * torch.polar(torch.ones(4), angle * position)
        return torch.view_as_real(z).flatten()

    def halves(vector: torch.Tensor, position: int) -> torch.Tensor:
        z = torch.complex(*vector.chunk(2)) * torch.polar(torch.ones(4), angle * position)
        return torch.cat((z.real, z.imag))

    expected = pairs(wq @ x, 7) @ pairs(wk @ y, 3)
    ours = halves(halves_from_pairs(wq, 8) @ x, 7) @ halves(halves_from_pairs(wk, 8) @ y, 3)
    torch.testing.assert_close(ours, expected)
